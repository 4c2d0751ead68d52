"""A law and rows as a problem to minimise: coordinates at the centre of the data, parameters held by the caller."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lbscale.errors import check, check_choice
from lbscale.laws.form import Law
from lbscale.laws.search import Problem
from lbscale.laws.table import Rows

OPEN = 60.0  # bound on a searched coordinate whose parameter has none at the reference


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


def open_bounds(problem: Problem) -> Problem:
    """The problem in coordinates at the law's reference, where coefficients that move with it have no bounds."""
    moves = np.array([bool(parameter.scaling) for parameter in problem.law.parameters])
    lower, upper = np.where(moves, -OPEN, problem.lower), np.where(moves, OPEN, problem.upper)
    return replace(problem, lower=lower, upper=upper)
