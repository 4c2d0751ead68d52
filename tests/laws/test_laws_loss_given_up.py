"""Tests of judging advice by the loss it gives up, and of the nested choice of a threshold."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from tuning_grids import BATCH, LR, best_settings, tuning_grid

from lbscale.errors import InputError
from lbscale.laws.cell_optimum import cell_optima
from lbscale.laws.loss_given_up import gap_by_threshold, leave_one_size_out, loss_given_up, power_laws


def test_true_advice_gives_up_little_and_bad_advice_what_it_costs(rng: np.random.Generator) -> None:
    frame = tuning_grid(rng, noise=1e-5)
    true = loss_given_up(frame, best_settings)["given_up"]
    assert true.max() < 1.2e-3  # what half a step of each setting costs
    bad = loss_given_up(frame, lambda n, d: (best_settings(n, d)[0] / 4.0, best_settings(n, d)[1]))
    best = frame.groupby(["n_params", "n_tokens"])["loss"].min()
    for row in bad.to_dict("records"):
        here = frame[(frame["n_params"] == row["n_params"]) & (frame["n_tokens"] == row["n_tokens"])]
        at = here[
            np.isclose(here["learning_rate"], row["learning_rate"], rtol=5e-3)
            & np.isclose(here["batch_size_tokens"], row["batch_size_tokens"])
        ]
        expected = at["loss"].item() / best[(row["n_params"], row["n_tokens"])] - 1.0
        assert row["given_up"] == pytest.approx(expected)
        assert row["given_up"] > 0.01


def test_power_laws_recover_the_planted_exponents(rng: np.random.Generator) -> None:
    lr, batch = power_laws(cell_optima(tuning_grid(rng), 1.0))
    assert lr == pytest.approx([np.log(LR[0]), *LR[1:]], abs=0.3)
    assert lr[1:] == pytest.approx(LR[1:], abs=0.02)
    assert batch[1] == pytest.approx(BATCH[1], abs=0.03)


def test_the_held_out_size_is_never_seen(rng: np.random.Generator) -> None:
    frame = tuning_grid(rng)
    before = leave_one_size_out(frame, (0.5, 1.0))
    assert before["given_up"].mean() < 1e-3
    spoiled = frame.copy()
    largest = spoiled["n_params"] == 1.6e9
    spoiled.loc[largest, "loss"] = rng.permutation(spoiled.loc[largest, "loss"].to_numpy())
    after = leave_one_size_out(spoiled, (0.5, 1.0))
    advised = ["n_params", "n_tokens", "learning_rate", "batch_size_tokens", "threshold"]
    held = before["n_params"] == 1.6e9
    pd.testing.assert_frame_equal(before.loc[held, advised], after.loc[held, advised])


def test_too_few_sizes_are_refused(rng: np.random.Generator) -> None:
    frame = tuning_grid(rng)
    with pytest.raises(InputError, match="three sizes"):
        gap_by_threshold(frame[frame["n_params"] < 5e8])
    with pytest.raises(InputError, match="four sizes"):
        leave_one_size_out(frame[frame["n_params"] < 1e9])


def test_the_published_grid_gives_up_no_more_than_an_eighth_of_a_per_cent(chinchilla_csv: Path) -> None:
    frame = pd.read_csv(chinchilla_csv.parent / "steplaw_dense.csv")
    assert 100.0 * leave_one_size_out(frame)["given_up"].mean() == pytest.approx(0.1050, abs=5e-4)
    gaps = {threshold: 100.0 * gap for threshold, gap in gap_by_threshold(frame).items()}
    assert gaps[0.1] == pytest.approx(0.1236, abs=5e-4)
    assert gaps[0.5] == pytest.approx(0.1069, abs=5e-4)
    assert gaps[0.75] == pytest.approx(0.0930, abs=5e-4)
    assert gaps[3.0] == pytest.approx(0.1831, abs=5e-4)
