"""Fit a law to a run table: rows, search, bootstrap, hold-out, warnings."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from lbscale.errors import check, check_choice
from lbscale.laws.form import Law
from lbscale.laws.identify import find_warnings, identify, tried_grid
from lbscale.laws.losses import make_loss
from lbscale.laws.prediction import around
from lbscale.laws.registry import get
from lbscale.laws.result import Fit
from lbscale.laws.search import Found, Problem, minimise
from lbscale.laws.table import Rows, count_params, prepare, read_table, select
from lbscale.laws.uncertainty import (
    Z975,
    bootstrap_weights,
    estimate_noise,
    random_effects_covariance,
    scaled_sd,
)

SAME_OPTIMUM = 1e-6
COARSE_DELTA = 3e-2


def fit(
    table: str | Path | pd.DataFrame,
    law: str | Law,
    *,
    where: str | None = None,
    holdout: str | None = None,
    map: Mapping[str, str] | None = None,
    loss: str | None = None,
    delta: float | None = None,
    residual: str | None = None,
    params_convention: str | None = None,
    bootstrap: int = 200,
    seed: int = 0,
) -> Fit:
    """Fit `law` to a run table (path of a CSV or parquet file, or a DataFrame).

    Args:
        law: a law or the name of one (`lbscale.laws.LAWS`).
        where: pandas query; the rows to use.
        holdout: pandas query; rows of those to keep out of the fit and predict from it.
        map: {name that the law uses: column of the table}.
        loss: "squares", "huber" or "lad"; with `delta`, in the units of the residual. Default: the law's.
        residual: "log" (ln predicted - ln measured) or "linear" (nats per token). Default: the law's.
        params_convention: "total", "non_embedding" or "active": what n_params counts.
        bootstrap: draws for the intervals; 0 leaves them empty.
        seed: of the bootstrap.

    The sum over rows of the robust loss is what is minimised and reported as `objective`. Raises InputError
    for anything in the input that cannot be used.
    """
    law = get(law) if isinstance(law, str) else law
    loss = law.loss if loss is None else loss
    delta = law.delta if delta is None else delta
    residual = law.residual if residual is None else residual
    check_choice("residual", residual, ("log", "linear"))
    check(delta > 0, "delta", delta, "a positive number")
    check(isinstance(seed, int) and seed >= 0, "seed", seed, "a whole number, 0 or more")
    check(isinstance(bootstrap, int) and bootstrap >= 0, "bootstrap", bootstrap, "a whole number, 0 or more")
    frame = read_table(table, map)
    frame = frame[select(frame, where)]
    if "n_params" in law.columns:
        frame, convention = count_params(frame, params_convention)
    else:
        convention = params_convention or "none"
    held = select(frame, holdout, "holdout") if holdout is not None else pd.Series(False, index=frame.index)
    rows = prepare(frame[~held], law)

    law = law.bound(rows.columns)
    centre = {name: float(np.exp(np.log(rows.columns[name]).mean())) for name in law.scaled}
    problem = make_problem(law, rows, centre, residual)
    best, starts = search(problem, loss, delta, rows.loss)
    draws_u = _bootstrap(problem, rows, best.u, loss, delta, bootstrap, np.random.default_rng(seed))
    residuals, jacobian = (array[0] for array in problem.residuals(best.u))
    noise = estimate_noise(rows, residuals, jacobian, log=residual == "log")
    reference = law.reference or {}
    theta = law.move(law.from_search(best.u[0]), centre, reference)
    draws = law.move(law.from_search(draws_u), centre, reference)
    stuck = (best.u[0] <= problem.lower) | (best.u[0] >= problem.upper)
    covariance = random_effects_covariance(rows, np.where(stuck[:, None], 0.0, jacobian), noise, law.penalty)
    shift = law.shift(centre, reference)
    moved = shift @ covariance @ shift.T
    place = best.u[0] @ shift.T
    reach = Z975 * scaled_sd(draws_u @ shift.T, np.diag(moved), noise)
    low, high = law.from_search(place - reach), law.from_search(place + reach)
    plain = ~np.array([bool(parameter.scaling) for parameter in law.parameters])
    low = np.where(plain, np.maximum(low, law.from_search(problem.lower)), low)
    high = np.where(plain, np.minimum(high, law.from_search(problem.upper)), high)
    reach = Z975 * scaled_sd(draws_u, np.diag(covariance), noise)
    identified, at_bound = identify(problem, best.u[0], reach, jacobian)
    grid = tried_grid(law, theta, rows)
    result = Fit(
        law=law,
        theta=theta,
        draws=draws,
        covariance=moved,
        standard_error=draws.std(axis=0) * noise.inflation if bootstrap > 1 else np.full(theta.shape, np.nan),
        lower=low,
        upper=high,
        identified=identified,
        objective=float(best.objective[0]),
        loss=loss,
        delta=delta,
        residual=residual,
        n_rows=int((~rows.censored).sum()),
        n_censored=int(rows.censored.sum()),
        n_dropped=rows.dropped,
        noise=noise,
        derived={},
        search=starts,
        tried=grid,
        convention=_conventions(law, convention, residual),
        range=_ranges(rows),
        where=where,
        warnings=find_warnings(law, rows, noise, identified, at_bound, grid, starts, convention),
        rows=_diagnostics(rows, law, theta),
    )
    result = replace(result, derived=_derived(result))
    return result.with_holdout(*hold_out(result, frame[held], law)) if holdout is not None else result


def make_problem(law: Law, rows: Rows, centre: Mapping[str, float], residual: str) -> Problem:
    """The minimisation problem of `law` on `rows`, in coordinates at `centre`."""
    logs = law.at(centre).logs(rows.columns)
    lower, upper = law.bounds(float(rows.loss[~rows.censored].min()))
    target = np.log(rows.loss) if residual == "log" else rows.loss
    return Problem(law, logs, target, rows.censored, residual, law.to_search(lower), law.to_search(upper))


def search(problem: Problem, loss: str, delta: float, losses: NDArray[Any]) -> tuple[Found, dict[str, int]]:
    """The best optimum from the law's starts, and how many of them reached it.

    Robust losses are approached from a wide delta, tenfold at a time, so that no start is caught by a kink.
    """
    usable = ~problem.censored
    starts = problem.law.starts({name: values[usable] for name, values in problem.logs.items()}, losses[usable])
    u = problem.law.to_search(starts)
    ones = np.ones(problem.target.size)
    final = 1e-7 if loss == "lad" else delta
    width = COARSE_DELTA
    while loss != "squares" and width > 3 * final:
        u = minimise(problem, u, ones, make_loss("huber", width), tolerance=1e-6, max_iterations=30).u
        width /= 10.0
    found = minimise(problem, u, ones, make_loss(loss, final), exact=True)
    order = np.argsort(found.objective, kind="stable")
    best = found.objective[order[0]]
    reached = int((found.objective <= best + SAME_OPTIMUM * (abs(best) + 1e-12)).sum())
    report = {"starts": len(u), "reached_optimum": reached, "converged": int(found.converged[order[0]])}
    return Found(*(array[order[:1]] for array in found)), report


def _bootstrap(
    problem: Problem,
    rows: Rows,
    u: NDArray[Any],
    loss: str,
    delta: float,
    n_draws: int,
    rng: np.random.Generator,
) -> NDArray[Any]:
    """Refits (n_draws, p) from the optimum under bootstrap weights, each with its own penalty."""
    if not n_draws:
        return np.empty((0, u.shape[1]))
    centre, width, weight = problem.law.penalty
    luck = rng.standard_normal((n_draws, centre.size))
    expected = centre + np.where(weight > 0, np.where(weight > 0, width, 0.0) * luck, 0.0)
    weights = bootstrap_weights(rows, n_draws, rng)
    robust = make_loss(loss, max(delta, 1e-5) if loss == "lad" else delta)
    start = np.repeat(u, n_draws, axis=0)
    return minimise(problem, start, weights, robust, tolerance=1e-7, max_iterations=60, expected=expected).u


def hold_out(result: Fit, frame: pd.DataFrame, law: Law) -> tuple[dict[str, Any], list[str]]:
    """How the law predicts rows it has not seen, and warnings."""
    check(len(frame) > 0, "holdout", "no rows", "a query that some rows satisfy")
    rows = prepare(frame, law)
    used = ~rows.censored
    columns = {name: values[used] for name, values in rows.columns.items()}
    measured, predicted = rows.loss[used], law.predict(result.theta, columns)
    error = predicted / measured - 1.0
    report = {
        "n_rows": int(used.sum()),
        "mean_relative_error": float(np.abs(error).mean()),
        "n_dropped": {**rows.dropped, **({"censored": int((~used).sum())} if not used.all() else {})},
        "rows": [
            {
                **{name: float(columns[name][i]) for name in columns},
                "measured": float(measured[i]),
                "predicted": float(predicted[i]),
                "relative_error": float(error[i]),
            }
            for i in range(measured.size)
        ],
    }
    return report, []


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
        "loss": "nats per token",
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
    predicted = law.predict(theta, rows.columns)
    return {
        **{name: values.tolist() for name, values in rows.columns.items()},
        "loss": rows.loss.tolist(),
        "predicted": predicted.tolist(),
        "censored": rows.censored.tolist(),
        "relative_residual": (predicted / rows.loss - 1.0).tolist(),
        "row": [str(label) for label in rows.index],
    }
