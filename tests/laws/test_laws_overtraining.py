"""The law of over-training: its form, planted constants, and the paper's predictions."""

from __future__ import annotations

import numpy as np
from surface_tables import grid_table, redpajama_table

from lbscale import laws

OVERTRAINING = laws.get("overtraining")
TRUTH = np.array([1.8, 1500.0, 5000.0, 0.2])


def published(theta, table):
    E, a, b, eta = theta
    flops, multiplier = 6 * table.n_params * table.n_tokens, table.n_tokens / table.n_params
    return E + (a * multiplier**eta + b * multiplier**-eta) * flops**-eta


def test_is_the_published_form():
    table = grid_table()
    np.testing.assert_allclose(OVERTRAINING.predict(TRUTH, table), published(TRUTH, table), rtol=1e-12)


def test_recovers_planted_constants(rng):
    table = grid_table()
    table["loss"] = published(TRUTH, table) + 0.01 * rng.normal(size=len(table))
    fit = laws.fit(table, "overtraining", params_convention="total")
    for name, value in zip(OVERTRAINING.names, TRUTH, strict=True):
        low, high = fit.interval[name]
        assert low - 0.3 * (high - low) < value < high + 0.3 * (high - low), name


def test_published_predictions():
    redpajama = redpajama_table()
    fit = laws.fit(redpajama.query("five"), "overtraining", params_convention="total", bootstrap=0)
    errors = {}
    for size, multiplier in ((1.4e9, 640), (6.9e9, 20)):
        run = redpajama[np.isclose(redpajama.n_params_total, size, rtol=0.05) & (redpajama.multiplier == multiplier)]
        predicted = fit.predict(n_params=run.n_params_total.item(), n_tokens=run.n_tokens.item()).value
        errors[multiplier] = 100 * abs(predicted / run.loss.item() - 1)
    assert {multiplier: round(error, 2) for multiplier, error in errors.items()} == {640: 0.71, 20: 0.73}
