"""Profile intervals: how far a parameter can go before the objective, minimised over the others, has risen too much.

The rise allowed is what a parabola would show at the end of the delta method's interval, so that both agree where
the objective is one, under robust losses and shared errors as well; a profile differs where it is lopsided
(Venzon and Moolgavkar 1988, https://doi.org/10.2307/2347496).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lbscale.laws.losses import LossValue
from lbscale.laws.search import Problem, minimise

ROUNDS = 8
FARTHEST = 8.0  # times the delta method's half-width: a side that has not risen by then is open


def profile_interval(
    problem: Problem,
    u: NDArray[Any],
    weights: NDArray[Any],
    loss: Callable[[NDArray[Any]], LossValue],
    half_width: NDArray[Any],
    curvature: NDArray[Any],
) -> tuple[NDArray[Any], NDArray[Any]]:
    """Ends (p,), (p,) of the intervals about the optimum u (p,), in the problem's coordinates.

    `half_width` (p,) is the delta method's and `curvature` (p,) that of the profiled objective; where either is
    unknown the ends are NaN, for a parameter that is held they are its value, and on an open side infinite.
    """
    held = problem.lower >= problem.upper
    searched = np.flatnonzero(~held & np.isfinite(half_width) & (half_width > 0) & (curvature > 0))
    which = np.repeat(searched, 2)
    sign = np.tile([-1.0, 1.0], searched.size)
    allowed = 0.5 * (half_width**2 * curvature)[which]
    lowest = minimise(problem, u[None], weights, loss, max_iterations=50).objective[0]
    inside, outside, value_inside = np.zeros(which.size), np.full(which.size, np.inf), np.zeros(which.size)
    distance, start = np.ones(which.size), np.tile(u, (which.size, 1))
    at = np.arange(which.size)
    for _ in range(ROUNDS if which.size else 0):
        place = u[which] + sign * distance * half_width[which]
        lower, upper = np.tile(problem.lower, (which.size, 1)), np.tile(problem.upper, (which.size, 1))
        lower[at, which] = upper[at, which] = np.clip(place, problem.lower[which], problem.upper[which])
        found = minimise(problem, start, weights, loss, tolerance=1e-9, max_iterations=60, bounds=(lower, upper))
        rise, start = np.maximum(found.objective - lowest, 1e-12 * allowed), found.u
        below = rise < allowed
        inside, value_inside = np.where(below, distance, inside), np.where(below, rise, value_inside)
        outside = np.where(below, outside, distance)
        guess = distance * np.clip(np.sqrt(allowed / rise), 0.3, 2.0)
        middle = 0.5 * (inside + np.where(np.isfinite(outside), outside, 2.0 * inside))
        distance = np.where((guess > inside) & (guess < outside), guess, middle)
        distance = np.minimum(distance, FARTHEST)
    ends = np.where(
        np.isfinite(outside) | (distance < FARTHEST), u[which] + sign * distance * half_width[which], sign * np.inf
    )
    low, high = np.where(held, u, np.nan), np.where(held, u, np.nan)
    low[searched], high[searched] = ends[0::2], ends[1::2]
    return low, high
