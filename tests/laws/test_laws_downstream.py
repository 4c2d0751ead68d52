"""From loss to downstream error and accuracy: planted constants, and the paper's predictions."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest
from laws_tables import surface_table
from surface_tables import redpajama_table

from lbscale import laws
from lbscale.errors import InputError

ERROR_TRUTH = np.array([0.87, 2.0, 0.68])
ACCURACY_TRUTH = np.array([0.25, 0.95, 2.4, 3.0])


def test_error_recovers_planted_constants(rng):
    loss = rng.uniform(2.2, 5.0, 120)
    epsilon, k, gamma = ERROR_TRUTH
    error = epsilon - k * np.exp(-gamma * loss) + 0.003 * rng.normal(size=loss.size)
    fit = laws.fit(pd.DataFrame({"loss": loss, "error": error}), "downstream_error")
    for name, value in zip(("epsilon", "k", "gamma"), ERROR_TRUTH, strict=True):
        low, high = fit.interval[name]
        assert low - 0.3 * (high - low) < value < high + 0.3 * (high - low), name


def test_accuracy_recovers_planted_constants(rng):
    loss = rng.uniform(1.0, 4.5, 150)
    floor, ceiling, midpoint, steepness = ACCURACY_TRUTH
    accuracy = floor + (ceiling - floor) / (1 + np.exp(steepness * (loss - midpoint)))
    table = pd.DataFrame({"loss": loss, "accuracy": accuracy + 0.005 * rng.normal(size=loss.size)})
    fit = laws.fit(table, "downstream_accuracy")
    for name, value in zip(("floor", "ceiling", "midpoint", "steepness"), ACCURACY_TRUTH, strict=True):
        low, high = fit.interval[name]
        assert low - 0.3 * (high - low) < value < high + 0.3 * (high - low), name


def test_two_steps_add_their_errors(rng):
    runs = surface_table(rng)
    runs["error"] = 0.9 - 1.5 * np.exp(-0.6 * runs.loss) + 0.002 * rng.normal(size=len(runs))
    first, second = laws.fit(runs, "chinchilla"), laws.fit(runs, "downstream_error")
    point = {"n_params": 4e10, "n_tokens": 1e12}
    answer = laws.two_step(first, second, **point)
    loss = first.predict(**point)
    assert answer.loss == loss.value
    assert answer.value == pytest.approx(0.9 - 1.5 * math.exp(-0.6 * loss.value), abs=0.02)
    low, high = answer.interval
    slope = second.params["k"] * second.params["gamma"] * math.exp(-second.params["gamma"] * loss.value)
    alone = slope * (loss.interval_mean[1] - loss.interval_mean[0])
    assert high - low > alone
    assert low < answer.value < high
    assert any("loss" in warning for warning in answer.warnings)


def test_two_steps_refuse_a_law_that_takes_sizes(rng):
    fit = laws.fit(surface_table(rng), "chinchilla", bootstrap=0)
    with pytest.raises(InputError, match="downstream_fit"):
        laws.two_step(fit, fit, n_params=1e9, n_tokens=1e10)


def test_published_predictions():
    redpajama = redpajama_table()
    loss_fit = laws.fit(redpajama.query("five"), "overtraining", params_convention="total", bootstrap=0)
    runs = redpajama.query("five or (n_params_total > 1e9 and n_params_total < 2e9 and multiplier == 20)")
    error_fit = laws.fit(runs, "downstream_error", map={"error": "error_avg_17"}, bootstrap=0)
    errors = {}
    for size, multiplier in ((1.4e9, 640), (6.9e9, 20)):
        run = redpajama[np.isclose(redpajama.n_params_total, size, rtol=0.05) & (redpajama.multiplier == multiplier)]
        point = {"n_params": run.n_params_total.item(), "n_tokens": run.n_tokens.item()}
        answer = laws.two_step(loss_fit, error_fit, **point)
        errors[multiplier] = round(100 * abs(answer.value / run.error_avg_17.item() - 1), 2)
    assert errors == {640: 3.64, 20: 0.05}
