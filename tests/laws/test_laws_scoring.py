"""Tests of what is registered of a prediction, and how it is scored: its distribution is that of a new run."""

from __future__ import annotations

import json
import math

import numpy as np
import pandas as pd
import pytest
from laws_tables import CHINCHILLA_TRUTH, surface_table
from scipy.stats import kstest
from scipy.stats import t as student

from lbscale.errors import InputError
from lbscale.laws import baselines, fit
from lbscale.laws.scoring import data_digest, prediction_document, registrable, score

POINT = {"n_params": 3e9, "n_tokens": 4e10}


def truth(n_params: float, n_tokens: float) -> float:
    E, A, B, alpha, beta = CHINCHILLA_TRUTH
    return float(E + A / n_params**alpha + B / n_tokens**beta)


def test_the_transform_of_new_runs_is_uniform_under_the_true_law(rng: np.random.Generator) -> None:
    found = []
    for _ in range(80):
        said = prediction_document(fit(surface_table(rng, 25), "chinchilla", bootstrap=0), **POINT)
        measured = truth(**POINT) * math.exp(0.005 * rng.normal())
        found.append(score(said, measured)["pit"])
    assert kstest(found, "uniform").pvalue > 0.01
    assert kstest(np.abs(2 * np.array(found) - 1), "uniform").pvalue > 0.01  # neither too wide nor too narrow


@pytest.mark.parametrize("interval", ["delta", "bootstrap"])
@pytest.mark.parametrize("residual", ["log", "linear"])
def test_the_central_part_of_the_distribution_is_the_interval_of_a_new_run(
    rng: np.random.Generator, interval: str, residual: str
) -> None:
    found = fit(surface_table(rng), "chinchilla", bootstrap=40, interval=interval, residual=residual)
    said = prediction_document(found, **POINT)
    law = said["distribution"]
    ends = student(law["degrees_of_freedom"], law["location"], law["scale"]).ppf([0.025, 0.975])
    ends = np.exp(ends) if law["of"] == "ln" else ends
    assert ends == pytest.approx(said["interval_new_run"], rel=1e-9)
    low, high = said["interval_new_run"]
    assert score(said, low)["pit"] == pytest.approx(0.025) and score(said, high)["pit"] == pytest.approx(0.975)


def test_a_score_says_on_which_side_of_each_interval_a_run_lies() -> None:
    said = {"value": 2.0, "interval_mean": [1.9, 2.1], "interval_new_run": [1.8, 2.2]}
    assert score(said, 2.15) == {
        "inside_interval_mean": False, "inside_interval_new_run": True, "relative_error": 2.0 / 2.15 - 1, "pit": None,
    }  # fmt: skip
    assert set(score(said, None).values()) == {None}
    assert score({**said, "interval_mean": [None, None]}, 2.0)["inside_interval_mean"] is None


def test_the_digest_is_of_the_rows_that_the_fit_rests_on(rng: np.random.Generator) -> None:
    table = surface_table(rng)
    whole = fit(table, "chinchilla", bootstrap=0)
    assert data_digest(whole) == data_digest(fit(table.assign(note="x"), "chinchilla", bootstrap=0))
    moved = table.assign(loss=table["loss"].where(table.index != 3, table["loss"] + 1e-9))
    assert data_digest(whole) != data_digest(fit(moved, "chinchilla", bootstrap=0))
    assert data_digest(whole) != data_digest(fit(table, "chinchilla", bootstrap=0, where="n_params > 1e8"))


def test_what_is_registered_has_the_form_of_a_follow_up(rng: np.random.Generator) -> None:
    table = surface_table(rng)
    found = fit(table, "chinchilla", bootstrap=0)
    item = registrable(found, "0" * 16, **POINT)
    assert item.keys() == {"key", "point", "laws", "optimum", "baselines"}
    assert (item["key"], item["point"], item["optimum"]) == ("0" * 16, POINT, {})
    assert item["laws"]["chinchilla"]["value"] == found.predict(**POINT).value
    expected = baselines(table, **POINT)
    for name, said in item["baselines"].items():
        assert said["loss"] == pytest.approx(expected[name]["loss"])
    json.dumps(item, allow_nan=False)


def test_a_law_of_something_else_than_loss_is_refused() -> None:
    said = fit(
        pd.DataFrame({"loss": [2.0, 2.5, 3.0, 3.5, 4.0], "error": [0.3, 0.4, 0.52, 0.6, 0.71]}),
        "downstream_error", bootstrap=0,
    )  # fmt: skip
    with pytest.raises(InputError, match="law: 'downstream_error' cannot be used; a law of loss is needed"):
        registrable(said, loss=2.2)
