"""The data-constrained law: the authors' example, planted constants, unique tokens instead of epochs."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from lbscale import laws
from lbscale.errors import InputError

REPETITION = laws.get("repetition")
EXPONENT = 0.3526596
#                 E                  A                 B                  alpha     beta      R_D*       R_N*
TRUTH = np.array([np.exp(0.6254804), np.exp(6.255414), np.exp(7.3049974), EXPONENT, EXPONENT, 15.387756, 5.309743])


def predict(n_params, n_tokens, unique):
    return REPETITION.predict(TRUTH, {"n_params": n_params, "n_tokens": n_tokens, "epochs": n_tokens / unique})


@pytest.fixture
def table(rng):
    n = 240
    epochs = np.exp(rng.choice([0.0, 0.0, 0.7, 1.4, 2.0, 3.0, 4.0], size=n))
    frame = pd.DataFrame({
        "n_params": np.exp(rng.uniform(np.log(1e7), np.log(9e9), n)),
        "n_tokens": np.exp(rng.uniform(np.log(1e9), np.log(5e11), n)),
    })  # fmt: skip
    frame["epochs"] = epochs
    frame["loss"] = REPETITION.predict(TRUTH, frame) * np.exp(0.004 * rng.normal(size=n))
    return frame


def test_the_authors_example():
    """The two runs that the authors' code compares (github.com/huggingface/datablations, README)."""
    found = predict(np.array([6.34e9, 8.67e9]), np.array([242e9, 178e9]), 25e9)
    np.testing.assert_allclose(found, [2.2256440889984477, 2.2269634075087867], rtol=1e-12)


def test_a_single_epoch_repeats_nothing():
    small = {"n_params": np.array([1e8]), "n_tokens": np.array([2e11]), "epochs": np.array([0.3])}
    np.testing.assert_allclose(REPETITION.predict(TRUTH, small), laws.CHINCHILLA.predict(TRUTH[:5], small), rtol=1e-12)


def test_recovers_planted_constants(table):
    fit = laws.fit(table, "repetition", params_convention="total")
    for name, value in zip(REPETITION.names, TRUTH, strict=True):
        low, high = fit.interval[name]
        assert low - 0.3 * (high - low) < value < high + 0.3 * (high - low), name


def test_unique_tokens_stand_for_epochs(table):
    named = laws.fit(table, "repetition", params_convention="total", bootstrap=0)
    counted = table.assign(n_tokens_unique=table.n_tokens / table.epochs).drop(columns="epochs")
    other = laws.fit(counted, "repetition", params_convention="total", bootstrap=0)
    np.testing.assert_allclose(other.theta, named.theta, rtol=1e-6)
    with pytest.raises(InputError, match="neither epochs nor n_tokens_unique"):
        laws.fit(table.drop(columns="epochs"), "repetition", bootstrap=0)


def test_runs_of_one_epoch_identify_no_repeats(table):
    fit = laws.fit(table[table.epochs == 1], "repetition", params_convention="total", bootstrap=50)
    assert not fit.identified["R_D_star"]
