"""Where updates fall on the token clock."""

from __future__ import annotations

import functools
from dataclasses import dataclass

import numpy as np

from lbscale.spec import Batch, Run


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
    return stretches


@functools.lru_cache(maxsize=32)
def update_edges(batch: Batch, n_tokens: int) -> np.ndarray:
    """Token counts before the first update and after each one, int64 of shape (n_updates + 1,), read-only."""
    each = [at.first + at.size * np.arange(1, at.count + 1) for at in equal_updates(batch, n_tokens)]
    edges = np.concatenate([np.zeros(1, np.int64), *each])
    edges.setflags(write=False)
    return edges


def trained_tokens(run: Run) -> int:
    """Row positions that the run trains on: `n_tokens` rounded down to whole batches."""
    return equal_updates(run.batch, run.n_tokens)[-1].last
