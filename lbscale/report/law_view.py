"""What a figure of a law shows, before anything is drawn: the runs, where each stands, and the law's curves."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from lbscale.errors import check_choice
from lbscale.laws import Fit
from lbscale.laws.many import predict_many

MAIN = ("n_tokens", "loss", "batch_size_tokens", "n_params")  # what is drawn along, the first that the law reads
MOST_CURVES = 6
WORDS = {
    "n_params": "params",
    "n_tokens": "training tokens",
    "batch_size_tokens": "batch size, tokens",
    "critical_batch_size_tokens": "critical batch size, tokens",
}


@dataclass(frozen=True)
class Curve:
    """The law along a column: its mean (n,) and the mean's 95 % bounds, NaN where they are unknown, at `x` (n,).

    `value` is that of the column by which curves differ, None where there is one curve.
    """

    value: float | None
    x: NDArray[Any]
    mean: NDArray[Any]
    low: NDArray[Any]
    high: NDArray[Any]


@dataclass(frozen=True)
class View:
    """One target of a law along a column.

    `runs` has the columns of `fit_runs`, and `predicted`, `height` (the target, moved along the law to where the curves
    are drawn), `moved`, the factor of that, and `rest`, the measured value over the predicted one, less 1, in per cent.
    """

    along: str
    by: str | None
    runs: pd.DataFrame
    curves: tuple[Curve, ...]


def fit_runs(fit: Fit) -> pd.DataFrame:
    """Fitted and held-out runs: the law's columns, its targets, `censored`, `held`, and `row`, the label in the
    table."""
    fitted = pd.DataFrame(fit.rows)[[*fit.law.columns, *fit.law.targets, "censored", "row"]].assign(held=False)
    if not fit.holdout or not fit.holdout.get("rows"):
        return fitted
    rows = pd.DataFrame(fit.holdout["rows"])
    parts = [rows[rows["target"] == target] if "target" in rows else rows for target in fit.law.targets]
    held = parts[0][[*fit.law.columns, "row"]].reset_index(drop=True)
    measured = {target: part["measured"].to_numpy() for target, part in zip(fit.law.targets, parts, strict=True)}
    return pd.concat([fitted, held.assign(**measured, censored=False, held=True)], ignore_index=True)


def main_columns(fit: Fit, along: str | None = None, by: str | None = None) -> tuple[str, str | None]:
    """The columns to draw along and to colour by, where they are not given; raises InputError for one that the law does
    not read."""
    law = fit.law
    along = along or next((name for name in MAIN if name in law.columns), law.columns[0])
    check_choice("along", along, law.columns)
    others = [name for name in law.columns if name != along]
    if by is None and others:
        by = next((name for name in others if name not in law.tuned), others[0])
    if by is not None:
        check_choice("by", by, others)
    return along, by


def view(fit: Fit, runs: pd.DataFrame, which: int, along: str, by: str | None) -> View:
    """The `which`-th target of a fit along a column. Where a law reads more than two columns, each run is moved, along
    the law, to the best setting of the tuned columns and the geometric mean of the others, as the curves are."""
    law = fit.law
    own = {name: runs[name].to_numpy(float) for name in law.columns}
    measured = runs[law.targets[which]]
    predicted = law.predict(fit.theta, own).reshape(len(law.targets), -1)[which]
    moved = predict_many(fit, at_curve(fit, own, (along, by), runs))[0, which] / predicted
    runs = runs.assign(predicted=predicted, height=measured * moved, rest=100 * (measured / predicted - 1), moved=moved)
    low, high = runs[along].min(), runs[along].max()
    x = np.geomspace(low * (low / high) ** 0.05, high * (high / low) ** 0.05, 120)
    curves = []
    for value in curve_values(runs[by]) if by else [None]:
        given = {along: x, **({} if value is None else {str(by): np.full_like(x, value)})}
        mean, below, above = predict_many(fit, at_curve(fit, given, (along, by), runs))[:, which]
        curves.append(Curve(value, x, mean, below, above))
    return View(along, by, runs, tuple(curves))


def curve_values(values: pd.Series) -> list[float]:
    """The values that curves are drawn for: all, or some from the smallest to the largest."""
    found = np.unique(values)
    if found.size > MOST_CURVES:
        wanted = np.geomspace(found[0], found[-1], MOST_CURVES)
        found = found[np.unique([np.abs(np.log(found / value)).argmin() for value in wanted])]
    return [float(value) for value in found]


def at_curve(fit: Fit, columns: Mapping[str, Any], shown: tuple[str | None, ...], runs: pd.DataFrame) -> dict[str, Any]:
    """The law's columns with those not `shown` set to their best, where tuned, else to the runs' geometric mean."""
    law = fit.law
    n = len(next(iter(columns.values())))
    filled = {name: np.asarray(columns[name], float) for name in law.columns if name in shown}
    for name in law.columns:
        if name not in shown and name not in law.tuned:
            filled[name] = np.full(n, np.exp(np.log(runs[name]).mean()))
    missing = [name for name in law.tuned if name not in shown]
    if missing:
        free = {name: values for name, values in filled.items() if name not in law.tuned}
        best = dict(zip(law.tuned, law.optimum(fit.theta, **free), strict=False))
        filled |= {name: best[name] for name in missing}
    return filled


def words(column: str) -> str:
    """A column's name for a reader."""
    return WORDS.get(column, column.replace("_", " "))
