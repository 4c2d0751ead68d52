"""Data order: which packed row stands at each position, from the data seed and the position alone."""

from __future__ import annotations

import functools

import numpy as np


@functools.lru_cache(maxsize=64)
def _epoch_order(data_seed: int, epoch: int, n_rows: int) -> np.ndarray:
    # Sorting raw Philox words instead of Generator.permutation: numpy promises the words, not the permutation.
    words = np.random.Philox(key=np.array([data_seed, epoch], np.uint64)).random_raw(n_rows)
    order = np.argsort(words, kind="stable").astype(np.int32)
    order.setflags(write=False)
    return order


def row_indices(data_seed: int, first: int, last: int, n_rows: int) -> np.ndarray:
    """Indices into `n_rows` packed rows for row positions first to last - 1, int32; every epoch is a permutation."""
    parts = []
    for epoch in range(first // n_rows, -(-last // n_rows)):
        start = epoch * n_rows
        parts.append(_epoch_order(data_seed, epoch, n_rows)[max(first - start, 0) : last - start])
    return np.concatenate(parts) if parts else np.zeros(0, np.int32)
