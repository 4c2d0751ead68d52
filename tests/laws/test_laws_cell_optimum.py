"""Tests of a cell's optimum by its local surface: planted places, honest standard errors, the plateau's edges."""

from __future__ import annotations

import numpy as np
import pytest
from tuning_grids import BATCH_CURVATURE, CROSS, LR_CURVATURE, best_settings, tuning_grid

from lbscale.errors import InputError
from lbscale.laws.cell_optimum import cell_optima, local_optimum, plateau
from lbscale.laws.grid import read_grid


def test_exact_surfaces_give_their_minimum(rng: np.random.Generator) -> None:
    found = cell_optima(tuning_grid(rng, noise=0.0), 1.0)
    assert len(found) == 12
    truth = np.array([best_settings(n, d) for n, d in zip(found["n_params"], found["n_tokens"], strict=True)])
    # The rounded learning rates are snapped, each by up to half a per cent.
    assert np.allclose(found[["learning_rate", "batch_size_tokens"]], truth, rtol=2e-3)


def test_standard_errors_are_those_of_the_noise(rng: np.random.Generator) -> None:
    scores = []
    for _ in range(30):
        for cell in read_grid(tuning_grid(rng, noise=2e-3))[0]:
            found = local_optimum(cell, 1.0)
            assert found is not None
            scores.append((found.log - np.log(best_settings(cell.n_params, cell.n_tokens))) / found.se)
    # 360 cells: the standard deviation of a score is known to 4 %; snapped rates add a little.
    assert np.std(scores, axis=0) == pytest.approx([1.0, 1.0], abs=0.15)
    assert np.mean(scores, axis=0) == pytest.approx([0.0, 0.0], abs=0.25)


def test_the_table_adds_what_the_grid_resolves(rng: np.random.Generator) -> None:
    found = cell_optima(tuning_grid(rng, noise=0.0), 1.0)
    assert found["learning_rate_se"].to_numpy() == pytest.approx(np.log(2.0) / 2.0 / np.sqrt(12.0), rel=0.02)
    assert found["batch_size_tokens_se"].to_numpy() == pytest.approx(np.log(2.0) / np.sqrt(12.0), rel=0.02)


def test_the_threshold_decides_which_runs_are_used(rng: np.random.Generator) -> None:
    cell = read_grid(tuning_grid(rng))[0][0]
    few, many = local_optimum(cell, 1e-6), local_optimum(cell, 1.0)
    assert few is not None and many is not None
    assert (few.se > many.se).all()


def test_an_optimum_outside_what_was_tried_is_left_out_and_counted(rng: np.random.Generator) -> None:
    frame = tuning_grid(rng, n_diverged=0)
    first = (frame["n_params"] == 2e8) & (frame["n_tokens"] == 4e9)
    beyond = first & (frame["learning_rate"] > 0.6 * best_settings(2e8, 4e9)[0])
    found = cell_optima(frame[~beyond], 5.0)
    assert len(found) == 11
    assert found.attrs["dropped"] == {"in a cell whose optimum is outside what was tried": int((first & ~beyond).sum())}
    assert any("outside what was tried" in note for note in found.attrs["warnings"])


def test_too_few_runs_for_a_surface_are_refused_in_one_line(rng: np.random.Generator) -> None:
    with pytest.raises(InputError, match="9 runs around its optimum"):
        cell_optima(tuning_grid(rng).groupby(["n_params", "n_tokens"]).head(5))
    with pytest.raises(InputError, match="percent"):
        cell_optima(tuning_grid(rng), 0.0)


def test_the_plateau_ends_where_the_surface_gives_up_the_share(rng: np.random.Generator) -> None:
    percent = 0.5
    found = plateau(tuning_grid(rng, noise=0.0), percent)
    determinant = LR_CURVATURE * BATCH_CURVATURE - CROSS**2 / 4.0
    reach = np.sqrt(np.log1p(percent / 100.0) * np.array([BATCH_CURVATURE, LR_CURVATURE]) / determinant)
    for row in found.to_dict("records"):
        best = best_settings(row["n_params"], row["n_tokens"])
        for j, name in enumerate(("learning_rate", "batch_size_tokens")):
            low, high = row[f"{name}_low"], row[f"{name}_high"]
            assert (low, high) == pytest.approx((best[j] * np.exp(-reach[j]), best[j] * np.exp(reach[j])), rel=3e-3)
            assert low <= row[f"{name}_tried_low"] * 1.01 and row[f"{name}_tried_high"] <= high * 1.01
