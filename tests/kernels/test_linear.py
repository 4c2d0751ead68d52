"""The linear map against autodiff of a plain product."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from lbscale_kernels import linear


def _inputs(shape: tuple[int, ...], n_out: int, dtype: str) -> tuple[jax.Array, ...]:
    keys = jax.random.split(jax.random.key(0), 3)
    x = jax.random.normal(keys[0], shape)
    weight, dy = jax.random.normal(keys[1], (shape[-1], n_out)), jax.random.normal(keys[2], (*shape[:-1], n_out))
    return tuple(array.astype(dtype) for array in (x, weight, dy))


@pytest.mark.parametrize("shape", [(5, 4), (2, 3, 4), (1, 7, 4)])
@pytest.mark.parametrize(("dtype", "tolerance"), [("float32", 1e-6), ("bfloat16", 2e-2)])
def test_value_and_gradients_are_those_of_a_product(shape: tuple[int, ...], dtype: str, tolerance: float) -> None:
    x, weight, dy = _inputs(shape, 6, dtype)
    y, pull = jax.vjp(linear, x, weight)
    wide = [np.asarray(array, np.float64) for array in (x, weight, dy)]
    rows, dy_rows = wide[0].reshape(-1, 4), wide[2].reshape(-1, 6)
    expected = (wide[0] @ wide[1], (dy_rows @ wide[1].T).reshape(shape), rows.T @ dy_rows)
    for found, wanted in zip((y, *pull(dy)), expected, strict=True):
        assert found.dtype == dtype
        np.testing.assert_allclose(np.asarray(found, np.float64), wanted, rtol=tolerance, atol=tolerance * 4)


def test_a_wider_result_leaves_gradients_in_the_dtype_of_the_inputs() -> None:
    x, weight, dy = _inputs((2, 3, 4), 6, "bfloat16")
    y, pull = jax.vjp(lambda x, weight: linear(x, weight, jnp.float32), x, weight)
    assert y.dtype == jnp.float32 and [g.dtype for g in pull(dy.astype(jnp.float32))] == [jnp.bfloat16] * 2


def test_it_maps_over_lanes() -> None:
    x, weight, _ = _inputs((2, 3, 4), 6, "float32")
    lanes = jnp.stack([weight, 2 * weight])
    gradient = jax.vmap(jax.grad(lambda weight: jnp.sum(linear(x, weight) ** 2)))(lanes)
    np.testing.assert_allclose(gradient[1], 2 * gradient[0], rtol=1e-5)
