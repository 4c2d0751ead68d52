"""Tests of reading raw tuning grids: snapped learning rates, diverged runs, the tried setting nearest to advice."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tuning_grids import tuning_grid

from lbscale.errors import InputError
from lbscale.laws.grid import read_grid, snap


def test_two_roundings_of_a_grid_are_one_setting() -> None:
    values = np.array([0.000345, 0.0003453, 0.000488, 0.0004881, 0.00069])
    snapped = snap(values)
    assert np.unique(snapped).size == 3
    assert snapped[0] == snapped[1] == pytest.approx(np.sqrt(0.000345 * 0.0003453))
    assert snapped[4] == pytest.approx(0.00069, rel=1e-14)


@given(st.lists(st.floats(1e-6, 1e3), min_size=1, max_size=30), st.floats(1e-6, 1e6))
def test_snapping_keeps_order_and_gaps_and_knows_no_units(values: list[float], unit: float) -> None:
    before = np.array(values)
    after = snap(before)
    distinct = np.unique(after)
    assert (np.diff(after[np.argsort(before, kind="stable")]) >= 0).all()
    assert (np.diff(np.log(distinct)) > 0).all()
    far = np.log(before[:, None] / before[None]) > 1.5 * len(values) * np.log(1.01)
    assert (after[:, None] > after[None])[far].all()
    assert np.allclose(snap(snap(before)), after, rtol=1e-12) or distinct.size > 1
    assert np.allclose(np.log(after), np.log(before), atol=len(values) * np.log(1.01))
    gaps = np.abs(np.diff(np.log(np.unique(before))) - np.log(1.01)).min(initial=1.0)
    if gaps > 1e-9:  # else rounding decides whether two values are one setting
        assert np.allclose(snap(before * unit), after * unit, rtol=1e-9)


def test_diverged_runs_are_counted_and_kept_apart(rng: np.random.Generator) -> None:
    frame = tuning_grid(rng, n_diverged=2)
    frame["status"] = "finished"
    frame.loc[frame.index[0], "status"] = "diverged"
    frame.loc[frame.index[1], "loss"] = np.nan
    frame.loc[frame.index[2], "n_tokens"] = -1.0
    cells, dropped, notes = read_grid(frame)
    assert len(cells) == 12
    assert dropped == {"settings not positive numbers": 1, "diverged": 12 * 2 + 2}
    assert sum(cell.loss.size for cell in cells) == len(frame) - 1 - dropped["diverged"]
    assert len(notes) == 1 and "are one" in notes[0]
    assert np.isinf(np.concatenate([cell.diverged_loss for cell in cells])).sum() == 2


def test_the_nearest_tried_setting_counts_even_if_it_diverged(rng: np.random.Generator) -> None:
    cell = read_grid(tuning_grid(rng))[0][0]
    best = np.argmin(cell.loss)
    lr, batch, lost = cell.given_up(1.05 * np.exp(cell.log_lr[best]), 0.9 * np.exp(cell.log_batch[best]))
    assert (lr, batch, lost) == pytest.approx((np.exp(cell.log_lr[best]), np.exp(cell.log_batch[best]), 0.0))
    assert cell.given_up(np.exp(cell.diverged_log_lr[0]), np.exp(cell.diverged_log_batch[0]))[2] > 1.0


def test_a_table_without_settings_is_refused(rng: np.random.Generator) -> None:
    frame = tuning_grid(rng)
    with pytest.raises(InputError, match="batch_size_tokens"):
        read_grid(frame.drop(columns="batch_size_tokens"))
    with pytest.raises(InputError, match="finished run"):
        read_grid(frame.assign(loss=np.nan))
