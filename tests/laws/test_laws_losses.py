"""Robust losses: against quantities written down independently, and their derivatives against differences."""

from __future__ import annotations

import numpy as np
import pytest
from laws_tables import surface_table

from lbscale import laws
from lbscale.errors import InputError
from lbscale.laws.losses import LOSSES, make_loss


@pytest.mark.parametrize("name", LOSSES)
def test_slope_and_curvature_are_derivatives_of_the_value(name):
    loss = make_loss(name, 0.3, 3.0)
    residual = np.array([-2.0, -0.31, -0.2, -0.01, 0.013, 0.17, 0.5, 4.0])
    width = 1e-6
    ahead, behind, here = loss(residual + width), loss(residual - width), loss(residual)
    np.testing.assert_allclose((ahead.value - behind.value) / (2 * width), here.slope, rtol=1e-7)
    np.testing.assert_allclose((ahead.slope - behind.slope) / (2 * width), here.curvature, atol=1e-8)
    np.testing.assert_allclose(here.majorant * residual, here.slope, rtol=1e-12)


def test_the_asymmetric_loss_weighs_a_law_above_its_run_more():
    loss = make_loss("asymmetric", 0.1, 4.0)
    above, below = (loss(np.array([r])).value[0] for r in (0.5, -0.5))
    assert above / below == pytest.approx(4.0)
    assert above + below == pytest.approx(2 * make_loss("huber", 0.1)(np.array([0.5])).value[0])


def test_an_asymmetric_fit_lies_lower(rng):
    """A constant law's asymmetric fit is an expectile: four times the excess above balances the shortfall below."""
    table = surface_table(rng, 200, noise=0.02)
    even, low = (
        laws.fit(table, "chinchilla", loss="asymmetric", delta=10.0, asymmetry=a, bootstrap=0) for a in (1.0, 4.0)
    )
    squares = laws.fit(table, "chinchilla", loss="squares", bootstrap=0)
    assert even.objective == pytest.approx(squares.objective, rel=1e-8)
    residual = np.log1p(np.array(low.rows["relative_residual"]))
    # The derivative of the sum by E of the law, whose others are at their optimum, vanishes.
    weight = np.where(residual > 0, 4.0, 1.0) * residual / np.array(low.rows["predicted"])
    assert abs(weight.sum()) < 1e-6 * np.abs(weight).sum()
    assert residual.mean() < -0.002
    assert low.asymmetry == 4.0 and low.document()["asymmetry"] == 4.0
    with pytest.raises(InputError, match="asymmetry"):
        laws.fit(table, "chinchilla", loss="asymmetric", asymmetry=-1.0)
