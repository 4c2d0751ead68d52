"""Fit a law to a run table: rows, search, uncertainty, warnings, hold-out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from lbscale.errors import check, check_choice
from lbscale.laws.bootstrap import refit
from lbscale.laws.conventions import count_params
from lbscale.laws.effects import Effects, estimate_effects
from lbscale.laws.form import Law
from lbscale.laws.holdout import hold_out
from lbscale.laws.identify import find_warnings, identify, tried_grid
from lbscale.laws.losses import LAD_DELTA, make_loss
from lbscale.laws.optimum import Optimum, find_optimum
from lbscale.laws.prediction import around
from lbscale.laws.profile import profile_interval
from lbscale.laws.reading import read_table, select
from lbscale.laws.registry import get
from lbscale.laws.result import Fit
from lbscale.laws.search import Problem
from lbscale.laws.table import Rows, prepare
from lbscale.laws.uncertainty import Z975, estimate_noise, scaled_sd

INTERVALS = ("delta", "bootstrap", "profile")
# Resamples of least absolute deviation need no vertex: below any scatter of published losses.
LAD_DELTA_OF_REFITS = 1e-5
OPEN = 60.0  # bound on a searched coordinate whose parameter has none at the reference


def fit(
    table: str | Path | pd.DataFrame,
    law: str | Law,
    *,
    where: str | None = None,
    holdout: str | None = None,
    map: Mapping[str, str] | None = None,
    loss: str | None = None,
    delta: float | None = None,
    asymmetry: float | None = None,
    residual: str | None = None,
    params_convention: str | None = None,
    bootstrap: int = 200,
    seed: int = 0,
    group: str | None = None,
    interval: str = "delta",
    fixed: Mapping[str, float] | None = None,
) -> Fit:
    """Fit `law` to a run table (path of a CSV or parquet file, or a DataFrame).

    Args:
        law: a law or the name of one (`lbscale.laws.LAWS`).
        where: pandas query; the rows to use.
        holdout: pandas query; rows of those to keep out of the fit and predict from it.
        map: {name that the law uses: column of the table}.
        loss: "squares", "huber", "lad" or "asymmetric"; with `delta`, in the units of the residual, and, for the
            last, `asymmetry`: how many times a residual weighs more where the law lies above the run than where it
            lies below. Default: the law's.
        residual: "log" (ln predicted - ln measured) or "linear" (in the target's units). Default: the law's.
        params_convention: "total", "non_embedding" or "active": what n_params counts.
        bootstrap: draws for standard errors; 0 for none.
        seed: of the bootstrap.
        group: column whose values tell which rows share errors. Default: cells, seeds and trunks, where the table
            repeats them.
        interval: how 95 % intervals are made: "delta" (Student's, under random effects of the groups),
            "bootstrap" (of whole groups) or "profile" (see `Fit.interval_method`).
        fixed: parameters to hold at a value, such as a known irreducible loss. A coefficient that moves with the
            reference can be held only beside its exponents.

    The sum over rows of the robust loss is what is minimised and reported as `objective`. Raises InputError
    for anything in the input that cannot be used.
    """
    law = get(law) if isinstance(law, str) else law
    loss = law.loss if loss is None else loss
    delta = law.delta if delta is None else delta
    asymmetry = law.asymmetry if asymmetry is None else asymmetry
    residual = law.residual if residual is None else residual
    check_choice("residual", residual, ("log", "linear"))
    check_choice("interval", interval, INTERVALS)
    make_loss(loss, delta, asymmetry)
    check(isinstance(seed, int) and seed >= 0, "seed", seed, "a whole number, 0 or more")
    check(isinstance(bootstrap, int) and bootstrap >= 0, "bootstrap", bootstrap, "a whole number, 0 or more")
    check(interval != "bootstrap" or bootstrap > 1, "bootstrap", bootstrap, "draws, for intervals made of them")
    frame = read_table(table, map)
    frame = frame[select(frame, where)]
    if "n_params" in law.columns:
        frame, convention = count_params(frame, params_convention)
    else:
        convention = params_convention or "none"
    held = select(frame, holdout, "holdout") if holdout is not None else pd.Series(False, index=frame.index)
    rows = prepare(frame[~held], law, group)

    law = law.bound(rows.columns)
    centre = {name: float(np.exp(np.log(rows.columns[name]).mean())) for name in law.scaled}
    shift = law.shift(centre, law.reference or {})
    problem = hold(make_problem(law, rows, centre, residual), fixed or {}, shift)
    best = find_optimum(problem, rows, loss, delta, asymmetry)
    robust = make_loss(loss, LAD_DELTA if loss == "lad" else delta, asymmetry)
    coarse = make_loss(loss, LAD_DELTA_OF_REFITS, asymmetry) if loss == "lad" else robust
    effects = estimate_effects(problem, rows, best.u, robust)
    jacobian = problem.residuals(best.u[None])[1][0]
    noise = estimate_noise(rows, effects, jacobian, log=residual == "log")
    draws_u = refit(problem, rows, best.u, coarse, bootstrap, np.random.default_rng(seed))
    at_centre = effects.reach(np.eye(best.u.size))
    if interval == "bootstrap":
        at_centre = Z975 * scaled_sd(draws_u, noise)
    identified, at_bound = identify(problem, best.u, at_centre, jacobian)
    theta = law.from_search(shift @ best.u)
    grid = tried_grid(law, theta, rows)
    report = _said_search(best, law, shift)
    result = Fit(
        law=law,
        theta=theta,
        draws=law.from_search(draws_u @ shift.T),
        effects=effects.moved(shift),
        standard_error=np.full(theta.shape, np.nan),
        lower=theta,
        upper=theta,
        interval_method=interval,
        fixed={name: float(value) for name, value in (fixed or {}).items()},
        profile_curvature=_curvatures(problem, effects),
        identified=identified,
        objective=best.objective,
        loss=loss,
        delta=delta,
        asymmetry=asymmetry,
        residual=residual,
        n_rows=int((~rows.censored).sum()),
        n_censored=int(rows.censored.sum()),
        n_dropped=rows.dropped,
        noise=noise,
        derived={},
        search=report,
        tried=grid,
        convention=_conventions(law, convention, residual),
        range=_ranges(rows),
        where=where,
        warnings=find_warnings(law, rows, noise, identified, at_bound, grid, report, convention),
        rows=_diagnostics(rows, law, theta),
    )
    profiled = None
    if interval == "profile":
        at_reference = hold(_open_bounds(make_problem(law, rows, law.reference or {}, residual)), fixed or {}, None)
        half_width = result.effects.reach(np.eye(theta.size))
        profiled = profile_interval(
            at_reference, shift @ best.u, rows.weight, coarse, half_width, result.effects.curvature
        )  # fmt: skip
    result = _with_intervals(result, problem, best.u, shift, draws_u, profiled)
    result = replace(result, derived=_derived(result))
    return result.with_holdout(*hold_out(result, frame[held], law)) if holdout is not None else result


def make_problem(law: Law, rows: Rows, centre: Mapping[str, float], residual: str) -> Problem:
    """The minimisation problem of `law` on `rows`, in coordinates at `centre`."""
    logs = law.at(centre).logs(rows.columns)
    lower, upper = law.bounds(float(rows.target[: rows.n][~rows.censored].min()))
    target = np.log(rows.target) if residual == "log" else rows.target
    return Problem(law, logs, target, rows.censored_targets, residual, law.to_search(lower), law.to_search(upper))


def hold(problem: Problem, fixed: Mapping[str, float], shift: NDArray[Any] | None) -> Problem:
    """The problem with the parameters in `fixed` held at their values at the law's reference.

    `shift` carries the problem's coordinates there; None where they are those of the reference. Raises InputError
    for an unknown parameter, a value out of bounds, and a coefficient held without its exponents.
    """
    law, names = problem.law, problem.law.names
    if not fixed:
        return problem
    u, which = np.zeros(len(names)), np.zeros(len(names), bool)
    for name, value in fixed.items():
        check_choice("fixed", name, names)
        j = names.index(name)
        check(isinstance(value, (int, float)) and bool(np.isfinite(value)), name, value, "a number to hold it at")
        check(not law.is_log[j] or value > 0, name, value, "a positive number to hold it at")
        u[j], which[j] = np.log(value) if law.is_log[j] else value, True
    if shift is not None:
        moved_by = (shift - np.eye(len(names)))[which] != 0.0
        loose = [names[j] for j in np.flatnonzero((moved_by & ~which).any(axis=0))]
        check(not loose, "fixed", ", ".join(fixed), f"hold {', '.join(loose)} too, with which it moves")
        u = u - (shift - np.eye(len(names))) @ u
    for name, value in fixed.items():
        j = names.index(name)
        inside = problem.lower[j] - 1e-9 <= u[j] <= problem.upper[j] + 1e-9
        check(inside, name, value, "a value within the parameter's bounds at the data's centre")
    return replace(problem, lower=np.where(which, u, problem.lower), upper=np.where(which, u, problem.upper))


def _open_bounds(problem: Problem) -> Problem:
    """The problem in coordinates at the law's reference, where coefficients that move with it have no bounds."""
    moves = np.array([bool(parameter.scaling) for parameter in problem.law.parameters])
    lower, upper = np.where(moves, -OPEN, problem.lower), np.where(moves, OPEN, problem.upper)
    return replace(problem, lower=lower, upper=upper)


def _with_intervals(
    result: Fit,
    problem: Problem,
    u: NDArray[Any],
    shift: NDArray[Any],
    draws_u: NDArray[Any],
    profiled: tuple[NDArray[Any], NDArray[Any]] | None,
) -> Fit:
    """The fit with standard errors and 95 % intervals, which end at the parameters' bounds.

    A parameter that is held has an interval of no width.
    """
    law = result.law
    place, drawn = shift @ u, draws_u @ shift.T
    reach = result.effects.reach(np.eye(u.size))
    if result.interval_method == "bootstrap":
        reach = Z975 * scaled_sd(drawn, result.noise)
    low, high = profiled if profiled is not None else (place - reach, place + reach)
    low, high = law.from_search(low), law.from_search(high)
    plain = ~np.array([bool(parameter.scaling) for parameter in law.parameters])
    low = np.where(plain, np.maximum(low, law.from_search(problem.lower)), low)
    high = np.where(plain, np.minimum(high, law.from_search(problem.upper)), high)
    if len(result.draws) > 1:
        error = result.draws.std(axis=0) * result.noise.inflation
    else:
        sd = np.sqrt(result.effects.variance(np.eye(u.size))[0])
        error = np.where(np.isfinite(sd), sd * np.where(law.is_log, result.theta, 1.0), np.nan)
    held = problem.lower >= problem.upper
    return replace(
        result,
        standard_error=np.where(held, 0.0, error),
        lower=np.where(held, result.theta, low),
        upper=np.where(held, result.theta, high),
    )


def _said_search(best: Optimum, law: Law, shift: NDArray[Any]) -> dict[str, Any]:
    """The search's report, the other optimum in the law's own parameters."""
    report = dict(best.report)
    gap = report.pop("relative_gap")
    if best.other is None:
        return {**report, "other_optimum": None}
    theta = law.from_search(shift @ best.other)
    params = dict(zip(law.names, map(float, theta), strict=True))
    return {**report, "other_optimum": {"relative_gap": gap, "params": params}}


def _curvatures(problem: Problem, effects: Effects) -> dict[str, float | None]:
    held = problem.lower >= problem.upper
    values = effects.curvature
    return {name: None if held[j] else float(values[j]) for j, name in enumerate(problem.law.names)}


def _derived(result: Fit) -> dict[str, Any]:
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


def _conventions(law: Law, params: str, residual: str) -> dict[str, str]:
    return {
        "params": params,
        **dict(zip(law.targets, law.target_units, strict=True)),
        "tokens": "tokens",
        "residual": residual,
        "flops": "6ND",
        "schedule": law.schedule,
    }


def _ranges(rows: Rows) -> dict[str, list[float]]:
    columns = dict(rows.columns)
    if {"n_params", "n_tokens"} <= columns.keys():
        columns["tokens_per_param"] = columns["n_tokens"] / columns["n_params"]
    return {name: [float(values.min()), float(values.max())] for name, values in columns.items()}


def _diagnostics(rows: Rows, law: Law, theta: NDArray[Any]) -> dict[str, list[Any]]:
    predicted = law.predict(theta, rows.columns).reshape(-1, rows.n)
    measured = rows.target.reshape(-1, rows.n)
    found = {name: values.tolist() for name, values in rows.columns.items()}
    for j, name in enumerate(law.targets):
        suffix = f"_{name}" if j else ""
        found[name] = measured[j].tolist()
        found[f"predicted{suffix}"] = predicted[j].tolist()
        found[f"relative_residual{suffix}"] = (predicted[j] / measured[j] - 1.0).tolist()
    return {**found, "censored": rows.censored.tolist(), "row": [str(label) for label in rows.index]}
