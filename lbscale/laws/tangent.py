"""Optima of a law's tangent under many row weightings: where refits of the law itself begin.

The law is not evaluated: residuals and curvatures of all draws are products of matrices, taken in blocks of draws and
of rows that a core's cache holds.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from lbscale.laws.losses import LossValue
from lbscale.laws.search import Problem

CLOSE = 1e-4  # all rest once none gains more in a step than this share of what it has gained
MOST_STEPS = 4
ROWS_OF_A_BLOCK = 500
SERIAL_PRODUCT = 250_000  # multiplications above which OpenBLAS starts threads, which cost more than they save here


def linear_refits(
    problem: Problem,
    u: NDArray[Any],
    weights: NDArray[Any],
    expected: NDArray[Any],
    loss: Callable[[NDArray[Any]], LossValue],
) -> tuple[NDArray[Any], NDArray[Any]]:
    """Optima (k, p) of the law's tangent at u (p,) under weights (k, n), and what each gains (k,) over u.

    `expected` (k, p) are the centres of the law's penalty.
    """
    residual, jacobian = (array[0] for array in problem.residuals(u[None]))
    jacobian = np.where(problem.held_at(u)[:, None], 0.0, jacobian)
    one, other = np.tril_indices(u.size)
    tangent = _Tangent(residual, jacobian, jacobian[one] * jacobian[other], problem.law.penalty[2])
    size = max(8, SERIAL_PRODUCT // (one.size * min(residual.size, ROWS_OF_A_BLOCK)))
    parts = [slice(i, i + size) for i in range(0, len(weights), size)]
    found = [tangent.minimise(weights[part], u - expected[part], loss) for part in parts]
    return u + np.concatenate([step for step, _ in found]), np.concatenate([gain for _, gain in found])


class _Sums(NamedTuple):
    """Sums over rows of the loss (k,), its slope (k, p), and its curvature (k, p (p + 1) / 2)."""

    value: NDArray[Any]
    slope: NDArray[Any]
    curvature: NDArray[Any]


@dataclass(frozen=True)
class _Tangent:
    """Residuals (n,), their derivatives (p, n), the products of those in pairs, and the weight of the penalty (p,)."""

    residual: NDArray[Any]
    jacobian: NDArray[Any]
    squares: NDArray[Any]
    stiffness: NDArray[Any]

    def minimise(
        self, weights: NDArray[Any], away: NDArray[Any], loss: Callable[[NDArray[Any]], LossValue]
    ) -> tuple[NDArray[Any], NDArray[Any]]:
        """Damped Newton's step (k, p) from coordinates `away` (k, p) from the centres of the penalty, and its gain."""
        step, damping = np.zeros(away.shape), np.full(len(away), 0.1)
        parts = loss(self.residual)  # of every draw: what follows of it is linear in the weights
        here = _Sums(
            weights @ parts.value,
            weights @ (parts.slope * self.jacobian).T,
            weights @ (parts.curvature * self.squares).T,
        )
        majorant = weights @ (parts.majorant * self.squares).T
        first = objective = here.value + self.penalty(away)
        for _ in range(MOST_STEPS):
            bend = self.square(here.curvature + damping[:, None] * majorant)
            slope = here.slope + self.stiffness * (step + away)
            trial = step - np.linalg.solve(bend, slope[..., None])[..., 0]
            there = self.sums(weights, trial, loss)
            value = there.value + self.penalty(trial + away)
            worse = ~(value < objective)
            for new, old in zip((trial, *there), (step, *here), strict=True):
                new[worse] = old[worse]
            step, here = trial, there
            gained = np.where(worse, 0.0, objective - value)
            objective = objective - gained
            damping = np.where(worse, 10.0 * damping, 0.1 * damping)
            if (gained < CLOSE * (first - objective)).all():
                break
        return step, first - objective

    def sums(self, weights: NDArray[Any], step: NDArray[Any], loss: Callable[[NDArray[Any]], LossValue]) -> _Sums:
        """The weighted sums after steps (k, p)."""
        (k, p), pairs = step.shape, len(self.squares)
        found = _Sums(np.zeros(k), np.zeros((k, p)), np.zeros((k, pairs)))
        for i in range(0, self.residual.size, ROWS_OF_A_BLOCK):
            rows = slice(i, i + ROWS_OF_A_BLOCK)
            jacobian, weight = self.jacobian[:, rows], weights[:, rows]
            parts = loss(self.residual[rows] + step @ jacobian)
            found.value[:] += np.einsum("kn,kn->k", weight, parts.value)
            found.slope[:] += (weight * parts.slope) @ jacobian.T
            found.curvature[:] += (weight * parts.curvature) @ self.squares[:, rows].T
        return found

    def penalty(self, away: NDArray[Any]) -> NDArray[Any]:
        """The penalty (k,) of coordinates (k, p) from its centres."""
        return 0.5 * (self.stiffness * away**2).sum(axis=1)

    def square(self, pairs: NDArray[Any]) -> NDArray[Any]:
        """The symmetric matrices (k, p, p) with these lower triangles, and the penalty's, kept invertible."""
        p = self.stiffness.size
        one, other = np.tril_indices(p)
        matrix = np.empty((len(pairs), p, p))
        matrix[:, one, other] = matrix[:, other, one] = pairs
        diagonal = np.einsum("kjj->kj", matrix)
        diagonal += self.stiffness
        diagonal += 1e-9 * diagonal + 1e-12 * diagonal.max(axis=1, keepdims=True) + 1e-300
        return matrix
