"""Starts by variable projection, and the derivatives that laws write themselves."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.optimize import nnls

from lbscale import laws
from lbscale.laws.starts import best, project

POINTS = {
    "kaplan": [15.0, 30.0, 0.1, 0.12],
    "skaling": [1.7, 400.0, 1300.0, 0.33, 0.34, 0.6],
    "farseer": [2.2, -0.09, 1e-5, 0.3, 0.2, -0.2, 0.4, -0.16, 0.0],
    "overtraining": [1.8, 1500.0, 5000.0, 0.2],
    "repetition": [1.8, 500.0, 1500.0, 0.35, 0.34, 15.0, 5.0],
}


@pytest.mark.parametrize("name", POINTS)
def test_jacobian_is_the_derivative(name, rng):
    law = laws.get(name)
    theta = np.array([POINTS[name]] * 3) * np.exp(0.05 * rng.normal(size=(3, len(POINTS[name]))))
    table = {
        "n_params": np.exp(rng.uniform(16, 25, 40)),
        "n_tokens": np.exp(rng.uniform(20, 28, 40)),
        "epochs": np.exp(rng.uniform(-0.5, 3.0, 40)),
    }
    logs = law.logs(table)
    value, jacobian = law.jacobian(theta, logs)
    np.testing.assert_allclose(value, law.form(theta, logs), rtol=1e-12)
    for j in range(theta.shape[1]):
        step = 1e-6 * np.maximum(np.abs(theta[:, j]), 0.1)
        shift = step[:, None] * np.eye(theta.shape[1])[j]
        slope = (law.form(theta + shift, logs) - law.form(theta - shift, logs)) / (2 * step[:, None])
        np.testing.assert_allclose(jacobian[:, j], slope, rtol=2e-5, atol=1e-7 * np.abs(slope).max())


def test_projection_is_least_squares_above_a_floor(rng):
    terms, target = rng.uniform(0.1, 1.0, (20, 3, 30)), rng.uniform(1.0, 2.0, 30)
    solved, misfit = project(terms, target, floor=0.0)
    for k in range(20):
        expected, residual = nnls(terms[k].T, target)
        assert misfit[k] == pytest.approx(residual**2, rel=0.02)
        assert (solved[k] >= 0).all()
        if (expected > 0).all():
            np.testing.assert_allclose(solved[k], expected, rtol=1e-6)


def test_best_leaves_out_what_is_not_finite():
    starts = np.array([[1.0], [np.inf], [3.0]])
    np.testing.assert_array_equal(best(starts, np.array([2.0, 0.0, 1.0])), [[3.0], [1.0]])
