"""What a fit says of itself beside its numbers: its search, conventions, ranges, rows and derived quantities."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from lbscale.laws.effects import Effects
from lbscale.laws.form import Law
from lbscale.laws.optimum import Optimum
from lbscale.laws.prediction import around
from lbscale.laws.search import Problem
from lbscale.laws.table import Rows

if TYPE_CHECKING:
    from lbscale.laws.result import Fit


def said_search(best: Optimum, law: Law, shift: NDArray[Any]) -> dict[str, Any]:
    """The search's report, the other optimum in the law's own parameters."""
    report = dict(best.report)
    gap = report.pop("relative_gap")
    if best.other is None:
        return {**report, "other_optimum": None}
    theta = law.from_search(shift @ best.other)
    params = dict(zip(law.names, map(float, theta), strict=True))
    return {**report, "other_optimum": {"relative_gap": gap, "params": params}}


def said_curvatures(problem: Problem, effects: Effects) -> dict[str, float | None]:
    """Parameter -> curvature of the profiled objective, null for a parameter that is held."""
    held = problem.lower >= problem.upper
    values = effects.curvature
    return {name: None if held[j] else float(values[j]) for j, name in enumerate(problem.law.names)}


def derived_quantities(result: Fit) -> dict[str, Any]:
    """The law's derived quantities: identified if every parameter that moves them is."""
    law, derived = result.law, result.law.derived
    if derived is None:
        return {}

    def said(name: str) -> dict[str, Any]:
        quantity = lambda theta: derived(theta)[name]
        value = float(quantity(result.theta))
        moved_by = np.flatnonzero(law.gradient(result.theta, quantity))
        return {
            "value": value,
            "interval": around(value, result.uncertainty(quantity), log=False),
            "identified": all(result.identified[law.names[j]] for j in moved_by),
        }

    return {name: said(name) for name in derived(result.theta)}


def said_conventions(law: Law, params: str, residual: str) -> dict[str, str]:
    """What each kind of number in the fit counts."""
    return {
        "params": params,
        **dict(zip(law.targets, law.target_units, strict=True)),
        "tokens": "tokens",
        "residual": residual,
        "flops": "6ND",
        "schedule": law.schedule,
    }


def ranges(rows: Rows) -> dict[str, list[float]]:
    """Column -> [smallest, largest] in the fitted rows, and of tokens per param."""
    columns = dict(rows.columns)
    if {"n_params", "n_tokens"} <= columns.keys():
        columns["tokens_per_param"] = columns["n_tokens"] / columns["n_params"]
    return {name: [float(values.min()), float(values.max())] for name, values in columns.items()}


def diagnostics(rows: Rows, law: Law, theta: NDArray[Any]) -> dict[str, list[Any]]:
    """The fitted rows, and what the law predicts of each."""
    predicted = law.predict(theta, rows.columns).reshape(-1, rows.n)
    measured = rows.target.reshape(-1, rows.n)
    found = {name: values.tolist() for name, values in rows.columns.items()}
    for j, name in enumerate(law.targets):
        suffix = f"_{name}" if j else ""
        found[name] = measured[j].tolist()
        found[f"predicted{suffix}"] = predicted[j].tolist()
        found[f"relative_residual{suffix}"] = (predicted[j] / measured[j] - 1.0).tolist()
    return {**found, "censored": rows.censored.tolist(), "row": [str(label) for label in rows.index]}
