"""Candidate runs: ladders, limits, and what runs of one trunk cost."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lbscale.errors import InputError
from lbscale.laws import CHINCHILLA, JOINT
from lbscale.laws.candidates import MOST_EXCESS, Limits, candidate_runs, ladder, lines, near_optimum, six_n_d_cost

COLUMNS = {"n_params": np.array([1e7, 2e7, 4e7, 4e7]), "n_tokens": np.array([2e8, 4e8, 8e8, 2e8])}
TARGET = {"n_params": 4e8, "n_tokens": 8e9}


def test_a_ladder_is_the_tables_own_and_a_step_further() -> None:
    np.testing.assert_allclose(ladder(np.array([2.0, 4.0, 4.001, 8.0])), [1, 2, 4, 8, 16], rtol=1e-3)
    np.testing.assert_allclose(ladder(np.array([2.0, 4.0, 8.0]), highest=70.0), [1, 2, 4, 8, 16, 32, 64])
    np.testing.assert_allclose(ladder(np.array([2.0, 4.0, 8.0]), highest=4.0), [1, 2, 4])


@given(st.lists(st.floats(1e-3, 1e9), min_size=1, max_size=60))
def test_a_ladder_holds_the_range_of_its_values(values: list[float]) -> None:
    levels = ladder(np.array(values))
    assert len(levels) <= 14 and (np.diff(levels) > 0).all()
    assert levels[0] < min(values) and levels[-1] > max(values)


def test_candidates_keep_to_the_limits() -> None:
    runs = candidate_runs(CHINCHILLA, COLUMNS, TARGET, Limits(1e18, 1.6e8))
    assert (6 * runs.n_params * runs.n_tokens).max() <= 1e18
    assert runs.n_params.max() == pytest.approx(1.6e8)
    assert candidate_runs(CHINCHILLA, COLUMNS, TARGET, Limits(1e18)).n_params.max() == pytest.approx(8e7)
    ratio = runs.n_tokens / runs.n_params
    assert ratio.min() >= 2.5 and ratio.max() <= 40


def test_limits_below_every_run_name_the_cheapest() -> None:
    with pytest.raises(InputError, match=r"budget: 1000.0 cannot be used; the cheapest run costs 3e\+15 FLOPs"):
        candidate_runs(CHINCHILLA, COLUMNS, TARGET, Limits(1e3))


def test_settings_far_off_the_best_are_no_candidates() -> None:
    law = JOINT.at({"n_params": 34e3, "n_tokens": 280e3})
    theta = np.array([1.2, 0.45, 0.65, 0.25, 0.35, 1.2e-2, -0.5, -0.1, 0.4, 200.0, 0.7, 0.06, 1.8, 0.02, 1.5])
    rate, batch, loss = law.optimum(theta, n_params=34e3, n_tokens=280e3)
    runs = pd.DataFrame({"n_params": 34e3, "n_tokens": 280e3, "learning_rate": rate[0] * np.array([1, 0.1, 0.01])})
    near = near_optimum(law, theta, runs.assign(batch_size_tokens=batch[0]))
    excess = 0.06 * np.log([1.0, 10.0, 100.0]) ** 2 / loss[0]
    np.testing.assert_array_equal(near, excess <= MOST_EXCESS)
    assert near.tolist() == [True, False, False]


def test_runs_of_one_trunk_train_its_stable_stretch_once() -> None:
    runs = pd.DataFrame({"n_params": 10.0, "n_tokens": [100.0, 300.0, 300.0], "learning_rate": [1.0, 1.0, 2.0]})
    assert lines(runs).tolist() == [0, 0, 1]
    cost = six_n_d_cost(runs, 0.2)
    assert cost((0,)) == pytest.approx(60 * 100)
    assert cost((0, 1)) == pytest.approx(60 * (240 + 20 + 60))  # to the last decay once, and a decay each
    assert six_n_d_cost(runs, None)((0, 1)) == pytest.approx(60 * 400)
