"""Packed rows against the documents that they were made of."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lbscale.data import Rows, pack
from lbscale.data.packing import SEPARATOR, best_fit_decreasing, n_rows
from lbscale.errors import InputError

documents_of_bytes = st.lists(st.binary(max_size=60), min_size=1, max_size=20)
seq_lens = st.integers(2, 24)


def pieces(rows: Rows) -> list[tuple[tuple[int, ...], tuple[int, ...]]]:
    """(inputs, targets) of every segment of every row."""
    found = []
    for tokens, targets, segments in zip(rows.tokens_RT, rows.targets_RT, rows.segments_RT, strict=True):
        for segment in range(1, segments.max() + 1):
            here = segments == segment
            found.append((tuple(tokens[here].tolist()), tuple(targets[here].tolist())))
    return found


def expected_pieces(documents: list[bytes], seq_len: int) -> list[tuple[tuple[int, ...], tuple[int, ...]]]:
    """Every document between separators, cut every `seq_len` predictions."""
    found = []
    for document in documents:
        stream = (SEPARATOR, *document, SEPARATOR)
        for first in range(0, len(stream) - 1, seq_len):
            last = min(first + seq_len, len(stream) - 1)
            found.append((stream[first:last], stream[first + 1 : last + 1]))
    return found


@given(documents=documents_of_bytes, seq_len=seq_lens)
def test_every_byte_of_every_document_is_predicted_once_after_its_own_predecessor(
    documents: list[bytes], seq_len: int
) -> None:
    assert sorted(pieces(pack(documents, seq_len))) == sorted(expected_pieces(documents, seq_len))


@given(documents=documents_of_bytes, seq_len=seq_lens)
def test_segments_are_contiguous_and_numbered_from_one_with_padding_last(documents: list[bytes], seq_len: int) -> None:
    for segments in pack(documents, seq_len).segments_RT.astype(int):
        n_real = int((segments > 0).sum())
        assert segments[0] == 1
        assert not segments[n_real:].any()
        assert set(np.diff(segments[:n_real]).tolist()) <= {0, 1}


@given(documents=documents_of_bytes, seq_len=seq_lens)
def test_starts_are_where_the_positions_own_segment_begins(documents: list[bytes], seq_len: int) -> None:
    rows = pack(documents, seq_len)
    for segments, starts in zip(rows.segments_RT.tolist(), rows.starts_RT.tolist(), strict=True):
        expected = [segments.index(s) if s else position for position, s in enumerate(segments)]
        assert starts == expected


@given(documents=documents_of_bytes, seq_len=seq_lens)
def test_a_row_names_the_document_that_it_begins_with(documents: list[bytes], seq_len: int) -> None:
    rows = pack(documents, seq_len)
    for row, document in enumerate(rows.document_R.tolist()):
        first = rows.segments_RT[row] == 1
        inputs = tuple(rows.tokens_RT[row][first].tolist())
        assert inputs in {piece for piece, _ in expected_pieces([documents[document]], seq_len)}


@given(documents=documents_of_bytes, seq_len=seq_lens)
def test_fill_is_the_predictions_over_the_positions(documents: list[bytes], seq_len: int) -> None:
    rows = pack(documents, seq_len)
    n_predictions = sum(len(document) + 1 for document in documents)
    assert rows.fill == pytest.approx(n_predictions / (len(rows) * seq_len))


def test_many_short_documents_fill_their_rows() -> None:
    lengths = np.random.default_rng(0).integers(1, 30, 500)
    assert pack([bytes(n) for n in lengths], 64).fill > 0.98


def test_rows_are_taken_whole() -> None:
    rows = pack([b"abcdef", b"gh", b"i"], 4)
    taken = rows.take(np.array([2, 0]))
    assert len(taken) == 2
    for name in ("tokens_RT", "targets_RT", "segments_RT", "starts_RT", "document_R"):
        assert np.array_equal(getattr(taken, name), getattr(rows, name)[[2, 0]])


def test_no_document_is_refused() -> None:
    with pytest.raises(InputError, match="documents: 0 cannot be used"):
        pack([], 8)


def bins_of_best_fit_one_by_one(lengths: list[int], capacity: int) -> list[int]:
    """Space left in each bin when the longest item goes first into the fullest bin that takes it."""
    spaces: list[int] = []
    for length in sorted(lengths, reverse=True):
        fitting = [bin_ for bin_, space in enumerate(spaces) if space >= length]
        if fitting:
            spaces[min(fitting, key=lambda bin_: spaces[bin_])] -= length
        else:
            spaces.append(capacity - length)
    return sorted(spaces)


@given(capacity=st.integers(1, 40), data=st.data())
def test_best_fit_decreasing_fills_bins_as_trying_them_all_does(capacity: int, data: st.DataObject) -> None:
    lengths = data.draw(st.lists(st.integers(1, capacity), max_size=40))
    bins = best_fit_decreasing(np.array(lengths, int), capacity)
    assert sorted(item for items in bins for item in items) == list(range(len(lengths)))
    spaces = sorted(capacity - sum(lengths[item] for item in items) for items in bins)
    assert spaces == bins_of_best_fit_one_by_one(lengths, capacity)
    assert min(spaces, default=0) >= 0


@given(cuts=st.lists(st.sets(st.integers(1, 39), max_size=6), min_size=1, max_size=40))
def test_best_fit_decreasing_is_near_the_fewest_bins(cuts: list[set[int]]) -> None:
    # Items cut from full bins, so that the fewest bins are known; the bound is Johnson's (1973).
    lengths = np.concatenate([np.diff([0, *sorted(cut), 40]) for cut in cuts])
    assert len(cuts) <= len(best_fit_decreasing(lengths, 40)) <= 11 / 9 * len(cuts) + 4


@pytest.mark.parametrize("length", [0, 9])
def test_an_item_that_fits_no_bin_is_refused(length: int) -> None:
    with pytest.raises(InputError, match=f"length: {length} cannot be used; from 1 to 8"):
        best_fit_decreasing(np.array([3, length]), 8)


@given(st.lists(st.integers(1, 200), min_size=1, max_size=40), st.sampled_from([1, 7, 16, 64]))
def test_rows_are_counted_without_packing(lengths: list[int], seq_len: int) -> None:
    assert n_rows(lengths, seq_len) == len(pack([b"x" * length for length in lengths], seq_len))
