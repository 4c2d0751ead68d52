"""Where updates fall on the token clock."""

from __future__ import annotations

import itertools

import numpy as np

from lbscale.spec import Batch, Run


def update_edges(batch: Batch, n_tokens: int) -> np.ndarray:
    """Token counts before the first update and after each one, int64 of shape (n_updates + 1,).

    Only whole batches are trained, so the last edge may fall short of `n_tokens`. A ramp changes size at the first
    update that begins at or after its boundary.
    """
    edges = [np.zeros(1, np.int64)]
    position = 0
    boundaries = [*getattr(batch, "until_tokens", ()), n_tokens]
    for i, (size, boundary) in enumerate(zip(batch.sizes_tokens, boundaries, strict=True)):
        room = min(boundary, n_tokens) - position
        is_last = i == len(boundaries) - 1
        count = max(0, min(room // size if is_last else -(-room // size), (n_tokens - position) // size))
        edges.append(position + size * np.arange(1, count + 1, dtype=np.int64))
        position += size * count
    return np.fromiter(itertools.chain.from_iterable(edges), np.int64)


def trained_tokens(run: Run) -> int:
    """Row positions that the run trains on: `n_tokens` rounded down to whole batches."""
    return int(update_edges(run.batch, run.n_tokens)[-1])
