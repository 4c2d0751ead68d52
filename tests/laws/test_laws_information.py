"""Information of rows that share errors, against dense matrices and a simulation."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lbscale.laws.information import Information, Measured, RowNoise, information_of

N_ROWS, N_PARAMETERS = 14, 3
NOISE = RowNoise(np.array([0.5, 0.2]), 0.3, 1.0)


def made(seed: int, noise: RowNoise = NOISE) -> tuple[Information, np.ndarray, np.ndarray]:
    """Information at two draws, with the derivatives (2, p, n) and the groups (n, 2) it rests on."""
    rng = np.random.default_rng(seed)
    jacobian = rng.normal(size=(2, N_PARAMETERS, N_ROWS))
    groups = np.column_stack([rng.integers(0, 4, N_ROWS), rng.integers(0, 6, N_ROWS)])
    rows = Measured(jacobian, np.ones(N_ROWS), np.ones(N_ROWS), groups, (8, 8))
    gradient = rng.normal(size=(2, N_PARAMETERS, 2))
    nothing = np.zeros(N_PARAMETERS)
    return information_of(rows, noise, gradient, nothing, nothing), jacobian, groups


def dense(jacobian: np.ndarray, groups: np.ndarray, gradient: np.ndarray, noise: RowNoise = NOISE) -> np.ndarray:
    """The variance (q,) of least squares whose errors have the covariance matrix written out."""
    n = jacobian.shape[1]
    covariance = noise.alone * np.eye(n)
    for group, variance in zip(groups.T, noise.shared, strict=True):
        covariance += variance * (group[:, None] == group[None, :])
    weights = np.linalg.pinv(jacobian.T) @ covariance @ np.linalg.pinv(jacobian.T).T
    return np.diag(gradient.T @ weights @ gradient)


@given(st.integers(0, 10_000))
def test_variance_is_that_of_least_squares_under_the_covariance_matrix(seed: int) -> None:
    known, jacobian, groups = made(seed)
    for k in range(2):
        expected = dense(jacobian[k], groups, known.gradient[k])
        np.testing.assert_allclose(known.variance[k], expected, rtol=1e-6)


@given(st.integers(0, 10_000), st.integers(0, 7), st.integers(0, 7))
def test_one_row_more_is_scored_as_the_whole_table_with_it(seed: int, cell: int, trunk: int) -> None:
    known, jacobian, groups = made(seed)
    row = np.random.default_rng(seed + 1).normal(size=(2, N_PARAMETERS))
    own = np.array([cell, trunk])
    scored = known.variance_with(row[:, None], own[None])[:, 0]
    grown = known.add(row, own)
    np.testing.assert_allclose(scored, grown.variance, rtol=1e-6)
    for k in range(2):
        every = np.column_stack([jacobian[k], row[k]])
        np.testing.assert_allclose(scored[k], dense(every, np.vstack([groups, own]), known.gradient[k]), rtol=1e-6)
    np.testing.assert_allclose(grown.remove(row, own).variance, known.variance, rtol=1e-6)


def test_without_shared_errors_it_is_fishers() -> None:
    known, jacobian, _ = made(3, RowNoise(np.zeros(2), 0.3, 1.0))
    fisher = np.linalg.inv(jacobian[0] @ jacobian[0].T / 0.3)
    expected = np.diag(known.gradient[0].T @ fisher @ known.gradient[0])
    np.testing.assert_allclose(known.variance[0], expected)


def test_simulated_estimates_scatter_as_it_says() -> None:
    known, jacobian, groups = made(5)
    rng = np.random.default_rng(0)
    errors = np.sqrt(NOISE.alone) * rng.standard_normal((40_000, N_ROWS))
    for group, variance in zip(groups.T, NOISE.shared, strict=True):
        errors += np.sqrt(variance) * rng.standard_normal((40_000, 8))[:, group]
    estimates = errors @ np.linalg.pinv(jacobian[0]) @ known.gradient[0]
    assert estimates.var(axis=0) == pytest.approx(known.variance[0], rel=0.05)
