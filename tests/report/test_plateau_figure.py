"""Figures of a recommendation's plateau and of a design: what is drawn where."""

from __future__ import annotations

import numpy as np
import pytest
from matplotlib import pyplot as plt
from matplotlib.collections import PathCollection

from lbscale import laws
from lbscale.errors import InputError
from lbscale.laws.design import Ladder, design
from lbscale.laws.expectation import assumed_truth
from lbscale.report.design_figure import design_figure
from lbscale.report.plateau_figure import plateau_figure

POINT = {"n_params": 1e9, "n_tokens": 1e11}


@pytest.fixture(autouse=True)
def closed():
    """Figures are closed after each test."""
    yield
    plt.close("all")


def test_the_recommended_point_lies_inside_its_plateau() -> None:
    answer = laws.recommend(**POINT)
    axes = plateau_figure(answer)
    area = axes.patches[0].get_path()
    best = (answer["batch_size_tokens"]["value"], answer["learning_rate"]["value"])
    assert area.contains_point(best)
    drawn = [tuple(np.ravel(line.get_xydata())) for line in axes.lines]
    assert any(np.allclose(points, best) for points in drawn if len(points) == 2)
    largest = answer["plateau"]["largest_batch_size_tokens"]
    assert any(
        np.allclose(points, (largest["value"], largest["learning_rate"])) for points in drawn if len(points) == 2
    )


def test_an_answer_without_a_plateau_is_refused() -> None:
    with pytest.raises(InputError, match="an answer with a plateau"):
        plateau_figure(laws.recommend("step_law", **POINT))


def test_a_design_shows_all_its_settings_and_the_target() -> None:
    ladder = Ladder((1e5, 1e6, 1e7, 1e8), (6e5, 6e6, 6e7, 6e8))
    made = design(assumed_truth("chinchilla_besiroglu", "step_law"), POINT, 1e20, ladder, seq_len=256)
    given = plt.subplots(1, 2)[1]
    left, right = design_figure(made, given)
    assert [left, right] == list(given)
    drawn = sum(len(points.get_offsets()) for points in right.collections if isinstance(points, PathCollection))
    assert drawn == sum(len(cell.settings) for cell in made.cells)
    assert any(np.allclose(line.get_xydata(), [[1e9, 1e11]]) for line in left.lines)
