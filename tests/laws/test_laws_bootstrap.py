"""Refits under row weights: where they begin, where they end, and how rows are drawn."""

from __future__ import annotations

import numpy as np
from scipy.optimize import minimize
from surface_tables import grid_table

from lbscale import laws
from lbscale.laws.bootstrap import bootstrap_weights, refit
from lbscale.laws.losses import make_loss
from lbscale.laws.problem import make_problem
from lbscale.laws.table import Rows, prepare
from lbscale.laws.tangent import linear_refits

TRUTH = np.array([1.8, 480.0, 2100.0, 0.35, 0.37])
CENTRE = {"n_params": 7e8, "n_tokens": 2e10}


def simulated(rng: np.random.Generator, n_sizes: int, n_budgets: int) -> Rows:
    table = grid_table(n_sizes, n_budgets)
    loss = laws.CHINCHILLA.predict(TRUTH, table) * np.exp(0.01 * rng.standard_normal(len(table)))
    return prepare(table.assign(loss=loss), laws.CHINCHILLA)


def at_centre(rows: Rows):
    u = laws.CHINCHILLA.to_search(laws.CHINCHILLA.move(TRUTH, {}, CENTRE))
    return make_problem(laws.CHINCHILLA, rows, CENTRE, "log"), u


def test_the_tangent_s_optimum_is_weighted_least_squares(rng):
    rows = simulated(rng, 30, 40)  # more rows than a block has
    problem, u = at_centre(rows)
    weights = rng.exponential(size=(3, rows.n))
    loss = make_loss("squares", 1.0)
    found, gain = linear_refits(problem, u, weights, np.zeros((3, 5)), loss)
    residual, jacobian = (array[0] for array in problem.residuals(u[None]))
    for k, root in enumerate(np.sqrt(weights)):
        step = np.linalg.lstsq((root * jacobian).T, -root * residual, rcond=None)[0]
        np.testing.assert_allclose(found[k] - u, step, rtol=1e-2, atol=1e-2 * np.abs(step).max())
        after = residual + step @ jacobian
        np.testing.assert_allclose(gain[k], 0.5 * weights[k] @ (residual**2 - after**2), rtol=1e-3)


def test_refits_end_where_scipy_does(rng):
    rows = simulated(rng, 8, 10)
    problem, u = at_centre(rows)
    loss = make_loss("huber", 1e-2)
    draws = refit(problem, rows, u, loss, 5, np.random.default_rng(3))
    same = np.random.default_rng(3)
    same.standard_normal((5, 5))
    weights = bootstrap_weights(rows, 5, same)
    for draw, weight in zip(draws, weights, strict=True):
        objective = lambda x, w=weight: float(w @ loss(problem.residuals(x[None])[0][0]).value)
        best = minimize(objective, draw, method="Nelder-Mead", options={"xatol": 1e-7, "fatol": 1e-13, "maxiter": 4000})
        gain = objective(u) - best.fun
        assert objective(draw) - best.fun < 1e-2 * gain


def test_rows_that_share_nothing_are_drawn_with_replacement(rng):
    rows = simulated(rng, 5, 8)
    weights = bootstrap_weights(rows, 4000, rng)
    np.testing.assert_array_equal(weights, weights.astype(int))
    np.testing.assert_array_equal(weights.sum(axis=1), rows.n)
    np.testing.assert_allclose(weights.var(axis=0), 1.0 - 1.0 / rows.n, rtol=0.15)
    np.testing.assert_allclose(np.corrcoef(weights.T)[np.triu_indices(rows.n, 1)].mean(), -1.0 / (rows.n - 1), rtol=0.2)
