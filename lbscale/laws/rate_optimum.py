"""The best learning rate at each batch of each cell of a tuning grid, by a parabola through the runs nearest it."""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from lbscale.errors import check
from lbscale.laws.grid import read_grid

N_NEAREST, N_LEAST = 5, 4


def rate_optima(frame: pd.DataFrame) -> pd.DataFrame:
    """One row a batch of a cell of raw runs: n_params, n_tokens, batch_size_tokens and the best learning_rate there.

    The parabola of ln loss in ln learning rate goes through the `N_NEAREST` runs nearest to the batch's best one;
    a batch with fewer than `N_LEAST` runs, or with its minimum outside theirs, is left out and counted. A table
    without a column `loss` has one best learning rate a row already and is returned as it is.
    """
    if "loss" not in frame:
        return frame
    found, dropped, notes = read_grid(frame)
    rows, lost, runs = [], 0, 0
    for cell in found:
        for batch in np.unique(cell.log_batch):
            here = cell.log_batch == batch
            best = interior_minimum(cell.log_lr[here], np.log(cell.loss[here]))
            if best is None:
                lost, runs = lost + 1, runs + int(here.sum())
            else:
                rows.append((cell.n_params, cell.n_tokens, np.exp(batch), np.exp(best)))
    check(bool(rows), "table", f"{len(found)} cells", f"a batch with {N_LEAST} learning rates around the best")
    table = pd.DataFrame(rows, columns=["n_params", "n_tokens", "batch_size_tokens", "learning_rate"])
    if lost:
        reason = "at a batch whose learning rates do not enclose the best"
        dropped = {**dropped, reason: runs}
        notes = [*notes, f"{lost} of {lost + len(rows)} batches have no best learning rate inside those tried"]
    table.attrs = {"dropped": dropped, "warnings": notes}
    return table


def interior_minimum(x: NDArray[np.float64], y: NDArray[np.float64]) -> float | None:
    """Where the parabola through the `N_NEAREST` points nearest to the least y has its minimum, for x and y (n,).

    None where the least y is at an end of x, with fewer than `N_LEAST` distinct x among those points, for a parabola
    that bends down, and for a minimum outside their x.
    """
    order = np.argsort(x, kind="stable")
    if np.argmin(y[order]) in (0, x.size - 1):
        return None
    best = x[np.argmin(y)]
    near = np.argsort(np.abs(x - best), kind="stable")[:N_NEAREST]
    shift = x[near] - best
    if np.unique(np.round(shift, 9)).size < N_LEAST:
        return None
    bend, slope, _ = np.polyfit(shift, y[near], 2)
    if bend <= 0.0:
        return None
    found = -slope / (2.0 * bend)
    return float(best + found) if shift.min() <= found <= shift.max() else None
