"""The figure of two recipes: runs, curves and the multiplier are on it, whatever has no bound."""

from __future__ import annotations

import numpy as np
import pytest
from matplotlib import pyplot as plt
from matplotlib.collections import PathCollection
from two_recipes import SURFACE, TARGET, recipes_table

import lbscale
from lbscale.report import figure_of, versus_figure


@pytest.fixture(autouse=True)
def _closed():
    yield
    plt.close("all")


def draw(table):
    """The comparison of the table's optimizers, and the axes of its figure."""
    found = lbscale.versus(table, by="optimizer", law="chinchilla", at=TARGET)
    return found, versus_figure(found)


def test_runs_curves_and_multiplier_are_drawn(tmp_path):
    found, axes = draw(recipes_table(np.random.default_rng(0), 1 / 1.2, noise=1e-4))
    upper, lower = axes
    clouds = [cloud.get_offsets() for cloud in upper.collections if isinstance(cloud, PathCollection)]
    assert [len(cloud) for cloud in clouds] == [25, 25]
    on_path = np.isclose(found.fits[0].rows["n_tokens"], 20 * np.array(found.fits[0].rows["n_params"]), rtol=0.5)
    assert on_path.any()
    curve = lower.lines[0].get_ydata()
    np.testing.assert_allclose(curve, 1.2, rtol=0.05)  # of the worse over the better, though adam comes first
    assert "compute of adam" in lower.get_ylabel()
    low, high = lower.get_ylim()
    assert low < 1.0 < 1.2 < high
    figure_of(axes).savefig(tmp_path / "versus.png")
    assert (tmp_path / "versus.png").stat().st_size > 10_000


def test_a_multiplier_without_bound_leaves_the_axes_finite(tmp_path):
    found, axes = draw(recipes_table(np.random.default_rng(0), second=SURFACE + np.array([0.8, 0, 0, 0, 0])))
    assert not np.isfinite(found.multiplier.value[0])
    assert np.isfinite(axes[1].get_ylim()).all()
    figure_of(axes).savefig(tmp_path / "versus.svg")
