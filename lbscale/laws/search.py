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
MAX_NUMBERS = 4_000_000


@dataclass(frozen=True)
class Problem:
    """What is minimised: the residuals of a law on rows, in coordinates at the centre of the data.

    `target` is the loss (n,), or its logarithm where `residual` is "log"; a censored row has a residual only
    where the law falls below its target, which is then a lower bound.
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
        loss, jacobian = self.law.value_and_jacobian(theta, self.logs)
        jacobian = jacobian * np.where(self.law.is_log, theta, 1.0)[..., None]
        if self.residual == "log":
            residual, jacobian = np.log(loss) - self.target, jacobian / loss[..., None, :]
        else:
            residual = loss - self.target
        if self.censored.any():
            silent = self.censored & (residual > 0)
            residual, jacobian = (
                np.where(silent, 0.0, residual),
                np.where(silent[..., None, :], 0.0, jacobian),
            )
        return residual, jacobian


class Found(NamedTuple):
    """Where searches ended: coordinates (k, p), objectives (k,) and whether each came to rest (k,)."""

    u: Array
    objective: Array
    converged: Array


def minimise(
    problem: Problem,
    start: Array,
    weights: Array,
    loss: Callable[[Array], LossValue],
    *,
    tolerance: float = 1e-15,
    max_iterations: int = 200,
    exact: bool = False,
    expected: Array | None = None,
) -> Found:
    """Damped Newton from each of the starts (k, p), each with its own row weights (k, n) or all with (n,).

    The damping is the curvature of the quadratic that majorises the loss, so a strongly damped step is one of
    iteratively reweighted least squares and an undamped one is Newton's. `exact` adds the law's own second
    derivatives. `expected` (k, p) replaces the centres of the law's penalty. Memory is bounded by taking the
    searches in portions.
    """
    weights = np.broadcast_to(weights, (len(start), problem.target.size))
    centres = np.broadcast_to(problem.law.penalty[0] if expected is None else expected, start.shape)
    portion = max(1, MAX_NUMBERS // max(1, problem.target.size * start.shape[1]))
    parts = [
        _minimise(problem, start[part], weights[part], centres[part], loss, tolerance, max_iterations, exact)
        for part in (slice(i, i + portion) for i in range(0, len(start), portion))
    ]
    return Found(*(np.concatenate(arrays) for arrays in zip(*parts, strict=True)))


def _minimise(
    problem: Problem, start: Array, weights: Array, centres: Array, loss: Callable[[Array], LossValue],
    tolerance: float, max_iterations: int, exact: bool,
) -> Found:  # fmt: skip
    u = np.clip(start, problem.lower, problem.upper)
    residual, jacobian = problem.residuals(u)
    objective = _total(problem, u, weights, centres, loss(residual).value)
    damping = np.full(len(u), 0.1)
    converged = np.zeros(len(u), bool)
    at = np.arange(len(u))  # the searches still moving; the arrays below hold only theirs
    here, w, c = u, weights, centres
    for _ in range(max_iterations):
        parts = loss(residual)
        step, decrement = _step(problem, here, jacobian, w, c, parts, damping[at], exact)
        trial = np.clip(here + step, problem.lower, problem.upper)
        trial_residual, trial_jacobian = problem.residuals(trial)
        trial_objective = _total(problem, trial, w, c, loss(trial_residual).value)
        better = trial_objective < objective[at]
        here = np.where(better[:, None], trial, here)
        residual = np.where(better[:, None], trial_residual, residual)
        jacobian = np.where(better[:, None, None], trial_jacobian, jacobian)
        gained = np.where(better, objective[at] - trial_objective, 0.0)
        objective[at] = np.where(better, trial_objective, objective[at])
        damping[at] = np.where(better, damping[at] * 0.1, damping[at] * 10.0)
        scale = tolerance * (objective[at] + 1e-300)
        still = np.where(better, np.maximum(decrement, gained) <= scale, (decrement <= scale) | (damping[at] > 1e9))
        u[at] = here
        converged[at[still]] = True
        if still.all():
            break
        if still.any():
            moving = ~still
            at, here, w, c = at[moving], here[moving], w[moving], c[moving]
            residual, jacobian = residual[moving], jacobian[moving]
    return Found(u, objective, converged)


def _step(
    problem: Problem, u: Array, jacobian: Array, weights: Array, centres: Array, parts: LossValue,
    damping: Array, exact: bool,
) -> tuple[Array, Array]:  # fmt: skip
    """The damped step (k, p), bounded in each coordinate, and the decrease (k,) its quadratic expects."""
    n_parameters = u.shape[1]
    slope = weights * parts.slope
    penalty = problem.law.penalty[2]
    gradient = (jacobian @ slope[..., None])[..., 0] + penalty * (u - centres)
    transposed = jacobian.swapaxes(-1, -2)
    majorant = (jacobian * (weights * parts.majorant)[:, None, :]) @ transposed
    hessian = (jacobian * (weights * parts.curvature)[:, None, :]) @ transposed
    if exact:
        hessian = hessian + law_curvature(problem, u, slope)
    diagonal = np.einsum("kjj->kj", majorant)
    floor = 1e-12 * diagonal.max(axis=1, keepdims=True) + 1e-300
    ridge = damping[:, None] * 1e-2 * diagonal + 1e-10 * diagonal + floor + penalty
    matrix = hessian + damping[:, None, None] * majorant + ridge[..., None] * np.eye(n_parameters)
    held = ((u <= problem.lower) & (gradient > 0)) | ((u >= problem.upper) & (gradient < 0))
    gradient = np.where(held, 0.0, gradient)
    matrix = np.where(held[:, :, None] | held[:, None, :], 0.0, matrix) + held[..., None] * np.eye(n_parameters)
    try:
        step = -np.linalg.solve(matrix, gradient[..., None])[..., 0]
    except np.linalg.LinAlgError:  # a table of one setting leaves directions without any curvature
        step = -(np.linalg.pinv(matrix, hermitian=True) @ gradient[..., None])[..., 0]
    expected = -0.5 * (gradient * step).sum(axis=1)
    # A direction that climbs (an indefinite Hessian) is refused by reporting no decrease of its own.
    step = np.where((expected < 0)[:, None], -gradient / (diagonal + floor), step)
    step *= np.minimum(1.0, LARGEST_STEP / (np.abs(step).max(axis=1, keepdims=True) + 1e-300))
    return step, np.where(expected < 0, np.inf, expected)


def law_curvature(problem: Problem, u: Array, slope: Array, width: float = 1e-5) -> Array:
    """Sum over rows of slope (k, n) times the residual's second derivative (k, p, p), by differences."""
    n_parameters = u.shape[1]
    columns = []
    for j in range(n_parameters):
        shift = width * np.eye(n_parameters)[j]
        ahead, behind = problem.residuals(u + shift)[1], problem.residuals(u - shift)[1]
        columns.append(((ahead - behind) @ slope[..., None])[..., 0] / (2.0 * width))
    curvature = np.stack(columns, axis=-1)
    return 0.5 * (curvature + curvature.swapaxes(-1, -2))


def _total(problem: Problem, u: Array, weights: Array, centres: Array, values: Array) -> Array:
    return (weights * values).sum(axis=1) + 0.5 * (problem.law.penalty[2] * (u - centres) ** 2).sum(axis=1)
