"""The joined surface: what it contains, planted constants, and that its optimum is one."""

from __future__ import annotations

import numpy as np
import pytest
from laws_tables import CHINCHILLA_TRUTH
from scipy.optimize import least_squares
from surface_tables import grid_table

from lbscale import laws

SKALING = laws.get("skaling")
#                 E    A      B      alpha beta  kappa
TRUTH = np.array([1.7, 400.0, 1300.0, 0.33, 0.34, 0.6])


def bracket(theta, table):
    """The published form, in float64: E + (a/N^p + b/D^q)^kappa."""
    E, A, B, alpha, beta, kappa = theta
    a, b, p, q = A ** (1 / kappa), B ** (1 / kappa), alpha / kappa, beta / kappa
    return E + (a / table.n_params**p + b / table.n_tokens**q) ** kappa


def test_is_the_published_bracket(rng):
    table = grid_table()
    np.testing.assert_allclose(SKALING.predict(TRUTH, table), bracket(TRUTH, table), rtol=1e-12)


def test_contains_chinchilla():
    table = grid_table()
    theta = np.array([*CHINCHILLA_TRUTH, 1.0])
    np.testing.assert_allclose(
        SKALING.predict(theta, table), laws.CHINCHILLA.predict(CHINCHILLA_TRUTH, table), rtol=1e-12
    )


def test_takes_the_larger_term_as_kappa_falls():
    table = grid_table()
    theta = np.array([*TRUTH[:5], 0.02])
    larger = np.maximum(TRUTH[1] / table.n_params ** TRUTH[3], TRUTH[2] / table.n_tokens ** TRUTH[4])
    np.testing.assert_allclose(SKALING.predict(theta, table) - TRUTH[0], larger, rtol=0.015)


def test_recovers_planted_constants(rng):
    table = grid_table()
    table["loss"] = bracket(TRUTH, table) * np.exp(0.003 * rng.normal(size=len(table)))
    fit = laws.fit(table, "skaling", params_convention="total")
    for name, value in zip(SKALING.names, TRUTH, strict=True):
        low, high = fit.interval[name]
        assert low - 0.3 * (high - low) < value < high + 0.3 * (high - low), name
    p = fit.derived["bracket_exponent_n_params"]
    assert p["interval"][0] < TRUTH[3] / TRUTH[5] < p["interval"][1]


def test_no_start_of_scipy_finds_better(chinchilla_csv):
    fit = laws.fit(chinchilla_csv, "skaling", loss="squares", params_convention="total", bootstrap=0)
    table = laws.read_table(chinchilla_csv)
    x, y = np.log(table.n_params / 1e9), np.log(table.n_tokens / 1e10)

    def residual(u):
        E, log_a, log_b, alpha, beta, log_kappa = u
        kappa = np.exp(log_kappa)
        joined = kappa * np.logaddexp((log_a - alpha * x) / kappa, (log_b - beta * y) / kappa)
        return np.log(np.abs(E) + np.exp(joined)) - np.log(table.loss)

    starts = [[1.5, -1.0, -1.0, a, b, k] for a in (0.2, 0.5) for b in (0.2, 0.5) for k in (-0.7, 0.7)]
    best = min(least_squares(residual, start, xtol=1e-12, ftol=1e-12).cost for start in starts)
    assert fit.objective == pytest.approx(best, rel=1e-6)
