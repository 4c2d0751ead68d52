"""What a notebook shows of a fit: its parameters, its residuals where they are, what was dropped."""

from __future__ import annotations

import re
from xml.etree import ElementTree

import numpy as np
import pytest
from laws_tables import surface_table
from tuning_grids import tuning_grid

from lbscale import laws
from lbscale.laws.residual_plot import MOST_POINTS, residual_plot

SVG = "{http://www.w3.org/2000/svg}"


def circles(fit: laws.Fit) -> list[ElementTree.Element]:
    """The points of a law's one panel, in the order of the rows."""
    return list(ElementTree.fromstring(residual_plot(fit)).iter(f"{SVG}circle"))


def test_points_stand_where_the_residuals_are(rng: np.random.Generator) -> None:
    fit = laws.fit(surface_table(rng), "chinchilla", bootstrap=0)
    points = circles(fit)
    across, down = (np.array([float(point.attrib[name]) for point in points]) for name in ("cx", "cy"))
    predicted, measured = np.array(fit.rows["predicted"]), np.array(fit.rows["loss"])
    assert np.corrcoef(across, np.log(predicted))[0, 1] > 0.9999
    assert np.corrcoef(down, measured / predicted)[0, 1] < -0.9999
    zero_line = float(re.search(r'<line[^>]* y1="([\d.]+)"', residual_plot(fit)).group(1))
    _, at_zero = np.polyfit(measured / predicted - 1.0, down, 1)
    assert at_zero == pytest.approx(zero_line, abs=0.05)


def test_held_out_rows_are_hollow_and_counted(rng: np.random.Generator) -> None:
    table = surface_table(rng)
    fit = laws.fit(table, "chinchilla", holdout="n_params > 3e9", bootstrap=0)
    hollow = [point for point in circles(fit) if point.attrib["fill"] == "none"]
    assert len(hollow) == (table["n_params"] > 3e9).sum() and len(circles(fit)) == len(table)
    assert f"held out: {len(hollow)} rows" in fit._repr_html_()


def test_a_law_of_two_targets_has_two_panels_and_a_held_parameter_is_said(rng: np.random.Generator) -> None:
    assert residual_plot(laws.fit(tuning_grid(rng), "step_law", bootstrap=0)).count("<svg") == 2
    held = laws.fit(surface_table(rng), "chinchilla", bootstrap=0, fixed={"E": 1.8})
    assert "<td>E</td><td>1.8</td><td>held</td>" in held._repr_html_()


@pytest.mark.parametrize("n_rows", [1, 2, 3 * MOST_POINTS])
def test_any_number_of_rows_can_be_shown(rng: np.random.Generator, n_rows: int) -> None:
    fit = laws.fit(surface_table(rng, n_rows), "chinchilla", bootstrap=0)
    assert len(circles(fit)) == min(n_rows, MOST_POINTS)
    assert ("of 3000 runs" in residual_plot(fit)) == (n_rows > MOST_POINTS)
    assert "nan" not in residual_plot(fit)
