"""Where updates fall on the token clock."""

from __future__ import annotations

import functools
from dataclasses import dataclass

import numpy as np

from lbscale.clock.timetable import Timetable
from lbscale.errors import check
from lbscale.spec import Batch, Run

# Of all of them arrays are made on the host, for every run that is trained at once.
MOST_UPDATES = 10_000_000


@dataclass(frozen=True)
class EqualUpdates:
    """Consecutive updates of one batch size, from the token `first` on."""

    first: int
    size: int
    count: int

    @property
    def last(self) -> int:
        """The token after their last one."""
        return self.first + self.size * self.count


def equal_updates(batch: Batch, n_tokens: int) -> list[EqualUpdates]:
    """The updates of a budget, as stretches of one batch size.

    Only whole batches are trained, so the last one may fall short of `n_tokens`. A ramp changes size at the first
    update that begins at or after its boundary.
    """
    return list(_equal_updates(batch, n_tokens))


@functools.lru_cache(maxsize=1024)
def _equal_updates(batch: Batch, n_tokens: int) -> tuple[EqualUpdates, ...]:
    stretches: list[EqualUpdates] = []
    position = 0
    boundaries = [*getattr(batch, "until_tokens", ()), n_tokens]
    for i, (size, boundary) in enumerate(zip(batch.sizes_tokens, boundaries, strict=True)):
        room = min(boundary, n_tokens) - position
        is_last = i == len(boundaries) - 1
        count = max(0, min(room // size if is_last else -(-room // size), (n_tokens - position) // size))
        if count:
            stretches.append(EqualUpdates(position, size, count))
        position += size * count
    return tuple(stretches)


@functools.lru_cache(maxsize=32)
def update_edges(batch: Batch, n_tokens: int) -> np.ndarray:
    """Token counts before the first update and after each one, int64 of shape (n_updates + 1,), read-only; raises
    InputError for a budget of more than `MOST_UPDATES`."""
    _check_count(n_tokens, sum(at.count for at in equal_updates(batch, n_tokens)))
    each = [at.first + at.size * np.arange(1, at.count + 1) for at in equal_updates(batch, n_tokens)]
    edges = np.concatenate([np.zeros(1, np.int64), *each])
    edges.setflags(write=False)
    return edges


def edges_between(batch: Batch, n_tokens: int, first: int, last: int) -> np.ndarray:
    """`update_edges(batch, n_tokens)[first : last + 1]` without the rest; `last` is at most the number of updates.
    Raises InputError for more than `MOST_UPDATES` at once."""
    _check_count(n_tokens, last - first)
    index = np.arange(first, last + 1)
    edges = np.zeros(len(index), np.int64)
    begins = 0
    for at in _equal_updates(batch, n_tokens):
        edges += at.size * np.minimum(np.maximum(index - begins, 0), at.count)
        begins += at.count
    return edges


def _check_count(n_tokens: int, count: int) -> None:
    check(count <= MOST_UPDATES, "n_tokens", n_tokens, f"at most {MOST_UPDATES:,} updates are needed, not {count:,}")


def n_updates(run: Run | Timetable) -> int:
    """How many updates the run makes."""
    return sum(at.count for at in _equal_updates(run.batch, run.n_tokens))


def tokens_after(run: Run | Timetable, updates: int) -> int:
    """The token count after the run's first `updates` updates."""
    tokens, left = 0, updates
    for at in _equal_updates(run.batch, run.n_tokens):
        tokens += at.size * min(left, at.count)
        left -= min(left, at.count)
    return tokens


def updates_by(run: Run | Timetable, n_tokens: float) -> int:
    """How many updates end within the run's first `n_tokens`."""
    within = ((min(at.last, n_tokens) - at.first) // at.size for at in _equal_updates(run.batch, run.n_tokens))
    return sum(max(0, int(count)) for count in within)


def trained_tokens(run: Run | Timetable) -> int:
    """Row positions that the run trains on: `n_tokens` rounded down to whole batches."""
    return _equal_updates(run.batch, run.n_tokens)[-1].last
