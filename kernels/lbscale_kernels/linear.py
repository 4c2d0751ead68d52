"""A linear map whose gradient is written the way round that is fast to compute.

Shapes: any leading axes (rows, positions), then D in and F out.
"""

from __future__ import annotations

import functools
from typing import Any

import jax
import jax.numpy as jnp
from jax.ad_checkpoint import checkpoint_name

PRODUCT = "product"  # the name under which a remat policy finds what `linear` returns


@functools.partial(jax.custom_vjp, nondiff_argnums=(2,))
def linear(x_BTD: jax.Array, weight_DF: jax.Array, dtype: Any = None) -> jax.Array:
    """x W, accumulated in float32, in `dtype` (None: that of x). Gradients are multiplied in the dtype of x.

    The gradient of W is x' dy. Autodiff writes it as (dy' x)', for which a CPU transposes dy in a pass of its own
    and then multiplies at half the speed.
    """
    return _contract(x_BTD, weight_DF, (x_BTD.ndim - 1,), (0,)).astype(dtype or x_BTD.dtype)


def _contract(a: jax.Array, b: jax.Array, over_a: tuple[int, ...], over_b: tuple[int, ...]) -> jax.Array:
    return jax.lax.dot_general(a, b, ((over_a, over_b), ((), ())), preferred_element_type=jnp.float32)


def _forward(x_BTD: jax.Array, weight_DF: jax.Array, dtype: Any) -> tuple[jax.Array, tuple[jax.Array, jax.Array]]:
    return checkpoint_name(linear(x_BTD, weight_DF, dtype), PRODUCT), (x_BTD, weight_DF)


def _backward(dtype: Any, saved: tuple[jax.Array, jax.Array], dy_BTF: jax.Array) -> tuple[jax.Array, jax.Array]:
    x_BTD, weight_DF = saved
    dy_BTF = dy_BTF.astype(x_BTD.dtype)
    leading = tuple(range(x_BTD.ndim - 1))
    dx_BTD = _contract(dy_BTF, weight_DF, (dy_BTF.ndim - 1,), (1,))
    return dx_BTD.astype(x_BTD.dtype), _contract(x_BTD, dy_BTF, leading, leading).astype(weight_DF.dtype)


linear.defvjp(_forward, _backward)
