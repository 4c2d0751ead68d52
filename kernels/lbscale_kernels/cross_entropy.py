"""Cross-entropy of a linear head, with its gradient written out.

Autodiff would differentiate the gather of the target's logit into a scatter and keep the logits beside their softmax;
the rule here is softmax - one_hot, in one pass. Shapes: N tokens (any leading axes), D width, V vocabulary.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp

from lbscale_kernels.linear import linear


def packed_cross_entropy(x_ND: jax.Array, head_DV: jax.Array, targets_N: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Loss in nats and log-sum-exp of the logits, each float32 of the targets' shape.

    `x_ND` may have any number of leading axes, equal to those of the int `targets_N`. Logits accumulate in float32.
    """
    return _loss_and_lse(linear(x_ND, head_DV, jnp.float32), targets_N)


def cross_entropy_of_logits(logits_NV: jax.Array, targets_N: jax.Array) -> tuple[jax.Array, jax.Array]:
    """The same of logits that are there already, in any float type."""
    return _loss_and_lse(logits_NV.astype(jnp.float32), targets_N)


def _log_sum_exp(logits_NV: jax.Array) -> jax.Array:
    peak_N1 = jnp.max(logits_NV, axis=-1, keepdims=True)
    return (peak_N1 + jnp.log(jnp.sum(jnp.exp(logits_NV - peak_N1), axis=-1, keepdims=True)))[..., 0]


def _one_hot(logits_NV: jax.Array, targets_N: jax.Array) -> jax.Array:
    return jnp.arange(logits_NV.shape[-1]) == targets_N[..., None]


@jax.custom_vjp
def _loss_and_lse(logits_NV: jax.Array, targets_N: jax.Array) -> tuple[jax.Array, jax.Array]:
    lse_N = _log_sum_exp(logits_NV)
    target_N = jnp.sum(jnp.where(_one_hot(logits_NV, targets_N), logits_NV, 0.0), axis=-1)
    return lse_N - target_N, lse_N


def _forward(logits_NV: jax.Array, targets_N: jax.Array) -> tuple[tuple[jax.Array, jax.Array], tuple[jax.Array, ...]]:
    loss_N, lse_N = _loss_and_lse(logits_NV, targets_N)
    return (loss_N, lse_N), (logits_NV, targets_N, lse_N)


def _backward(saved: tuple[jax.Array, ...], cotangents: tuple[jax.Array, jax.Array]) -> tuple[jax.Array, None]:
    logits_NV, targets_N, lse_N = saved
    loss_bar_N, lse_bar_N = cotangents
    softmax_NV = jnp.exp(logits_NV - lse_N[..., None])
    hit_NV = jnp.where(_one_hot(logits_NV, targets_N), loss_bar_N[..., None], 0.0)
    return softmax_NV * (loss_bar_N + lse_bar_N)[..., None] - hit_NV, None


_loss_and_lse.defvjp(_forward, _backward)
