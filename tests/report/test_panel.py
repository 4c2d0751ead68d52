"""Panels as SVG: well formed whatever the runs are called, points where their values are."""

from __future__ import annotations

import json
import xml.etree.ElementTree as ET

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from laws_tables import star_table, surface_table

from lbscale import laws
from lbscale.report.axis import Axis
from lbscale.report.law_panels import bowl_panels, law_panels, optimum_panels
from lbscale.report.panel import N_COLOURS, Line, Panel, Point, colour_of, panel_svg

X, Y = Axis("x", 1.0, 100.0, log=True), Axis("y & z", 0.0, 4.0)
NAMES = st.text(alphabet=st.characters(exclude_categories=["Cs", "Cc"]), max_size=20)


def drawn(panel):
    """The panel's elements."""
    return ET.fromstring(panel_svg(panel, "p"))


@given(name=NAMES, note=NAMES, title=NAMES)
def test_no_name_breaks_the_drawing(name, note, title):
    panel = Panel(title, X, Y, (Point(10.0, 1.0, name, (note,) if note else ()),))
    (point,) = [node for node in drawn(panel).iter() if "data-run" in node.attrib]
    assert point.attrib["data-run"] == name and point.attrib.get("data-note", "") == note


def test_points_stand_at_their_values():
    panel = Panel("t", X, Y, (Point(1.0, 0.0, "low"), Point(10.0, 2.0, "middle"), Point(100.0, 4.0, "high")))
    root = drawn(panel)
    left, top, wide, high = json.loads(root.attrib["data-axes"])["box"]
    places = {n.attrib["data-run"]: n.attrib["transform"] for n in root.iter() if "data-run" in n.attrib}
    assert places == {
        "low": f"translate({left:.1f} {top + high:.1f})",
        "middle": f"translate({left + wide / 2:.1f} {top + high / 2:.1f})",
        "high": f"translate({left + wide:.1f} {top:.1f})",
    }


def test_a_curve_far_outside_is_drawn_in_numbers_that_a_browser_takes():
    line = Line([1.0, 10.0, 100.0], [1e300, np.nan, -1e300], band=([np.nan] * 3, [1e9] * 3))
    text = panel_svg(Panel("t", X, Y, lines=(line,)), "p")
    assert "nan" not in text and "inf" not in text and "e+" not in text


@given(st.sets(st.floats(1.0, 1e12), min_size=1, max_size=40))
def test_colours_follow_the_order_of_values(values):
    colour = colour_of(values)
    numbers = [colour[value] for value in sorted(values)]
    assert numbers == sorted(numbers) and min(numbers) >= 0 and max(numbers) < N_COLOURS
    assert len(set(numbers)) == min(len(values), N_COLOURS)


def test_a_law_has_every_run_fitted_or_held_out(rng):
    table = surface_table(rng, 50)
    fit = laws.fit(table, "chinchilla", holdout="n_params > 3e9", bootstrap=0)
    target, rest = law_panels(fit)
    held = set(table.index[table.n_params > 3e9].astype(str))
    for panel in (target, rest):
        assert {point.name for point in panel.points} == set(map(str, table.index))
        assert {point.name for point in panel.points if point.kind == "held"} == held
    for point in target.points:
        run = table.loc[int(point.name)]
        assert (point.x, point.y) == pytest.approx((run.n_tokens, run.loss))
    predicted = fit.law.predict(fit.theta, {name: table[name].to_numpy() for name in fit.law.columns})
    for point in rest.points:
        i = int(point.name)
        assert point.y == pytest.approx(100 * (table.loss[i] / predicted[i] - 1))


def test_a_tuning_law_has_its_optima_and_a_bowl_a_cell(rng):
    table = star_table(rng).assign(status="finished")
    worst = table["learning_rate"].idxmax()
    table.loc[worst, "status"] = "diverged"
    fit = laws.fit(table, "joint", bootstrap=0)
    rate, batch = optimum_panels(fit)
    value = fit.optimum(n_params=rate.lines[0].x[0], n_tokens=float(np.exp(np.log(table.drop(worst).n_tokens).mean())))
    assert rate.lines[0].y[0] == pytest.approx(value["learning_rate"]["value"], rel=0.02)
    assert len(rate.lines) == len(batch.lines) == 3
    bowls = bowl_panels(fit)
    assert len(bowls) == 12 and sum(len(bowl.points) for bowl in bowls) == len(table)
    (bound,) = [point for bowl in bowls for point in bowl.points if point.kind == "bound"]
    assert bound.name == str(worst)


@pytest.mark.parametrize("n_rows", [1, 3])
def test_a_degenerate_table_has_panels(rng, n_rows):
    fit = laws.fit(star_table(rng)[:n_rows], "joint", bootstrap=0)
    for panel in (*law_panels(fit), *optimum_panels(fit), *bowl_panels(fit)):
        text = panel_svg(panel, "p")
        assert "nan" not in text and "inf" not in text
