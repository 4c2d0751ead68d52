"""Every figure draws on the axes it is given, or makes its own, and returns them to be drawn on."""

from __future__ import annotations

import inspect
import itertools
import os
import subprocess
import sys
import types

import numpy as np
import pandas as pd
import pytest
from laws_tables import JOINT_TRUTH, TRUE_LAW, star_table, surface_table
from matplotlib import pyplot as plt
from matplotlib.axes import Axes

from lbscale import laws, report
from lbscale.errors import InputError
from lbscale.report import figure_of, figures, law_figure, width
from lbscale.report.style import log_ticks

FIGURES = {
    function
    for module in (figures, width)
    for name, function in vars(module).items()
    if isinstance(function, types.FunctionType) and function.__module__ == module.__name__ and name[0] != "_"
} | {law_figure}
SAID = {"value": 2.0, "interval_mean": [1.9, 2.1], "interval_new_run": [1.8, 2.2]}


@pytest.fixture(autouse=True)
def _closed():
    yield
    plt.close("all")


@pytest.fixture(scope="module")
def joint():
    """A joint fit to a table of two sizes and two budgets."""
    small = star_table(np.random.default_rng(7)).query("n_params < 3e4 and n_tokens < 3e5")
    return laws.fit(small, "joint", bootstrap=0)


@pytest.fixture(scope="module")
def drawings(joint):
    """Name -> a figure with its arguments but `ax`, and its numbers of rows and columns of panels."""
    rng = np.random.default_rng(3)
    comparison = laws.compare(star_table(rng), ["chinchilla", "kaplan"], windows="size", bootstrap=0)
    point = {"learning_rate": 1e-3, "batch_size_tokens": 256.0}
    run = {"point": point, "laws": {"joint": SAID}, "measured": 2.05}
    follow_up = {"recommended": run, "neighbours": [run], "baselines": {"carry_forward": {"loss": 2.1}}}
    check = pd.DataFrame({"name": "a", "d_model": [8, 16], "update": 3, "change": [1.0, 1.1]})
    rates = 0.01 * 2.0 ** np.arange(-3, 4)
    rows = [("mup", d, lr, np.log(lr / 0.01) ** 2 + 1.0 / d, s) for d in (8, 16, 32) for lr in rates for s in (0, 1)]
    table = pd.DataFrame(rows, columns=["parameterization", "d_model", "learning_rate", "loss", "init_seed"])
    table["loss"] += 1e-3 * rng.normal(size=len(table))
    transfers = {"mup": laws.learning_rate_transfer(table, replicate="init_seed")}
    return {
        "tuning": (lambda ax: figures.tuning(joint, ax=ax), (2, 2)),
        "optimum": (lambda ax: figures.optimum(joint, ax=ax), (1, 2)),
        "surface": (lambda ax: figures.surface(joint, ax=ax), (2, 1)),
        "held_out": (lambda ax: figures.held_out(comparison, ax=ax), (1, 1)),
        "outcome": (lambda ax: figures.outcome(follow_up, "joint", ax=ax), (1, 1)),
        "law_figure": (lambda ax: law_figure(joint, ax), (2, 1)),
        "transfer_figure": (lambda ax: width.transfer_figure(table, transfers, ax=ax), (1, 1)),
        "check_figure": (lambda ax: width.check_figure({"mup": check, "standard": check}, ax=ax), (1, 2)),
    }


def test_every_figure_is_tried_here(drawings):
    assert {function.__name__ for function in FIGURES} == set(drawings)
    for function in FIGURES:
        assert inspect.signature(function).parameters["ax"].default is None


