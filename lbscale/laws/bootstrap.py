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
from lbscale.laws.tangent import linear_refits

CLOSE = 1e-3  # a refit rests once a step gains less than this share of what a typical refit gains in all
FIRST_STEPS = 3  # bring most refits to rest; the others go on together
DRAWN_AT_ONCE = 1_000_000  # rows


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
    found, lowest, waiting = start.copy(), np.full(n_draws, np.inf), np.arange(n_draws)
    for begin, most_steps in ((start, FIRST_STEPS), (found, 40), (np.broadcast_to(u, start.shape), 80)):
        tried = minimise(
            problem, begin[waiting], weights[waiting], loss,
            tolerance=1e-7, enough=enough, max_iterations=most_steps, expected=expected[waiting],
        )  # fmt: skip
        better = tried.objective <= lowest[waiting]
        found[waiting[better]], lowest[waiting[better]] = tried.u[better], tried.objective[better]
        waiting = waiting[~tried.converged | ~np.isfinite(tried.objective)]
        if not waiting.size:
            break
    return found


def bootstrap_weights(rows: Rows, n_draws: int, rng: np.random.Generator) -> NDArray[Any]:
    """Row weights (n_draws, n) of mean 1: counts of rows, or of the caller's groups; else products of
    those of cells, of seeds, and of trunks that cells share.

    A seed has one weight in all the cells it serves; weights of seeds that serve one cell alone share out that
    cell's. A table of a single seed is weighted by cells.
    """
    n = rows.n
    if rows.group is not None or not is_grouped(rows):
        group = np.unique(np.arange(n) if rows.group is None else rows.group, return_inverse=True)[1]
        weights = _counts(int(group.max()) + 1, n_draws, rng)[:, group]
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


def _counts(n: int, n_draws: int, rng: np.random.Generator) -> NDArray[Any]:
    """How often each of n is drawn (n_draws, n) in n draws with replacement."""
    counts, size = np.empty((n_draws, n)), max(1, DRAWN_AT_ONCE // n)
    for i in range(0, n_draws, size):
        part = counts[i : i + size]
        drawn = rng.integers(n, size=part.shape) + n * np.arange(len(part))[:, None]
        part[:] = np.bincount(drawn.ravel(), minlength=part.size).reshape(part.shape)
    return counts


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
