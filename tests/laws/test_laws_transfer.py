"""The transfer of learning rates on tables whose best rate is known."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from lbscale.errors import InputError
from lbscale.laws import learning_rate_transfer
from lbscale.report.width import transfer_figure

RATES = 1e-3 * 2.0 ** np.arange(7)
CURVATURE = 0.05


def table(power: float, noise: float, seed: int = 0) -> pd.DataFrame:
    """Parabolas about 8e-3 (width / 32)^power, with normal noise in the loss."""
    rng = np.random.default_rng(seed)
    rows = [
        {
            "d_model": d,
            "init_seed": s,
            "learning_rate": rate,
            "loss": 2.0 + CURVATURE * np.log(rate / (8e-3 * (d / 32) ** power)) ** 2 + noise * rng.normal(),
        }
        for d in (16, 32, 64, 128)
        for s in (0, 1)
        for rate in RATES
    ]
    return pd.DataFrame(rows)


@pytest.mark.parametrize("power", [0.0, -0.5])
def test_exact_bowls_give_the_drift_and_the_loss_given_up(power: float) -> None:
    found = learning_rate_transfer(table(power, 1e-9))
    assert found.drift == pytest.approx(power, abs=1e-6) and found.degrees_of_freedom == 6
    assert found.loss_given_up == pytest.approx(CURVATURE * (power * np.log(8)) ** 2, abs=1e-6)
    assert list(found.best["reason"].unique()) == [""]


def test_the_interval_covers_the_drift() -> None:
    found = [learning_rate_transfer(table(-0.4, 2e-3, seed)) for seed in range(60)]
    covered = np.mean([fit.interval[0] <= -0.4 <= fit.interval[1] for fit in found])
    assert covered > 0.85
    assert np.mean([fit.drift for fit in found]) == pytest.approx(-0.4, abs=0.03)


def test_sweeps_that_do_not_show_their_best_rate_say_why() -> None:
    rows = table(0.0, 1e-9)
    wide, narrow = rows["d_model"] == 128, rows["d_model"] == 16
    rows.loc[wide, "loss"] = rows.loc[wide, "learning_rate"]
    rows = rows.drop(rows[narrow & (rows["learning_rate"] > 3e-3)].index)
    best = learning_rate_transfer(rows).best.set_index("d_model")
    assert set(best.loc[128, "reason"]) == {"the lowest loss is at the edge of the grid"}
    assert set(best.loc[16, "reason"]) == {"fewer than four learning rates"}
    assert best.loc[[16, 128], "ln_rate"].isna().all()


def test_diverged_runs_are_left_out() -> None:
    rows = table(0.0, 1e-9)
    rows.loc[rows["learning_rate"] == RATES[-1], "loss"] = np.nan
    assert learning_rate_transfer(rows).drift == pytest.approx(0.0, abs=1e-6)


def test_one_width_is_refused() -> None:
    rows = table(0.0, 1e-9)
    with pytest.raises(InputError, match="two widths"):
        learning_rate_transfer(rows[rows["d_model"] == 32])


def test_the_figure_states_the_drift_and_its_interval() -> None:
    rows = table(-0.5, 1e-3).assign(parameterization="standard")
    first = np.ravel(transfer_figure(rows, {"standard": learning_rate_transfer(rows)}))[0]
    assert "width^-0.5" in first.get_title() and "95 %" in first.get_title()
