"""Tests of the loss trajectory at any batch: its equation, planted constants, and the paper's predictions."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import brentq

from lbscale.errors import InputError
from lbscale.laws.fit import fit
from lbscale.laws.trajectory import TRAJECTORY, critical_batch, fewest_steps, minimum_loss, trajectory_predictions

N_C, ALPHA_N, S_C, ALPHA_S, B_STAR, ALPHA_B = 1.5e14, 0.076, 2.6e3, 0.67, 1.7e8, 0.205
TRUTH = np.array([N_C**ALPHA_N, ALPHA_N, S_C**ALPHA_S, ALPHA_S, B_STAR * 3.0 ** (-1.0 / ALPHA_B), ALPHA_B])


def published(n_params: float, steps: float, batch: float) -> float:
    """The paper's form, its equation solved by bisection."""

    def miss(loss: float) -> float:
        ratio = B_STAR / (batch * loss ** (1.0 / ALPHA_B))
        return (N_C / n_params) ** ALPHA_N + (S_C / steps) ** ALPHA_S * (1.0 + ratio) ** ALPHA_S - loss

    return float(brentq(miss, 1e-3, 1e6, xtol=1e-13, rtol=1e-14))


def runs(rng: np.random.Generator, noise: float = 0.003) -> pd.DataFrame:
    """Losses along runs of five sizes at several batches."""
    rows = []
    for n_params in (1e6, 3e6, 1e7, 3e7, 6e7):
        for batch in (3e4, 2e5, 1e6, 5e6):
            for steps in np.exp(rng.uniform(np.log(300), np.log(1e5), 12)):
                loss = published(n_params, steps, batch) * np.exp(noise * rng.normal())
                rows.append((n_params, steps, batch, loss))
    return pd.DataFrame(rows, columns=["n_params", "steps", "batch_size_tokens", "loss"])


@settings(max_examples=60)
@given(st.floats(1e5, 1e12), st.floats(1.0, 1e7), st.floats(1e2, 1e9))
def test_the_loss_solves_the_published_equation(n_params: float, steps: float, batch: float) -> None:
    point = {"n_params": [n_params], "steps": [steps], "batch_size_tokens": [batch]}
    assert TRAJECTORY.predict(TRUTH, point)[0] == pytest.approx(published(n_params, steps, batch), rel=1e-11)


def test_the_written_jacobian_is_that_of_the_form(rng: np.random.Generator) -> None:
    logs = TRAJECTORY.logs(runs(rng))
    value, written = TRAJECTORY.value_and_jacobian(TRUTH, logs)
    assert value == pytest.approx(TRAJECTORY.form(TRUTH, logs), rel=1e-13)
    for j in range(TRUTH.size):
        complex_step = TRAJECTORY.form(TRUTH + 1e-30j * np.eye(TRUTH.size)[j], logs).imag / 1e-30
        assert written[j] == pytest.approx(complex_step, rel=1e-10, abs=1e-14)
        step = 1e-6 * TRUTH[j] * np.eye(TRUTH.size)[j]
        slope = (TRAJECTORY.form(TRUTH + step, logs) - TRAJECTORY.form(TRUTH - step, logs)) / (2.0 * step[j])
        assert written[j] == pytest.approx(slope, rel=1e-5, abs=1e-9)


def test_planted_constants_and_a_far_larger_model(rng: np.random.Generator) -> None:
    found = fit(runs(rng), TRAJECTORY, bootstrap=200)
    for name, value in zip(TRAJECTORY.names, TRUTH, strict=True):
        width = found.interval[name][1] - found.interval[name][0]
        assert abs(found.params[name] - value) < width  # twice the half-width: six parameters in one test
        assert found.params[name] == pytest.approx(value, rel=0.12)
    for steps in (1e3, 1e4, 1e5):
        predicted = found.predict(n_params=1e10, steps=steps, batch_size_tokens=4e6)
        assert predicted.value == pytest.approx(published(1e10, steps, 4e6), rel=0.01)
    assert predicted.extrapolation["n_params"] > 100
    assert found.derived["log_batch_star"]["value"] == pytest.approx(np.log(B_STAR), rel=0.03)


def test_the_four_predictions_agree_with_the_trajectory(rng: np.random.Generator) -> None:
    found = fit(runs(rng), TRAJECTORY, bootstrap=50)
    said = trajectory_predictions(found, n_params=1e8, loss=3.2, batch_size_tokens=5e5)
    value = {name: part["value"] for name, part in said.items()}
    for part in said.values():
        assert part["interval"][0] < part["value"] < part["interval"][1]
    assert value["minimum_loss"] == pytest.approx(found.predict(n_params=1e8, steps=1e18, batch_size_tokens=1e18).value)
    along = found.predict(n_params=1e8, steps=value["steps"], batch_size_tokens=5e5)
    assert along.value == pytest.approx(3.2, rel=1e-9)
    endless = found.predict(n_params=1e8, steps=value["fewest_steps"], batch_size_tokens=1e18)
    assert endless.value == pytest.approx(3.2, rel=1e-6)
    assert value["tokens"] == pytest.approx(value["steps"] * 5e5)
    # The hyperbola of McCandlish et al., with the critical batch at that loss.
    over_steps, over_tokens = value["steps"] / value["fewest_steps"], value["tokens"] / value["fewest_tokens"]
    assert (over_steps - 1.0) * (over_tokens - 1.0) == pytest.approx(1.0)
    assert value["critical_batch_size_tokens"] == pytest.approx(value["fewest_tokens"] / value["fewest_steps"])


def test_published_constants_give_published_quantities() -> None:
    assert float(minimum_loss(TRUTH, 6e7)) == pytest.approx((N_C / 6e7) ** ALPHA_N)
    assert float(critical_batch(TRUTH, 2.5)) == pytest.approx(B_STAR / 2.5 ** (1.0 / ALPHA_B))
    rest = 3.0 - (N_C / 1e9) ** ALPHA_N
    assert float(fewest_steps(TRUTH, 1e9, 3.0)) == pytest.approx(S_C / rest ** (1.0 / ALPHA_S))
    assert np.isnan(fewest_steps(TRUTH, 1e6, 1.0))


def test_a_loss_out_of_reach_and_another_law_are_refused(rng: np.random.Generator) -> None:
    found = fit(runs(rng), TRAJECTORY, bootstrap=0)
    with pytest.raises(InputError, match="never reach"):
        trajectory_predictions(found, n_params=1e6, loss=1.0, batch_size_tokens=1e5)
    with pytest.raises(InputError, match="batch_size_tokens"):
        trajectory_predictions(found, n_params=1e6, loss=9.0, batch_size_tokens=-1.0)
