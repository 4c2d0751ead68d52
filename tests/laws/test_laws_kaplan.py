"""Kaplan's surface: its published form and constants."""

from __future__ import annotations

import numpy as np
from surface_tables import grid_table

from lbscale import laws

KAPLAN = laws.get("kaplan")
N_C, D_C, ALPHA_N, ALPHA_D = 6.4e13, 1.8e13, 0.076, 0.103  # the paper's table of fits of L(N, D)


def published(table):
    return ((N_C / table.n_params) ** (ALPHA_N / ALPHA_D) + D_C / table.n_tokens) ** ALPHA_D


def test_is_the_published_form():
    table = grid_table()
    theta = np.array([N_C**ALPHA_N, D_C**ALPHA_D, ALPHA_N, ALPHA_D])
    np.testing.assert_allclose(KAPLAN.predict(theta, table), published(table), rtol=1e-12)
    sizes = KAPLAN.derived(theta)
    np.testing.assert_allclose(sizes["log_n_params_critical"], np.log(N_C))
    np.testing.assert_allclose(sizes["log_n_tokens_critical"], np.log(D_C))


def test_recovers_planted_constants(rng):
    table = grid_table()
    table["loss"] = published(table) * np.exp(0.003 * rng.normal(size=len(table)))
    fit = laws.fit(table, "kaplan", params_convention="non_embedding")
    assert not fit.warnings
    truth = {"alpha_N": ALPHA_N, "alpha_D": ALPHA_D}
    for name, value in truth.items():
        low, high = fit.interval[name]
        assert low - 0.3 * (high - low) < value < high + 0.3 * (high - low), name
    low, high = fit.derived["log_n_tokens_critical"]["interval"]
    assert low - 0.3 * (high - low) < np.log(D_C) < high + 0.3 * (high - low)
    assert high - low < 1.5
