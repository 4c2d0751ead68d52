"""Refits of a law under random row weights, from which standard errors and bands are read.

Rows keep their places and are weighted: by multinomial counts where they are independent, or of whole groups of the
caller's choice. Otherwise runs of one cell (the same params and budget of tokens) share what the law gets wrong there,
and runs of one seed or trunk share its luck, so cells, seeds and trunks are weighted: a Bayesian bootstrap (Rubin 1981,
https://doi.org/10.1214/aos/1176345338), whose weights are never zero, so that a design of a dozen cells stays fittable.
Crossed factors multiply (Owen and Eckles 2012, https://arxiv.org/abs/1106.2125), which is slightly conservative.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lbscale.laws.losses import LossValue
from lbscale.laws.search import Problem, minimise
from lbscale.laws.table import Rows

CLOSE = 1e-3  # a refit rests once a step gains less than this share of what a typical refit gains in all
LINEAR_STEPS = 4
SERIAL_PRODUCT = 250_000  # multiplications above which OpenBLAS starts threads, which cost more than they save here


def refit(
    problem: Problem,
    rows: Rows,
    u: NDArray[Any],
    loss: Callable[[NDArray[Any]], LossValue],
    n_draws: int,
    rng: np.random.Generator,
) -> NDArray[Any]:
    """Refits (n_draws, p) under bootstrap weights, begun where the law's tangent at the optimum u (p,) has its own.

    Each draws the centres of mild penalties afresh. Those that have not come to rest are begun again from u.
    """
    if not n_draws:
        return np.empty((0, u.size))
    centre, width, stiffness = problem.law.penalty
    luck = rng.standard_normal((n_draws, centre.size))
    expected = centre + np.where(stiffness > 0, np.where(stiffness > 0, width, 0.0) * luck, 0.0)
    weights = np.tile(bootstrap_weights(rows, n_draws, rng), len(problem.law.targets)) * rows.weight
    start, gain = linear_refits(problem, u, weights, expected, loss)
    enough = CLOSE * float(np.median(gain))
    found = minimise(
        problem, start, weights, loss, tolerance=1e-7, enough=enough, max_iterations=40, expected=expected
    )  # fmt: skip
    poor = np.flatnonzero(~found.converged | ~np.isfinite(found.objective))
    if poor.size:
        again = minimise(
            problem, np.tile(u, (poor.size, 1)), weights[poor], loss,
            tolerance=1e-7, enough=enough, max_iterations=80, expected=expected[poor],
        )  # fmt: skip
        better = again.objective <= found.objective[poor]
        found.u[poor[better]] = again.u[better]
    return found.u


def linear_refits(
    problem: Problem,
    u: NDArray[Any],
    weights: NDArray[Any],
    expected: NDArray[Any],
    loss: Callable[[NDArray[Any]], LossValue],
) -> tuple[NDArray[Any], NDArray[Any]]:
    """Optima (k, p) of the law's tangent at u (p,) under weights (k, n), and what each gains (k,) over u.

    The law is not evaluated: residuals and curvatures of all draws are products of matrices.
    """
    residual, jacobian = (array[0] for array in problem.residuals(u[None]))
    jacobian = np.where(problem.held_at(u)[:, None], 0.0, jacobian)
    p, n = jacobian.shape
    squares = (jacobian[:, None] * jacobian[None, :]).reshape(p * p, n).T
    stiffness = problem.law.penalty[2]
    ridge = np.diag(stiffness + 1e-300)

    def solve(part: slice) -> tuple[NDArray[Any], NDArray[Any]]:
        w, centre = weights[part], expected[part]
        step, damping = np.zeros((len(w), p)), np.full(len(w), 0.1)
        parts = loss(np.broadcast_to(residual, w.shape))
        first = objective = (w * parts.value).sum(axis=1) + 0.5 * (stiffness * (u - centre) ** 2).sum(axis=1)
        for _ in range(LINEAR_STEPS):
            slope = (w * parts.slope) @ jacobian.T + stiffness * (u + step - centre)
            bend = ((w * (parts.curvature + damping[:, None] * parts.majorant)) @ squares).reshape(-1, p, p) + ridge
            diagonal = np.einsum("kjj->kj", bend)
            bend = bend + (1e-9 * diagonal + 1e-12 * diagonal.max(axis=1, keepdims=True) + 1e-300)[:, None] * np.eye(p)
            trial = step - np.linalg.solve(bend, slope[..., None])[..., 0]
            trial_parts = loss(residual + trial @ jacobian)
            penalty = 0.5 * (stiffness * (u + trial - centre) ** 2).sum(axis=1)
            value = np.einsum("kn,kn->k", w, trial_parts.value) + penalty
            better = value < objective
            step = np.where(better[:, None], trial, step)
            parts = LossValue(
                *(np.where(better[:, None], new, old) for new, old in zip(trial_parts, parts, strict=True))
            )
            gained = np.where(better, objective - value, 0.0)
            objective = np.where(better, value, objective)
            damping = np.where(better, 0.1 * damping, 10.0 * damping)
            if (gained < 0.1 * CLOSE * (first - objective)).all():
                break
        return u + step, first - objective

    size = max(8, SERIAL_PRODUCT // (n * p * p))
    solved = [solve(slice(i, i + size)) for i in range(0, len(weights), size)]
    return np.concatenate([place for place, _ in solved]), np.concatenate([gain for _, gain in solved])


def bootstrap_weights(rows: Rows, n_draws: int, rng: np.random.Generator) -> NDArray[Any]:
    """Row weights (n_draws, n) of mean 1: counts of rows, or of the caller's groups; else products of
    those of cells, of seeds, and of trunks that cells share.

    A seed has one weight in all the cells it serves; weights of seeds that serve one cell alone share out that
    cell's. A table of a single seed is weighted by cells.
    """
    n = rows.n
    if rows.group is not None or not is_grouped(rows):
        group = np.unique(np.arange(n) if rows.group is None else rows.group, return_inverse=True)[1]
        n_groups = int(group.max()) + 1
        weights = rng.multinomial(n_groups, np.full(n_groups, 1.0 / n_groups), size=n_draws)[:, group].astype(float)
        return weights * (n / np.maximum(weights.sum(axis=1, keepdims=True), 1.0))
    cells, cell = np.unique(rows.cell, return_inverse=True)
    weights = rng.standard_exponential((n_draws, cells.size))[:, cell]
    if rows.seed is not None:
        seeds, seed = np.unique(rows.seed, return_inverse=True)
        luck = rng.standard_exponential((n_draws, seeds.size))
        served, serving = np.unique(np.column_stack([cell, seed]), axis=0).T
        nested = np.bincount(serving)[serving] == 1
        owner, own = served[nested], serving[nested]
        total = np.zeros((n_draws, cells.size))
        np.add.at(total.T, owner, luck.T[own])
        luck[:, own] *= np.bincount(owner, minlength=cells.size)[owner] / total[:, owner]
        weights = weights * luck[:, seed]
    if rows.trunk is not None:
        trunks, trunk = np.unique(rows.trunk, return_inverse=True)
        shared = np.array([np.unique(cell[trunk == t]).size > 1 for t in range(trunks.size)])
        luck = np.where(shared, rng.standard_exponential((n_draws, trunks.size)), 1.0)
        weights = weights * luck[:, trunk]
    return weights * (n / weights.sum(axis=1, keepdims=True))


def is_grouped(rows: Rows) -> bool:
    """Whether any cell or trunk holds several rows; if none does, rows are the groups."""
    labels = [rows.cell] if rows.trunk is None else [rows.cell, rows.trunk]
    return any(np.unique(label).size < label.size for label in labels)


def spread(draws: NDArray[Any]) -> NDArray[Any]:
    """Standard deviation of draws (k, ...) over k from their central 68 %: one wild refit does not rule."""
    if len(draws) < 2:
        return np.full(draws.shape[1:], np.nan)
    low, high = np.quantile(draws, [0.1586552539, 0.8413447461], axis=0)
    return np.asarray(0.5 * (high - low))
