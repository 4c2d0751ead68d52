"""The figure of a law: everything fitted and held out is on it, and it can be drawn on."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from laws_tables import star_table, surface_table
from matplotlib import pyplot as plt
from matplotlib.collections import PathCollection

from lbscale import laws
from lbscale.errors import InputError
from lbscale.report import figure_of, law_figure


@pytest.fixture(autouse=True)
def _closed():
    yield
    plt.close("all")


def scattered(axis):
    """The number of runs drawn on an axis."""
    return sum(len(cloud.get_offsets()) for cloud in axis.collections if isinstance(cloud, PathCollection))


def test_runs_stand_where_they_were_measured(rng):
    table = surface_table(rng)
    fit = laws.fit(table, "chinchilla", holdout="n_params > 3e9", bootstrap=20)
    upper, lower = law_figure(fit)
    assert scattered(upper) == scattered(lower) == len(table)
    clouds = [np.asarray(cloud.get_offsets()) for cloud in upper.collections if isinstance(cloud, PathCollection)]
    drawn = np.concatenate(clouds)
    expected = table[["n_tokens", "loss"]].to_numpy()
    np.testing.assert_allclose(drawn[np.argsort(drawn[:, 0])], expected[np.argsort(expected[:, 0])])
    assert "held out" in upper.get_legend().get_texts()[-1].get_text()


def test_a_law_of_settings_moves_runs_to_its_curves(rng, tmp_path):
    table = star_table(rng).assign(status="finished")
    table.loc[table.learning_rate > table.learning_rate.quantile(0.95), "status"] = "diverged"
    fit = laws.fit(table, "joint", bootstrap=10)
    upper, lower = law_figure(fit)
    assert scattered(upper) == fit.n_rows + fit.n_censored and scattered(lower) == fit.n_rows
    assert len([line for line in upper.lines if len(line.get_xdata())]) == 4  # a curve a size
    by_rate = law_figure(fit, along="learning_rate", by="batch_size_tokens")
    assert by_rate[1].get_xlabel() == "learning rate"
    for axis, name in ((upper, "one.png"), (by_rate, "other.svg")):
        figure_of(axis).savefig(tmp_path / name)
        assert (tmp_path / name).stat().st_size > 10_000


def test_a_user_goes_on_drawing(rng):
    fit = laws.fit(surface_table(rng), "chinchilla", bootstrap=0)
    own = plt.figure(layout="constrained")
    left, right = own.subfigures(1, 2)
    panels = left.subplots(2, 1)
    assert [*law_figure(fit, panels)] == [*panels]
    assert [axis.get_xscale() for axis in panels] == ["log", "log"]
    alone = right.subplots()
    assert [*law_figure(fit, alone)] == [alone]
    assert scattered(alone) == fit.n_rows and alone.get_xlabel() == "training tokens"
    panels[0].plot([1e9], [2.5], "*", label="mine")
    own.canvas.draw()


@pytest.mark.parametrize("kind", ["three rows", "one row", "one size", "constant loss"])
def test_a_degenerate_table_has_a_figure(rng, kind):
    table = star_table(rng)
    tables = {
        "three rows": table[:3],
        "one row": table[:1],
        "one size": table[table.n_params == 25e3],
        "constant loss": table.assign(loss=2.0),
    }
    figure_of(law_figure(laws.fit(tables[kind], "chinchilla", bootstrap=5))).canvas.draw()


def test_columns_that_a_law_does_not_read_are_refused(rng):
    fit = laws.fit(surface_table(rng), "chinchilla", bootstrap=0)
    with pytest.raises(InputError, match="along"):
        law_figure(fit, along="learning_rate")
    with pytest.raises(InputError, match="by"):
        law_figure(fit, by="n_tokens")


def test_a_law_of_one_column_has_one_curve(rng):
    loss = np.linspace(2.5, 5.0, 12)
    table = pd.DataFrame({"loss": loss, "error": 0.85 - 2.0 * np.exp(-0.7 * loss) + 1e-3 * rng.normal(size=12)})
    upper, lower = law_figure(laws.fit(table, "downstream_error", bootstrap=0))
    assert scattered(upper) == scattered(lower) == 12 and len(upper.lines) == 1
