"""Minimise a weighted sum of robust losses over bounded parameters, for many weightings or starts at once."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from lbscale.laws.form import Array, Law
from lbscale.laws.losses import LossValue

LARGEST_STEP = 1.0
PORTION_NUMBERS = 200_000  # of a portion's Jacobians: what a core's cache holds


@dataclass(frozen=True)
class Problem:
    """What is minimised: the residuals of a law on rows, in coordinates at the centre of the data.

    `target` is the law's targets (k n,), or their logarithms where `residual` is "log"; a censored one has a
    residual only where the law falls below it, since it is then a lower bound. A parameter whose bounds are equal
    is held there.
    """

    law: Law
    logs: dict[str, NDArray[Any]]
    target: NDArray[Any]
    censored: NDArray[Any]
    residual: str
    lower: NDArray[Any]
    upper: NDArray[Any]

    def residuals(self, u: Array) -> tuple[Array, Array]:
        """Residuals (k, n) and their derivative by u (k, p, n), for coordinates u (k, p)."""
        theta = self.law.from_search(u)
        value, jacobian = self.law.value_and_jacobian(theta, self.logs)
        chain = np.where(self.law.is_log, theta, 1.0)[..., None]
        if self.residual == "log":
            residual, jacobian = np.log(value) - self.target, jacobian / value[..., None, :]
        else:
            residual, jacobian = value - self.target, jacobian.copy()
        jacobian *= chain
        if self.censored.any():
            silent = self.censored & (residual > 0)
            residual = np.where(silent, 0.0, residual)
            jacobian = np.where(silent[..., None, :], 0.0, jacobian)
        return residual, jacobian

    def held_at(self, u: Array) -> Array:
        """Which coordinates (..., p) lie at a bound."""
        return (u <= self.lower) | (u >= self.upper)


class Found(NamedTuple):
    """Where searches ended: coordinates (k, p), objectives (k,) and whether each came to rest (k,)."""

    u: Array
    objective: Array
    converged: Array


class _Searches(NamedTuple):
    """What each of k searches has of its own: row weights (k, n), centres of the penalty and bounds, each (k, p)."""

    weights: Array
    centres: Array
    lower: Array
    upper: Array

    def take(self, which: Any) -> _Searches:
        return _Searches(*(array[which] for array in self))


def minimise(
    problem: Problem,
    start: Array,
    weights: Array,
    loss: Callable[[Array], LossValue],
    *,
    tolerance: float = 1e-15,
    enough: float = 0.0,
    max_iterations: int = 200,
    exact: bool = False,
    expected: Array | None = None,
    bounds: tuple[Array, Array] | None = None,
) -> Found:
    """Damped Newton from each of the starts (k, p), each with its own row weights (k, n) or all with (n,).

    The damping is the curvature of the quadratic that majorises the loss, so a strongly damped step is one of
    iteratively reweighted least squares and an undamped one is Newton's. A search rests once a step gains less
    than `tolerance` of its objective, or less than `enough`. `exact` adds the law's own second derivatives.
    `expected` (k, p) replaces the centres of the law's penalty, `bounds` (k, p) the problem's. The searches are
    taken in portions.
    """
    k = len(start)
    lower, upper = bounds if bounds is not None else (problem.lower, problem.upper)
    searches = _Searches(
        np.broadcast_to(weights, (k, problem.target.size)),
        np.broadcast_to(problem.law.penalty[0] if expected is None else expected, start.shape),
        np.broadcast_to(lower, start.shape),
        np.broadcast_to(upper, start.shape),
    )
    size = max(1, PORTION_NUMBERS // max(1, problem.target.size * start.shape[1]))
    portions = [slice(i, i + size) for i in range(0, k, size)]

    def run(part: slice) -> Found:
        return _minimise(
            problem, start[part], searches.take(part), loss, tolerance, enough, max_iterations, exact
        )  # fmt: skip

    found = [run(part) for part in portions]
    return Found(*(np.concatenate(arrays) for arrays in zip(*found, strict=True)))


def _minimise(
    problem: Problem,
    start: Array,
    searches: _Searches,
    loss: Callable[[Array], LossValue],
    tolerance: float,
    enough: float,
    max_iterations: int,
    exact: bool,
) -> Found:
    u = np.clip(start, searches.lower, searches.upper)
    residual, jacobian = problem.residuals(u)
    parts = loss(residual)
    objective = _total(problem, u, searches, parts.value)
    damping = np.full(len(u), 0.1)
    converged = np.zeros(len(u), bool)
    at, here, own = np.arange(len(u)), u, searches  # of the searches still moving
    scale = (jacobian**2 @ (own.weights * parts.majorant)[..., None])[..., 0]
    for _ in range(max_iterations):
        step, decrement = _step(problem, here, jacobian, own, parts, damping[at], scale, exact)
        still = (decrement <= enough) & (damping[at] <= 0.1)
        if still.any():
            converged[at[still]] = True
            if still.all():
                break
            moving = ~still
            at, here, own, scale, step = at[moving], here[moving], own.take(moving), scale[moving], step[moving]
            decrement, residual, jacobian = decrement[moving], residual[moving], jacobian[moving]
            parts = LossValue(*(x[moving] for x in parts))
        trial = np.clip(here + step, own.lower, own.upper)
        trial_residual, trial_jacobian = problem.residuals(trial)
        trial_parts = loss(trial_residual)
        trial_objective = _total(problem, trial, own, trial_parts.value)
        better = trial_objective < objective[at]
        for new, old in zip(
            (trial, trial_residual, trial_jacobian, *trial_parts), (here, residual, jacobian, *parts), strict=True
        ):
            new[~better] = old[~better]
        here, residual, jacobian, parts = trial, trial_residual, trial_jacobian, trial_parts
        gained = np.where(better, objective[at] - trial_objective, 0.0)
        objective[at] = np.where(better, trial_objective, objective[at])
        damping[at] = np.where(better, damping[at] * 0.1, damping[at] * 10.0)
        least = np.maximum(enough, tolerance * (objective[at] + 1e-300))
        still = np.where(better, np.maximum(decrement, gained) <= least, (decrement <= least) | (damping[at] > 1e9))
        u[at] = here
        converged[at[still]] = True
        if still.all():
            break
        if still.any():
            moving = ~still
            at, here, own, scale = at[moving], here[moving], own.take(moving), scale[moving]
            residual, jacobian, parts = residual[moving], jacobian[moving], LossValue(*(x[moving] for x in parts))
    return Found(u, objective, converged)


def _step(
    problem: Problem,
    u: Array,
    jacobian: Array,
    own: _Searches,
    parts: LossValue,
    damping: Array,
    scale: Array,
    exact: bool,
) -> tuple[Array, Array]:
    """The damped step (k, p), bounded in each coordinate, and the decrease (k,) its quadratic expects.

    `scale` (k, p) is the majorising curvature along each coordinate, to its order of magnitude.
    """
    n_parameters = u.shape[1]
    slope = own.weights * parts.slope
    penalty = problem.law.penalty[2]
    gradient = (jacobian @ slope[..., None])[..., 0] + penalty * (u - own.centres)
    curvature = own.weights * (parts.curvature + damping[:, None] * parts.majorant)
    matrix = (jacobian * curvature[:, None, :]) @ jacobian.swapaxes(-1, -2)
    if exact:
        matrix = matrix + law_curvature(problem, u, slope)
    floor = 1e-12 * scale.max(axis=1, keepdims=True) + 1e-300
    ridge = (1e-2 * damping[:, None] + 1e-10) * scale + floor + penalty
    matrix = matrix + ridge[..., None] * np.eye(n_parameters)
    at_lower, at_upper = u <= own.lower, u >= own.upper
    held = (at_lower & (gradient > 0)) | (at_upper & (gradient < 0)) | (at_lower & at_upper)
    gradient = np.where(held, 0.0, gradient)
    matrix = np.where(held[:, :, None] | held[:, None, :], 0.0, matrix) + held[..., None] * np.eye(n_parameters)
    try:
        step = -np.linalg.solve(matrix, gradient[..., None])[..., 0]
    except np.linalg.LinAlgError:  # a table of one setting leaves directions without any curvature
        step = -(np.linalg.pinv(matrix, hermitian=True) @ gradient[..., None])[..., 0]
    expected = -0.5 * (gradient * step).sum(axis=1)
    # A direction that climbs (an indefinite Hessian) is refused by reporting no decrease of its own.
    step = np.where((expected < 0)[:, None], -gradient / (scale + floor), step)
    step *= np.minimum(1.0, LARGEST_STEP / (np.abs(step).max(axis=1, keepdims=True) + 1e-300))
    return step, np.where(expected < 0, np.inf, expected)


def law_curvature(problem: Problem, u: Array, slope: Array, width: float = 1e-5) -> Array:
    """Sum over rows of slope (k, n) times the residual's second derivative (k, p, p), by differences."""
    columns = []
    for shift in width * np.eye(u.shape[1]):
        ahead, behind = problem.residuals(u + shift)[1], problem.residuals(u - shift)[1]
        columns.append(((ahead - behind) @ slope[..., None])[..., 0] / (2.0 * width))
    curvature = np.stack(columns, axis=-1)
    return 0.5 * (curvature + curvature.swapaxes(-1, -2))


def _total(problem: Problem, u: Array, own: _Searches, values: Array) -> Array:
    return np.einsum("kn,kn->k", own.weights, values) + 0.5 * (problem.law.penalty[2] * (u - own.centres) ** 2).sum(
        axis=1
    )
