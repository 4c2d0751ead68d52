"""Tests of runs under way: on track or not, the final loss they point to, and what is never compared."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from laws_tables import CHINCHILLA_TRUTH, surface_table

from lbscale.errors import InputError
from lbscale.laws import Fit, fit, track
from lbscale.laws.trajectory import TRAJECTORY

TRUTH = np.array([11.9, 0.076, 190.0, 0.67, 8e5, 0.205])
OWN, POINT_NOISE = 0.01, 0.002  # of a run as a whole, and of each of its points
RUN = {"n_params": 2e7, "n_tokens": 4e9, "batch_size_tokens": 2e5}
SURFACE_RUN = {"n_params": 1e9, "n_tokens": 2e10}


def curve(
    rng: np.random.Generator, n_params: float, batch: float, n_tokens: np.ndarray, off: float | None = None
) -> pd.DataFrame:
    """Losses along a run of the planted law, with an error of its own."""
    columns = {"n_params": np.full(n_tokens.size, n_params), "steps": n_tokens / batch}
    columns["batch_size_tokens"] = np.full(n_tokens.size, batch)
    own = OWN * rng.normal() if off is None else off
    loss = TRAJECTORY.predict(TRUTH, columns) * np.exp(own + POINT_NOISE * rng.normal(size=n_tokens.size))
    return pd.DataFrame({**columns, "n_tokens": n_tokens, "loss": loss})


@pytest.fixture(scope="module")
def law() -> Fit:
    """The law of trajectories, fitted to thirty runs of ten points each."""
    rng = np.random.default_rng(3)
    runs = []
    for i in range(30):
        n_params, batch = float(np.exp(rng.uniform(13.8, 17.9))), float(np.exp(rng.uniform(10.8, 14.5)))
        tokens = batch * np.geomspace(400, 60_000, 10)
        runs.append(curve(rng, n_params, batch, tokens).assign(trunk_key=f"run {i}"))
    return fit(pd.concat(runs, ignore_index=True), "trajectory", bootstrap=0)


def under_way(rng: np.random.Generator, off: float | None = None, until: float = 2e9) -> pd.DataFrame:
    tokens = np.linspace(2e8, until, 30)
    return curve(rng, RUN["n_params"], RUN["batch_size_tokens"], tokens, off)[["n_tokens", "loss"]]


@pytest.mark.parametrize("off", [0.0, 0.1, -0.1])
def test_a_run_off_its_trajectory_is_told_from_one_on_it(law: Fit, rng: np.random.Generator, off: float) -> None:
    said = track(law, under_way(rng, off), at=RUN).document
    assert (said["kind"], said["on_track"]) == ("trajectory", off == 0.0)
    assert said["off"] == pytest.approx(np.expm1(off), abs=0.02)
    assert said["n_points"] == 30 and said["target"]["n_tokens"] == RUN["n_tokens"]


def test_the_end_that_a_run_points_to_moves_with_it_and_is_narrower_than_the_law_alone(
    law: Fit, rng: np.random.Generator
) -> None:
    column = {name: np.array([value]) for name, value in RUN.items() if name != "n_tokens"}
    end = float(TRAJECTORY.predict(TRUTH, {**column, "steps": np.array([RUN["n_tokens"] / 2e5])})[0])
    inside, ours, alone = 0, [], []
    for _ in range(40):
        own = OWN * rng.normal()
        said = track(law, under_way(rng, own), at=RUN).document
        measured = end * float(np.exp(own + POINT_NOISE * rng.normal()))
        low, high = said["final"]["interval"]
        inside += low <= measured <= high
        ours.append(abs(said["final"]["value"] - measured))
        alone.append(abs(said["law_alone"]["value"] - measured))
        wide = said["law_alone"]["interval"]
        assert high - low < 0.6 * (wide[1] - wide[0])
    assert inside >= 34  # a share of 0.95 gives fewer three times in a thousand
    assert np.mean(ours) < 0.6 * np.mean(alone)


def test_points_that_the_law_is_not_of_are_left_out_and_counted(law: Fit, rng: np.random.Generator) -> None:
    rate = np.concatenate([np.linspace(0.001, 0.009, 5), np.full(20, 0.01), np.linspace(0.008, 0.0, 5)])
    run = under_way(rng, 0.0).assign(learning_rate=rate)
    run.loc[29, "loss"] = np.nan
    said = track(law, run, at=RUN)
    assert said.document["n_left_out"] == {
        "n_tokens or loss not a positive number": 1,
        "while the learning rate warmed up": 5,
        "while it came down from a plateau": 4,
    }
    assert len(said.curve) == 20 and len(said.measured) == 29


@pytest.fixture(scope="module")
def surface() -> Fit:
    return fit(surface_table(np.random.default_rng(5)), "chinchilla", bootstrap=0)


def surface_curve(above: float, tokens: tuple[float, ...] = (1e9, 5e9, 1e10), **columns: Any) -> pd.DataFrame:
    """A curve that lies by a factor above the run's final loss."""
    E, A, B, alpha, beta = CHINCHILLA_TRUTH
    final = E + A / SURFACE_RUN["n_params"] ** alpha + B / SURFACE_RUN["n_tokens"] ** beta
    return pd.DataFrame(
        {"n_tokens": tokens, "loss": [final * above * 1.2, final * above * 1.1, final * above], **columns}
    )


