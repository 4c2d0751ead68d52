"""Documents to rows: every token is predicted once, and no row mixes documents without saying so.

A document of n tokens makes n + 1 predictions: a separator stands before it as its first input and after it as its last
target. Pieces of a full row are rows of their own; the rest are packed best-fit decreasing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from lbscale.errors import check

SEPARATOR = 256  # the byte vocabulary is 0..255 and this
BYTE_VOCAB_SIZE = 257


@dataclass(frozen=True)
class Rows:
    """R rows of T positions. `segments_RT` numbers the documents of a row from 1, 0 is padding; `starts_RT` is where a
    position's document starts in the row; `document_R` is the row's first document, for clustered standard errors."""

    tokens_RT: np.ndarray
    targets_RT: np.ndarray
    segments_RT: np.ndarray
    starts_RT: np.ndarray
    document_R: np.ndarray

    def __len__(self) -> int:
        return len(self.tokens_RT)

    @property
    def fill(self) -> float:
        """Share of positions that hold a token."""
        return float(np.mean(self.segments_RT > 0))

    def take(self, index: np.ndarray) -> Rows:
        """The rows at `index`."""
        arrays = (self.tokens_RT, self.targets_RT, self.segments_RT, self.starts_RT, self.document_R)
        return Rows(*(array[index] for array in arrays))


def best_fit_decreasing(lengths: np.ndarray, capacity: int) -> list[list[int]]:
    """Bins of item indices, each of total length at most `capacity`; the longest item first, into the fullest bin that
    still takes it. Bins are found by their free space, so the time is O(items x capacity) at worst."""
    bins: list[list[int]] = []
    by_space: list[list[int]] = [[] for _ in range(capacity + 1)]
    for item in np.argsort(-lengths, kind="stable"):
        length = int(lengths[item])
        check(0 < length <= capacity, "length", length, f"from 1 to {capacity} is needed")
        space = next((s for s in range(length, capacity + 1) if by_space[s]), None)
        if space is None:
            bins.append([])
            which, space = len(bins) - 1, capacity
        else:
            which = by_space[space].pop()
        bins[which].append(int(item))
        by_space[space - length].append(which)
    return bins


def pack(documents: Sequence[bytes], seq_len: int) -> Rows:
    """Byte tokens of `documents` in rows of `seq_len` positions; raises InputError when there is no document."""
    check(len(documents) > 0, "documents", len(documents), "at least one document is needed")
    streams = [_with_separators(document) for document in documents]
    whole = _whole_pieces(streams, seq_len)
    rest = _packed_remainders(streams, seq_len)
    return Rows(*(np.concatenate(pair) for pair in zip(whole, rest, strict=True)))


def n_rows(document_bytes: Sequence[int], seq_len: int) -> int:
    """How many rows `pack` makes of documents of these lengths."""
    predictions = np.asarray(document_bytes, np.int64) + 1
    rest = predictions % seq_len
    return int((predictions // seq_len).sum()) + len(best_fit_decreasing(rest[rest > 0], seq_len))


def _with_separators(document: bytes) -> np.ndarray:
    stream = np.full(len(document) + 2, SEPARATOR, np.uint16)
    stream[1:-1] = np.frombuffer(document, np.uint8)
    return stream


def _whole_pieces(streams: list[np.ndarray], seq_len: int) -> tuple[np.ndarray, ...]:
    counts = np.array([(len(stream) - 1) // seq_len for stream in streams])
    inputs = [s[: n * seq_len].reshape(n, seq_len) for s, n in zip(streams, counts, strict=True)]
    targets = [s[1 : n * seq_len + 1].reshape(n, seq_len) for s, n in zip(streams, counts, strict=True)]
    tokens_RT = np.concatenate(inputs)
    ones_RT, zeros_RT = np.ones(tokens_RT.shape, np.uint16), np.zeros(tokens_RT.shape, np.uint16)
    document_R = np.repeat(np.arange(len(streams), dtype=np.int32), counts)
    return tokens_RT, np.concatenate(targets), ones_RT, zeros_RT, document_R


def _packed_remainders(streams: list[np.ndarray], seq_len: int) -> tuple[np.ndarray, ...]:
    lengths = np.array([(len(stream) - 1) % seq_len for stream in streams])
    owners = np.flatnonzero(lengths)
    bins = best_fit_decreasing(lengths[owners], seq_len)
    tokens_RT, targets_RT, segments_RT, starts_RT = (np.zeros((len(bins), seq_len), np.uint16) for _ in range(4))
    document_R = np.array([owners[items[0]] for items in bins], np.int32)
    for row, items in enumerate(bins):
        position = 0
        for segment, item in enumerate(items, start=1):
            length = lengths[owners[item]]
            tail = streams[owners[item]][-(length + 1) :]
            place = slice(position, position + length)
            tokens_RT[row, place], targets_RT[row, place] = tail[:-1], tail[1:]
            segments_RT[row, place], starts_RT[row, place] = segment, position
            position += length
        starts_RT[row, position:] = np.arange(position, seq_len)  # padding sees itself alone
    return tokens_RT, targets_RT, segments_RT, starts_RT, document_R
