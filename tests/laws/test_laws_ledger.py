"""Tests of the ledger on simulated ones, whose calibration and skill are known."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binomtest, kstest, norm

from lbscale.laws.ledger import _pit_summary, binomial_interval, factor_of, ledger
from lbscale.laws.scoring import score

NOISE, LAW_SD = 0.01, 0.005


def simulated(
    rng: np.random.Generator, n: int, claimed: float = 1.0, baseline_sd: float = 0.05, by: int = 1
) -> list[dict[str, Any]]:
    """Predictions whose law errs by `LAW_SD` and whose runs scatter by `NOISE`; `claimed` times that is registered."""
    rows = []
    for i in range(n):
        value, measured = 2.0 * np.exp(LAW_SD * rng.normal()), 2.0 * np.exp(NOISE * rng.normal())
        new_run = claimed * np.hypot(LAW_SD, NOISE)
        ends = [[float(value * np.exp(s * 1.96 * sd)) for s in (-1, 1)] for sd in (claimed * LAW_SD, new_run)]
        said = {
            "value": float(value),
            "interval_mean": ends[0],
            "interval_new_run": ends[1],
            "distribution": {"family": "student", "of": "ln", "location": float(np.log(value)), "scale": new_run,
                             "degrees_of_freedom": 1e9},
        }  # fmt: skip
        rows.append(
            {
                **score(said, float(measured)),
                "law": "chinchilla",
                "registration": f"r{i // by}",
                "extrapolation": {"n_params": float(np.exp(rng.uniform(-1, 3))), "n_tokens": 1.0},
                "baseline_errors": {"carry_forward": float(baseline_sd * rng.normal()), "log_log_line": None},
            }
        )
    return rows


def test_a_true_ledger_is_calibrated(rng: np.random.Generator) -> None:
    found = ledger(simulated(rng, 600))
    share = found["calibration"]["interval_new_run"]
    assert share["interval"][0] < 0.95 < share["interval"][1]
    assert found["calibration"]["pit"]["p"] > 0.01
    assert sum(found["calibration"]["pit"]["tenths"]) == 600
    # of the mean: P(|law error - noise| < 1.96 law sd)
    expected = 2 * norm.cdf(1.96 * LAW_SD / np.hypot(LAW_SD, NOISE)) - 1
    low, high = found["calibration"]["interval_mean"]["interval"]
    assert low < expected < high


@pytest.mark.parametrize("claimed", [0.5, 2.0])
def test_intervals_too_narrow_or_too_wide_show(rng: np.random.Generator, claimed: float) -> None:
    found = ledger(simulated(rng, 400, claimed))["calibration"]
    low, high = found["interval_new_run"]["interval"]
    assert high < 0.95 if claimed < 1 else low > 0.95
    assert found["pit"]["p"] < 1e-3


def test_skill_is_one_less_the_ratio_of_errors(rng: np.random.Generator) -> None:
    skill = ledger(simulated(rng, 600))["skill"]
    expected = 1 - np.hypot(LAW_SD, NOISE) / 0.05
    assert skill["carry_forward"]["skill"] == pytest.approx(expected, abs=0.05)
    assert skill["carry_forward"]["difference"]["verdict"] == "better"
    assert skill["log_log_line"] is None
    alike = ledger(simulated(rng, 600, baseline_sd=float(np.hypot(LAW_SD, NOISE))))["skill"]["carry_forward"]
    assert alike["difference"]["verdict"] == "no difference" and abs(alike["skill"]) < 0.15


def test_predictions_of_one_registration_are_said_to_share_errors(rng: np.random.Generator) -> None:
    assert ledger(simulated(rng, 6))["warnings"] == []
    assert "6 predictions rest on 2 registrations" in ledger(simulated(rng, 6, by=3))["warnings"][0]


@given(st.lists(st.one_of(st.none(), st.floats(1.0, 1e6)), min_size=1, max_size=12))
def test_every_prediction_falls_in_one_bracket(factors: list[float | None]) -> None:
    rows = simulated(np.random.default_rng(0), len(factors))
    for row, factor in zip(rows, factors, strict=True):
        row["extrapolation"] = {"n_params": factor, "n_tokens": 1.0}
    brackets = ledger(rows)["by_extrapolation"]
    assert sum(row["n"] for row in brackets) == len(rows)
    for row in brackets:
        up_to = np.inf if row["up_to"] is None else row["up_to"]
        above = 0.0 if up_to == 1.0 else row["above"]
        assert row["n"] == sum(above * (1 + 1e-9) < f <= up_to * (1 + 1e-9) for f in map(factor_of, rows))


@given(st.integers(0, 60), st.integers(0, 60))
def test_binomial_intervals_are_those_of_scipy(inside: int, outside: int) -> None:
    n = inside + outside
    expected = binomtest(inside, n).proportion_ci(0.95, "exact") if n else (0.0, 1.0)
    assert binomial_interval(inside, n) == pytest.approx(list(expected), abs=1e-9)


@settings(deadline=None)
@given(st.lists(st.floats(0.0, 1.0), min_size=5, max_size=60))
def test_the_transform_is_tested_as_scipy_does(values: list[float]) -> None:
    found, expected = _pit_summary(values), kstest(values, "uniform")
    assert found is not None and found["distance"] == pytest.approx(expected.statistic, abs=1e-12)
    assert found["p"] == pytest.approx(expected.pvalue, abs=0.03)


def test_an_empty_ledger_says_nothing() -> None:
    found = ledger([])
    assert (found["n"], found["by_extrapolation"], found["by_law"]) == (0, [], {})
    assert found["calibration"]["interval_new_run"]["share"] is None and found["calibration"]["pit"] is None