@pytest.mark.parametrize("name", sorted(function.__name__ for function in FIGURES))
def test_a_figure_draws_on_what_it_is_given(drawings, name):
    draw, (n_rows, n_columns) = drawings[name]
    own, given = plt.subplots(n_rows, n_columns, squeeze=False)
    drawn = draw(given if given.size > 1 else given[0, 0])
    assert [*np.ravel(drawn)] == [*given.ravel()]
    assert all(axis.has_data() for axis in given.ravel()) and figure_of(drawn) is own
    assert plt.get_fignums() == [own.number]
    one_too_many = plt.figure().subplots(1, n_rows * n_columns + 1)
    with pytest.raises(InputError, match="ax"):
        draw(one_too_many)


@pytest.mark.parametrize("name", sorted(function.__name__ for function in FIGURES))
def test_a_figure_of_its_own_can_be_drawn_on_and_saved(drawings, name, tmp_path):
    draw, shape = drawings[name]
    drawn = draw(None)
    first = np.ravel(drawn)[0]
    assert isinstance(first, Axes) and np.size(drawn) == np.prod(shape)
    first.axhline(1.0, label="mine")
    figure_of(drawn).savefig(tmp_path / "figure.png")
    assert plt.rcParams["font.size"] == plt.rcParamsDefault["font.size"]


def test_a_figure_and_axes_of_a_subfigure_have_one_whole_figure():
    whole = plt.figure()
    part = whole.subfigures(1, 2)[1]
    assert figure_of(part.subplots()) is figure_of(whole) is whole


def test_the_error_of_each_window_is_drawn():
    rng = np.random.default_rng(1)
    table = surface_table(rng, 80).assign(n_params=lambda frame: 10.0 ** np.round(np.log10(frame.n_params), 0))
    table["n_params"] *= np.resize([1.0, 2.0, 3.0], len(table))
    comparison = laws.compare(table, ["kaplan", "chinchilla"], windows="size", bootstrap=0)
    axis = figures.held_out(comparison)
    assert len(axis.lines) == 2
    for line, (name, rows) in zip(axis.lines, comparison.held.items(), strict=True):
        by_hand = [100 * abs(part["relative_error"]).mean() for _, part in rows.groupby("window", sort=False)]
        np.testing.assert_allclose(line.get_ydata(), by_hand)
        assert line.get_label().startswith(name)


def test_the_tuned_surface_passes_through_the_planted_one():
    fit = laws.fit(star_table(np.random.default_rng(7), 0.0, 0.0), "joint", bootstrap=0)
    upper, lower = report.figures.surface(fit)
    curve = upper.lines[0]  # of the smallest size
    tokens = np.asarray(curve.get_xdata())
    inside = (tokens > 98304.0) & (tokens < 786432.0)
    truth = TRUE_LAW.optimum(JOINT_TRUTH, n_params=np.full(inside.sum(), 14e3), n_tokens=tokens[inside])[-1]
    np.testing.assert_allclose(np.asarray(curve.get_ydata())[inside], truth, rtol=2e-3)
    assert lower.get_ylabel().startswith("measured / law")


def test_figures_leave_the_choice_of_backend_to_the_notebook():
    command = "import lbscale; lbscale.report.law_figure; import matplotlib; print(matplotlib.get_backend())"
    environment = {**os.environ, "MPLBACKEND": "svg"}
    found = subprocess.run([sys.executable, "-c", command], env=environment, capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "svg"


@pytest.mark.parametrize("span", [3.0, 50.0, 500.0, 1e6])
def test_a_logarithmic_axis_has_a_few_labels_that_do_not_touch(span):
    figure, axis = plt.subplots(figsize=(4, 3))
    axis.plot([2e6, 2e6 * span], [1, 2])
    axis.set_xscale("log")
    log_ticks(axis.xaxis)
    figure.canvas.draw()
    low, high = axis.get_xlim()
    labels = [label for label in axis.get_xticklabels() if low <= label.get_position()[0] <= high]
    boxes = [label.get_window_extent() for label in labels]
    assert 1 <= len(labels) <= 8
    assert all(left.x1 < right.x0 for left, right in itertools.pairwise(boxes))
