"""Designs made before there is data: what they cost, and whether the interval they promise is what studies find."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest

from lbscale import laws
from lbscale.errors import InputError
from lbscale.laws.design import Design, Ladder, design
from lbscale.laws.expectation import assumed_truth
from lbscale.laws.published import published

TARGET = {"n_params": 1e9, "n_tokens": 2e10}
SIZES = tuple(float(f"{10 ** (k / 8):.3g}") for k in range(32, 73))
LADDER = Ladder(SIZES, tuple(6.0 * size for size in SIZES))


@pytest.fixture(scope="module")
def made() -> Design:
    """A design of 1e19 FLOPs."""
    return design(assumed_truth("chinchilla_besiroglu", "step_law"), TARGET, 1e19, LADDER, seq_len=256)


def test_the_truth_is_made_of_the_published_laws() -> None:
    truth = assumed_truth("chinchilla_besiroglu", "step_law")
    rate, batch, loss = (float(found[0]) for found in truth.law.optimum(truth.theta, **TARGET))
    best = published("step_law").optimum(**TARGET)
    assert truth.best(**TARGET) == pytest.approx({"learning_rate": rate, "batch_size_tokens": batch})
    assert rate == pytest.approx(best["learning_rate"]["value"])
    assert batch == pytest.approx(best["batch_size_tokens"]["value"])
    assert loss == pytest.approx(published("chinchilla_besiroglu").predict(**TARGET).value)
    other = assumed_truth("chinchilla_hoffmann", "step_law_bowl").best(**TARGET)
    assert other["learning_rate"] == pytest.approx(
        published("step_law_bowl").optimum(**TARGET)["learning_rate"]["value"]
    )


def test_the_budget_is_kept_and_nearly_spent(made: Design) -> None:
    columns = made.columns()
    assert made.flops == pytest.approx(float((6 * columns["n_params"] * columns["n_tokens"]).sum()))
    assert 0.4e19 < made.flops <= 1e19
    assert made.n_runs == len(columns["loss" if "loss" in columns else "n_params"])
    for cell in made.cells:
        assert cell.n_tokens % 256 == 0
        assert all(math.log2(setting.batch_size_tokens / 256).is_integer() for setting in cell.settings)
        assert cell.n_tokens >= 16 * max(setting.batch_size_tokens for setting in cell.settings)


def test_cells_are_centred_on_the_named_law(made: Design) -> None:
    for cell in made.cells:
        best, centre = made.truth.best(cell.n_params, cell.n_tokens), cell.settings[0]
        ratio = centre.batch_size_tokens / best["batch_size_tokens"]
        assert 0.7 < ratio < 1.5
        assert centre.learning_rate == pytest.approx(best["learning_rate"] * ratio**0.5, rel=0.2)
        assert {setting.n_seeds for setting in cell.settings[1:]} == {1}
    smallest = min(cell.n_params for cell in made.cells)
    assert all((cell.settings[0].n_seeds == 3) == (cell.n_params == smallest) for cell in made.cells)


def test_studies_scatter_as_the_design_says(made: Design) -> None:
    """Two dozen studies of the design, drawn from its own noise and fitted by the law."""
    columns, rng = made.columns(), np.random.default_rng(5)
    truth = made.truth.law.predict(made.truth.theta, columns)
    expected = made.expected["loss"]
    values, covered = [], []
    for _ in range(24):
        loss = truth * np.exp(made.run_sd * rng.normal(size=truth.size))
        fit = laws.fit(pd.DataFrame({**columns, "loss": loss}), "joint", bootstrap=0, loss="squares")
        prediction = fit.predict(**TARGET)
        low, high = prediction.interval_mean
        values.append(prediction.value)
        covered.append(low < expected["value"] < high)
    low, high = expected["interval_mean"]
    assert np.std(np.log(values)) == pytest.approx(np.log(high / low) / 2 / 1.98, rel=0.3)
    assert np.mean([low < value < high for value in values]) >= 0.85
    assert np.mean(covered) >= 0.8


def test_more_budget_tells_more_and_more_noise_tells_less(made: Design) -> None:
    def width(one: Design) -> float:
        low, high = one.expected["loss"]["interval_mean"]
        return high - low

    less = design(made.truth, TARGET, 1e17, LADDER, seq_len=256)
    noisy = design(made.truth, TARGET, 1e19, LADDER, seq_len=256, run_sd=0.01)
    assert width(less) > width(made) and width(noisy) > 2 * width(made)
    assert less.expected["given_up"]["value"] > made.expected["given_up"]["value"] > 0


@pytest.mark.parametrize(
    ("change", "field"),
    [({"budget": 1.0}, "budget"), ({"run_sd": 0.0}, "run_sd"), ({"run_sd": 2.0}, "run_sd"), ({"n_seeds": 0}, "seeds")],
)
def test_what_makes_no_design_is_refused(made: Design, change: dict, field: str) -> None:
    given = {"budget": 1e19, **change}
    with pytest.raises(InputError) as caught:
        design(made.truth, TARGET, given.pop("budget"), LADDER, seq_len=256, **given)
    assert caught.value.field == field
    if field == "budget":
        least = float(caught.value.allowed.split("the ")[1].split(" FLOPs")[0])
        assert design(made.truth, TARGET, 1.01 * least, LADDER, seq_len=256).flops <= 1.01 * least


@pytest.mark.parametrize(
    ("surface", "settings", "field"),
    [
        ("kaplan", "step_law", "surface"),
        ("chinchilla_hoffmann", "deepseek", "settings"),
        ("none", "step_law", "published"),
    ],
)
def test_laws_of_another_kind_are_refused(surface: str, settings: str, field: str) -> None:
    with pytest.raises(InputError) as caught:
        assumed_truth(surface, settings)
    assert caught.value.field == field
