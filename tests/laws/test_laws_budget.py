"""Optima and iso-curves of any surface, against the closed forms of the additive one and against brute force."""

from __future__ import annotations

import numpy as np
import pytest
from laws_tables import CHINCHILLA_TRUTH, surface_table
from scipy.optimize import minimize_scalar

from lbscale import laws
from lbscale.errors import InputError

FLOPS = 1e23


@pytest.fixture
def fit(rng):
    return laws.fit(surface_table(rng, 120), "chinchilla")


def closed(theta, flops):
    """The optimum of an additive surface (Hoffmann et al. 2022, equation 4)."""
    _, A, B, alpha, beta = theta
    return (alpha * A / (beta * B)) ** (1 / (alpha + beta)) * (flops / 6) ** (beta / (alpha + beta))


def test_optimum_is_the_closed_form(fit):
    answer = laws.optimal_allocation(fit, FLOPS)
    best = closed(fit.theta, FLOPS)
    assert answer["n_params"]["value"] == pytest.approx(best, rel=1e-4)
    assert answer["n_tokens"]["value"] == pytest.approx(FLOPS / 6 / best, rel=1e-4)
    assert answer["tokens_per_param"]["value"] == pytest.approx(FLOPS / 6 / best**2, rel=1e-4)
    reach = 1.959964 * fit.uncertainty(lambda theta: np.log(closed(np.moveaxis(theta, -1, 0), FLOPS)))
    low, high = answer["n_params"]["interval"]
    assert np.log(high / low) / 2 == pytest.approx(reach, rel=0.02)
    assert low < closed(CHINCHILLA_TRUTH, FLOPS) < high


@pytest.mark.parametrize("law", ["kaplan", "skaling", "farseer", "overtraining"])
def test_optimum_of_any_surface(rng, law):
    fit = laws.fit(surface_table(rng, 150), law, bootstrap=50)
    flops = 1e21
    answer = laws.optimal_allocation(fit, flops)

    def loss(log_n):
        n = np.exp(np.array([log_n]))
        return fit.law.predict(fit.theta, {"n_params": n, "n_tokens": flops / 6 / n})[0]

    found = minimize_scalar(loss, bracket=(19.0, 21.0, 24.0), tol=1e-10)
    assert answer["n_params"]["value"] == pytest.approx(np.exp(found.x), rel=1e-3)
    assert answer["loss"]["value"] == pytest.approx(found.fun, rel=1e-7)
    low, high = answer["n_params"]["interval"]
    assert low < answer["n_params"]["value"] < high


def test_curves(fit):
    sizes = np.geomspace(1e8, 1e11, 7)
    curve = laws.iso_flop(fit, FLOPS, sizes)
    np.testing.assert_allclose(6 * curve["n_params"] * curve["n_tokens"], FLOPS)
    level = laws.iso_loss(fit, 2.2, sizes)
    E, A, B, alpha, beta = fit.theta
    left = 2.2 - E - A / sizes**alpha
    expected = np.where(left > 0, (B / np.maximum(left, 1e-9)) ** (1 / beta), np.nan)
    np.testing.assert_allclose(level["n_tokens"], expected, rtol=1e-6)
    assert np.isnan(level["flops"][0])


@pytest.mark.parametrize("factor", [0.2, 1.0, 5.0, 30.0])
def test_cost_of_overtraining(fit, factor):
    cost = laws.overtraining_cost(fit, FLOPS, factor)
    E, A, B, alpha, beta = fit.theta
    n = closed(fit.theta, FLOPS)
    d = FLOPS / 6 / n
    least = E + A / n**alpha + B / d**beta
    # Same FLOPs, D/N times the factor: N falls and D rises by its square root.
    moved = E + A / (n / factor**0.5) ** alpha + B / (d * factor**0.5) ** beta
    assert cost["loss_factor"]["value"] == pytest.approx(moved / least, rel=1e-6)
    size = n * cost["n_params_factor"]["value"]
    tokens = size * factor * d / n
    assert E + A / size**alpha + B / tokens**beta == pytest.approx(least, rel=1e-6)
    assert cost["flops_factor"]["value"] == pytest.approx(6 * size * tokens / FLOPS, rel=1e-6)
    low, high = cost["flops_factor"]["interval"]
    assert low <= cost["flops_factor"]["value"] <= high


def test_other_counts_of_flops(fit):
    half = lambda n, d: 3.0 * n * d
    six = laws.optimal_allocation(fit, FLOPS)["n_params"]["value"]
    assert laws.optimal_allocation(fit, FLOPS / 2, half)["n_params"]["value"] == pytest.approx(six, rel=1e-6)


def test_a_law_without_an_optimum_is_refused(rng):
    table = surface_table(rng)
    table["loss"] = 2.0 + 1e4 * table.n_tokens**-0.4
    fit = laws.fit(table, "chinchilla", bootstrap=0)
    with pytest.raises(InputError, match="no optimum"):
        laws.optimal_allocation(fit, FLOPS)
    with pytest.raises(InputError, match="positive"):
        laws.optimal_allocation(fit, -1.0)