def test_a_loss_before_annealing_is_never_compared_with_a_final_one(surface: Fit) -> None:
    alone = surface.predict(**SURFACE_RUN)
    said = track(surface, surface_curve(1.3), at=SURFACE_RUN).document
    assert (said["kind"], said["on_track"], said["off"]) == ("end", None, None)
    assert said["final"]["value"] == alone.value and said["final"]["interval"] == alone.interval_new_run
    assert any("is not annealed" in warning for warning in said["warnings"])
    full = surface_curve(1.0, (1e9, 1e10, 2e10))  # at its last token, but nothing says that it was annealed
    assert track(surface, full, at=SURFACE_RUN).document["off"] is None


@pytest.mark.parametrize(
    "columns", [{"annealed": [False, False, True]}, {"learning_rate": [1e-3, 1e-3, 1e-5]}], ids=["said", "seen"]
)
@pytest.mark.parametrize(("above", "on_track"), [(1.0, True), (1.2, False)])
def test_an_annealed_end_is_compared(surface: Fit, columns: dict[str, Any], above: float, on_track: bool) -> None:
    full = surface_curve(above, (1e9, 1e10, 2e10), **columns)
    said = track(surface, full, at=SURFACE_RUN).document
    assert said["on_track"] is on_track and said["off"] == pytest.approx(above - 1, abs=0.01)
    assert said["final"]["source"] == "measured"


def test_a_curve_below_the_band_before_it_is_annealed_is_off(surface: Fit) -> None:
    said = track(surface, surface_curve(0.9), at=SURFACE_RUN).document
    assert said["on_track"] is False and said["off"] is None
    assert said["final"]["value"] is None and said["final"]["at_most"] == said["latest"]["loss"]


def test_runs_of_a_table_are_told_by_their_keys(surface: Fit) -> None:
    both = pd.concat([surface_curve(1.3).assign(key="aa"), surface_curve(1.2).assign(key="ab")])
    at = SURFACE_RUN
    assert track(surface, both, run="ab", at=at).document["latest"]["loss"] == surface_curve(1.2)["loss"].iloc[-1]
    for run, match in ((None, "one run's key is needed, of 2: aa, ab"), ("a", "of 2"), ("c", "the key of a run")):
        with pytest.raises(InputError, match=match):
            track(surface, both, run=run, at=at)


@pytest.mark.parametrize(
    ("columns", "at", "match"),
    [
        ({}, {"n_tokens": 2e10}, "at: .* the law needs n_params too"),
        ({}, {**SURFACE_RUN, "n_token": 2e10}, "at: 'n_token' cannot be used; did you mean 'n_tokens'"),
        ({}, {"n_params": -1.0}, "n_params: -1.0 cannot be used; a positive number"),
        ({"loss": [np.nan] * 3}, SURFACE_RUN, "curve: '3 rows' cannot be used"),
    ],
)
def test_what_cannot_be_tracked_is_refused(surface: Fit, columns: Any, at: Any, match: str) -> None:
    with pytest.raises(InputError, match=match):
        track(surface, surface_curve(1.3).assign(**columns), at=at)


def test_the_caller_s_settings_are_left_as_they_are(surface: Fit) -> None:
    at = {"n_tokens": 2e10}
    track(surface, surface_curve(1.3, n_params=1e9), at=at)
    assert at == {"n_tokens": 2e10}
