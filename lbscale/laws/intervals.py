"""Standard errors and 95 % intervals of a fit's parameters, in the law's units and at its reference."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from lbscale.laws.criterion import Criterion
from lbscale.laws.effects import Effects
from lbscale.laws.problem import hold, make_problem, open_bounds
from lbscale.laws.profile import profile_interval
from lbscale.laws.search import Problem
from lbscale.laws.table import Rows
from lbscale.laws.uncertainty import Z975, Noise, scaled_sd

INTERVALS = ("delta", "bootstrap", "profile")


class Solution(NamedTuple):
    """A problem at the data's centre, its optimum u (p,), and what is known of how far from the truth that lies.

    `draws` (k, p) are bootstrap refits; `shift` (p, p) carries coordinates to the law's reference.
    """

    problem: Problem
    u: NDArray[Any]
    draws: NDArray[Any]
    shift: NDArray[Any]
    effects: Effects
    noise: Noise

    def half_width(self, method: str, shift: NDArray[Any]) -> NDArray[Any]:
        """Half-widths (p,) of 95 % intervals of coordinates `shift` @ u, by the delta method or from the draws."""
        if method == "bootstrap":
            return Z975 * scaled_sd(self.draws @ shift.T, self.noise)
        return self.effects.moved(shift).reach(np.eye(self.u.size))


class Interval(NamedTuple):
    """Per parameter (p,): the standard error and the ends of the 95 % interval."""

    standard_error: NDArray[Any]
    lower: NDArray[Any]
    upper: NDArray[Any]


def parameter_intervals(
    solution: Solution, method: str, rows: Rows, criterion: Criterion, fixed: Mapping[str, float]
) -> Interval:
    """The intervals, made by a method of `INTERVALS`, which end at the parameters' bounds.

    A parameter that is held has an interval of no width, one that lies at a bound has none (NaN).
    """
    problem, law = solution.problem, solution.problem.law
    place = solution.shift @ solution.u
    if method == "profile":
        low, high = _profiled(solution, rows, criterion, fixed)
    else:
        reach = solution.half_width(method, solution.shift)
        low, high = place - reach, place + reach
    low, high, theta = law.from_search(low), law.from_search(high), law.from_search(place)
    stays = ~np.array([bool(parameter.scaling) for parameter in law.parameters])
    low = np.where(stays, np.maximum(low, law.from_search(problem.lower)), low)
    high = np.where(stays, np.minimum(high, law.from_search(problem.upper)), high)
    held = problem.lower >= problem.upper
    error = np.where(held, 0.0, _standard_error(solution, theta))
    # At a bound the law does not move with the parameter: a width of nothing says that nothing is known.
    ends = np.where(low < high, [low, high], np.nan)
    return Interval(error, *np.where(held, theta, ends))


def _standard_error(solution: Solution, theta: NDArray[Any]) -> NDArray[Any]:
    """Of the draws, corrected for few groups; of the delta method where there are none."""
    law = solution.problem.law
    if len(solution.draws) > 1:
        return np.asarray(law.from_search(solution.draws @ solution.shift.T).std(axis=0) * solution.noise.inflation)
    sd = np.sqrt(solution.effects.moved(solution.shift).variance(np.eye(theta.size))[0])
    return np.where(np.isfinite(sd), sd * np.where(law.is_log, theta, 1.0), np.nan)


def _profiled(
    solution: Solution, rows: Rows, criterion: Criterion, fixed: Mapping[str, float]
) -> tuple[NDArray[Any], NDArray[Any]]:
    """Ends of profile intervals (p,) of the coordinates at the law's reference."""
    law, effects = solution.problem.law, solution.effects.moved(solution.shift)
    problem = hold(open_bounds(make_problem(law, rows, law.reference or {}, criterion.residual)), fixed, None)
    half_width = solution.half_width("delta", solution.shift)
    return profile_interval(
        problem, solution.shift @ solution.u, rows.weight, criterion.of_refits, half_width, effects.curvature
    )
