"""Judge a law of the optimum by the loss it gives up: what the tried setting nearest to its advice lost.

Exponents that differ by a tenth can advise settings that are equally good, and equal exponents can miss the
plateau, so the loss is what counts.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from lbscale.errors import check
from lbscale.laws.cell_optimum import check_some, optima_table
from lbscale.laws.grid import Cell, read_grid

if TYPE_CHECKING:
    from lbscale.laws.result import Fit

THRESHOLDS = (0.1, 0.15, 0.2, 0.25, 0.3, 0.4, 0.5, 0.75, 1.0, 1.5, 2.0, 3.0)  # per cent of the cell's best loss
DEFAULT_THRESHOLD = 0.5  # where there are too few sizes to choose one
Advice = Callable[[float, float], tuple[float, float]]


def loss_given_up(frame: pd.DataFrame, advice: Fit | Advice) -> pd.DataFrame:
    """One row a cell of a table of raw runs: what following the advice there gives up.

    `advice` is a fit that tunes learning rate and batch, or (n_params, n_tokens) -> (learning rate, batch in tokens).
    Columns: n_params, n_tokens, learning_rate and batch_size_tokens of the tried setting nearest in log distance, and
    given_up, its loss over the cell's best, less 1. Diverged settings count with the loss they recorded.
    """
    return _given_up(read_grid(frame)[0], advice if callable(advice) else _advice_of(advice))


def gap_by_threshold(frame: pd.DataFrame, thresholds: Sequence[float] = THRESHOLDS) -> dict[float, float]:
    """Threshold in per cent -> mean loss given up, a share, by a law fitted to the other sizes, over all cells.

    Raises InputError for a table of fewer than three sizes.
    """
    found, _, _ = read_grid(frame)
    check(_n_sizes(found) > 2, "table", f"{_n_sizes(found)} sizes", "three sizes or more, to leave one out")
    return _gaps(found, thresholds)


def choose_threshold(found: Sequence[Cell], thresholds: Sequence[float] = THRESHOLDS) -> float:
    """The threshold in per cent whose law, fitted without a size, gives up least there; a default below 3 sizes."""
    if _n_sizes(found) < 3:
        return DEFAULT_THRESHOLD
    gaps = _gaps(found, thresholds)
    return min(gaps, key=lambda threshold: gaps[threshold])


def leave_one_size_out(frame: pd.DataFrame, thresholds: Sequence[float] = THRESHOLDS) -> pd.DataFrame:
    """`loss_given_up` of every cell by a law that saw nothing of its size, neither for its constants nor for its
    threshold, which an inner leave-one-size-out chose: column `threshold`, in per cent.

    Raises InputError for a table of fewer than four sizes.
    """
    found, _, _ = read_grid(frame)
    check(_n_sizes(found) > 3, "table", f"{_n_sizes(found)} sizes", "four sizes or more, to leave two out")
    tables = []
    for size in sorted({cell.n_params for cell in found}):
        rest = [cell for cell in found if cell.n_params != size]
        threshold = choose_threshold(rest, thresholds)
        here = [cell for cell in found if cell.n_params == size]
        optima = optima_table(rest, threshold / 100.0, {}, ())
        check_some(optima, len(rest))
        tables.append(_given_up(here, _advice(optima)).assign(threshold=threshold))
    return pd.concat(tables, ignore_index=True)


def power_laws(optima: pd.DataFrame) -> tuple[NDArray[Any], NDArray[Any]]:
    """Weighted least squares of ln learning rate on (1, ln N, ln D), and of ln batch on (1, ln D).

    `optima` has the columns of `cell_optima`. Slopes that the cells leave open (a single size) are the smallest.
    """
    log_n, log_d = np.log(optima["n_params"].to_numpy()), np.log(optima["n_tokens"].to_numpy())
    ones = np.ones(log_n.size)
    return (
        _solve(optima, "learning_rate", [ones, log_n - log_n.mean(), log_d - log_d.mean()], [log_n, log_d]),
        _solve(optima, "batch_size_tokens", [ones, log_d - log_d.mean()], [log_d]),
    )


def _solve(optima: pd.DataFrame, name: str, terms: list[NDArray[Any]], logs: list[NDArray[Any]]) -> NDArray[Any]:
    weight = 1.0 / optima[f"{name}_se"].to_numpy()
    target = np.log(optima[name].to_numpy())
    solved = np.linalg.lstsq(np.stack(terms, axis=1) * weight[:, None], target * weight, rcond=1e-9)[0]
    solved[0] -= sum(slope * log.mean() for slope, log in zip(solved[1:], logs, strict=True))
    return solved


def _advice_of(fitted: Fit) -> Advice:
    def advise(n_params: float, n_tokens: float) -> tuple[float, float]:
        best = fitted.optimum(n_params=n_params, n_tokens=n_tokens)
        return best["learning_rate"]["value"], best["batch_size_tokens"]["value"]

    return advise


def _advice(optima: pd.DataFrame) -> Advice:
    lr, batch = power_laws(optima)

    def advise(n_params: float, n_tokens: float) -> tuple[float, float]:
        log_n, log_d = np.log(n_params), np.log(n_tokens)
        return float(np.exp(lr @ [1.0, log_n, log_d])), float(np.exp(batch @ [1.0, log_d]))

    return advise


def _gaps(found: Sequence[Cell], thresholds: Sequence[float]) -> dict[float, float]:
    """Threshold -> mean loss given up; infinite where a size's absence leaves no cell with an optimum."""
    gaps = {}
    for threshold in thresholds:
        optima = optima_table(found, threshold / 100.0, {}, ())
        lost: list[float] = []
        for size in sorted({cell.n_params for cell in found}):
            others = optima[optima["n_params"] != size]
            here = [cell for cell in found if cell.n_params == size]
            lost.extend(_given_up(here, _advice(others))["given_up"] if len(others) else [np.inf] * len(here))
        gaps[threshold] = float(np.mean(lost))
    return gaps


def _given_up(found: Sequence[Cell], advise: Advice) -> pd.DataFrame:
    rows = [(cell.n_params, cell.n_tokens, *cell.given_up(*advise(cell.n_params, cell.n_tokens))) for cell in found]
    return pd.DataFrame(rows, columns=["n_params", "n_tokens", "learning_rate", "batch_size_tokens", "given_up"])


def _n_sizes(found: Sequence[Cell]) -> int:
    return len({cell.n_params for cell in found})
