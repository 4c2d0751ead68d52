"""The best learning rate and batch of each cell of a tuning grid, with its uncertainty, and its plateau.

Near the optimum ln loss is taken as quadratic in ln learning rate and ln batch. The surface is fitted to the runs
within a threshold of the cell's best loss, which makes use of them all where the argmin takes the luckiest.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from lbscale.errors import check
from lbscale.laws.grid import Cell, read_grid

N_LEAST = 9  # runs that a surface of six coefficients is fitted to, at least


class Optimum(NamedTuple):
    """Where a cell's surface has its minimum.

    `log` is (ln learning rate, ln batch), `se` the standard errors of both from the runs' scatter about the surface,
    `spacing` the median gap between tried values of each, `spread` the inverse of the Hessian of ln loss (2, 2), and
    `inside` says whether the minimum lies within the settings tried.
    """

    log: NDArray[Any]
    se: NDArray[Any]
    spacing: NDArray[Any]
    spread: NDArray[Any]
    inside: bool


def local_optimum(cell: Cell, threshold: float) -> Optimum | None:
    """The minimum of the quadratic surface through the runs within `threshold`, a share, of the cell's best loss.

    The best `N_LEAST` runs are used where fewer lie within. Standard errors are those of the delta method. None where
    the runs do not determine a surface, or determine one without a minimum.
    """
    order = np.argsort(cell.excess, kind="stable")
    near = order[: max(N_LEAST, int((cell.excess <= threshold).sum()))]
    if near.size < N_LEAST:
        return None
    settings = np.stack([cell.log_lr, cell.log_batch])
    middle = settings[:, near].mean(axis=1)
    x, z = settings[:, near] - middle[:, None]
    terms = np.column_stack([np.ones(near.size), x, z, x * x, x * z, z * z])
    log_loss = np.log(cell.loss[near])
    solved, _, rank, _ = np.linalg.lstsq(terms, log_loss, rcond=1e-9)
    hessian = np.array([[2.0 * solved[3], solved[4]], [solved[4], 2.0 * solved[5]]])
    if rank < terms.shape[1] or np.linalg.eigvalsh(hessian)[0] <= 0.0:
        return None
    spread = np.linalg.inv(hessian)
    shift = -spread @ solved[1:3]
    slope = np.array([[0, 1, 0, 2 * shift[0], shift[1], 0], [0, 0, 1, 0, shift[0], 2 * shift[1]]])
    variance = np.square(log_loss - terms @ solved).sum() / (near.size - terms.shape[1])
    by_terms = spread @ slope
    covariance = variance * by_terms @ np.linalg.inv(terms.T @ terms) @ by_terms.T
    spacing = np.array([_spacing(values) for values in settings])
    found = middle + shift
    inside = bool(((found >= settings.min(axis=1)) & (found <= settings.max(axis=1))).all())
    return Optimum(found, np.sqrt(np.diag(covariance)), spacing, spread, inside)


def cell_optima(frame: pd.DataFrame, percent: float = 0.5) -> pd.DataFrame:
    """One row a cell of a table of raw runs: the best learning rate and batch, from the local quadratic surface.

    Columns: n_params, n_tokens, learning_rate, batch_size_tokens; `<setting>_se`, the standard error of its ln, with
    that of the surface's shape: a bowl that is no parabola misplaces the minimum by a part of the grid's spacing, and
    a uniform error of one spacing has a standard deviation of 1/sqrt(12) of it; loss, the cell's best; n_runs.

    `percent` is the threshold in per cent of the cell's best loss. `attrs` says what was dropped and changed. Raises
    InputError where no cell has an optimum.
    """
    check(percent > 0, "percent", percent, "a positive number")
    found, dropped, notes = read_grid(frame)
    table = optima_table(found, percent / 100.0, dropped, notes)
    check_some(table, len(found))
    return table


def optima_table(
    found: Sequence[Cell], threshold: float, dropped: dict[str, int], notes: Sequence[str]
) -> pd.DataFrame:
    """`cell_optima` of cells that are read already; runs of cells without an optimum are added to `dropped`."""
    rows, dropped, notes = [], dict(dropped), list(notes)
    for cell in found:
        best = local_optimum(cell, threshold)
        if best is None or not best.inside:
            reason = "not determined" if best is None else "outside what was tried"
            label = f"in a cell whose optimum is {reason}"
            dropped[label] = dropped.get(label, 0) + cell.loss.size
            notes.append(f"{cell.n_params:.6g} params on {cell.n_tokens:.6g} tokens: the optimum is {reason}")
            continue
        se = np.hypot(best.se, best.spacing / np.sqrt(12.0))
        rows.append((cell.n_params, cell.n_tokens, *np.exp(best.log), *se, cell.loss.min(), cell.loss.size))
    settings = ["learning_rate", "batch_size_tokens"]
    names = ["n_params", "n_tokens", *settings, *(f"{name}_se" for name in settings), "loss", "n_runs"]
    table = pd.DataFrame(rows, columns=names)
    table.attrs = {"dropped": dropped, "warnings": notes}
    return table


def check_some(table: pd.DataFrame, n_cells: int) -> None:
    """Raise InputError for a table of optima without a row."""
    dropped = table.attrs["dropped"]
    check(len(table) > 0, "table", f"{n_cells} cells", f"a cell with {N_LEAST} runs around its optimum; {dropped}")


def plateau(frame: pd.DataFrame, percent: float) -> pd.DataFrame:
    """One row a cell: the settings that give up at most `percent` of the cell's best loss.

    `<setting>_low` and `_high` are the edges of the local surface, the other setting tuned again on the way, but no
    further than what was tried; `<setting>_tried_low` and `_tried_high` are the outermost runs of the plateau. The
    surface is fitted to the runs within twice `percent`. The upper edge in batch is the deployable answer where a
    larger batch is cheaper. Raises InputError where no cell has an optimum.
    """
    check(percent > 0, "percent", percent, "a positive number")
    found, dropped, notes = read_grid(frame)
    rows = []
    for cell in found:
        best = local_optimum(cell, 2.0 * percent / 100.0)
        if best is None or not best.inside:
            continue
        row: dict[str, float] = {"n_params": cell.n_params, "n_tokens": cell.n_tokens}
        on_it = cell.excess <= percent / 100.0
        reach = np.sqrt(2.0 * np.log1p(percent / 100.0) * np.diag(best.spread))
        for j, (name, values) in enumerate((("learning_rate", cell.log_lr), ("batch_size_tokens", cell.log_batch))):
            edges = np.clip([best.log[j] - reach[j], best.log[j] + reach[j]], values.min(), values.max())
            tried = values[on_it].min(), values[on_it].max()
            row.update({f"{name}_low": np.exp(edges[0]), f"{name}_high": np.exp(edges[1])})
            row.update({f"{name}_tried_low": np.exp(tried[0]), f"{name}_tried_high": np.exp(tried[1])})
        rows.append(row)
    lost = len(found) - len(rows)
    if lost:
        notes = [*notes, f"{lost} of {len(found)} cells have no optimum inside what was tried and are left out"]
    table = pd.DataFrame(rows)
    table.attrs = {"dropped": dropped, "warnings": notes}
    check_some(table, len(found))
    return table


def _spacing(values: NDArray[Any]) -> float:
    """The median gap between distinct values (m,), 0 for a single one."""
    distinct = np.unique(np.round(values, 9))
    return float(np.median(np.diff(distinct))) if distinct.size > 1 else 0.0
