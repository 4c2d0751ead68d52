"""Causal attention within documents, by static row blocks: the XLA path, which is fast on a CPU.

As in FlashAttention-2 (Dao 2023, arXiv 2307.08691), a block of queries sees the keys up to its own end and no further,
and the backward pass computes the weights again from their log-sum-exp: no T x T array need outlive its block.

Shapes: B rows, T query positions, S key positions, G key-value heads, R query heads to each of them, K head width.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator

import jax
import jax.numpy as jnp

_MASKED = -1e30  # finite, so that a fully masked score row cannot make a NaN


def packed_attention(
    q_BTHK: jax.Array, k_BTGK: jax.Array, v_BTGK: jax.Array, starts_BT: jax.Array, *, block_size: int = 128
) -> jax.Array:
    """Softmax attention of each token over [start of its document, itself]; scores are scaled by 1/sqrt(K).

    `starts_BT` is int32. Query head h of H reads key-value head h // (H / G). Scores and softmax are float32; the
    result has the dtype of `v_BTGK` and shape BTHK. Raises ValueError if G does not divide H.
    """
    n_rows, n_positions, n_heads, head_dim = q_BTHK.shape
    n_groups = k_BTGK.shape[2]
    if n_heads % n_groups:
        raise ValueError(f"n_heads: {n_heads} must be a multiple of the {n_groups} key-value heads")
    q_BTGRK = q_BTHK.reshape(n_rows, n_positions, n_groups, n_heads // n_groups, head_dim)
    keys_first = lambda x_BTGK: jnp.moveaxis(x_BTGK, 1, 2)
    out_BGRTK = _attention(jnp.moveaxis(q_BTGRK, 1, 3), keys_first(k_BTGK), keys_first(v_BTGK), starts_BT, block_size)
    return jnp.moveaxis(out_BGRTK, 3, 1).reshape(n_rows, n_positions, n_heads, head_dim)


def _blocks(n_positions: int, block_size: int) -> Iterator[tuple[int, int]]:
    for first in range(0, n_positions, block_size):
        yield first, min(first + block_size, n_positions)


def _product(a: jax.Array, b: jax.Array, over_a: int, over_b: int) -> jax.Array:
    """a and b, contracted over one axis each, for every row and key-value head; float32."""
    numbers = (((over_a,), (over_b,)), ((0, 1), (0, 1)))
    return jax.lax.dot_general(a, b, numbers, preferred_element_type=jnp.float32)


def _sums(x: jax.Array) -> jax.Array:
    """Sums over the last axis, which is kept. As a product with ones: XLA sums short rows of a computed array on a CPU
    several times more slowly than it multiplies them."""
    return jnp.matmul(x, jnp.ones((x.shape[-1], 1), x.dtype), precision=jax.lax.Precision.HIGHEST)


def _scores(q_BGRTK: jax.Array, k_BGSK: jax.Array, starts_BT: jax.Array, first: int) -> jax.Array:
    """Masked scores BGRTS, float32, of queries at positions first, first + 1, ... against keys at 0 to S - 1."""
    scores_BGRTS = q_BGRTK.shape[-1] ** -0.5 * _product(q_BGRTK, k_BGSK, 4, 3)
    key_S = jnp.arange(k_BGSK.shape[2])
    query_T = first + jnp.arange(q_BGRTK.shape[3])
    seen_BTS = (key_S <= query_T[:, None]) & (key_S >= starts_BT[:, :, None])
    return jnp.where(seen_BTS[:, None, None], scores_BGRTS, _MASKED)


@functools.partial(jax.custom_vjp, nondiff_argnums=(4,))
def _attention(
    q_BGRTK: jax.Array, k_BGSK: jax.Array, v_BGSK: jax.Array, starts_BT: jax.Array, block_size: int
) -> jax.Array:
    return _forward(q_BGRTK, k_BGSK, v_BGSK, starts_BT, block_size)[0]


def _forward(
    q_BGRTK: jax.Array, k_BGSK: jax.Array, v_BGSK: jax.Array, starts_BT: jax.Array, block_size: int
) -> tuple[jax.Array, tuple[jax.Array, ...]]:
    out, lse = [], []
    for first, last in _blocks(q_BGRTK.shape[3], block_size):
        scores_BGRTS = _scores(q_BGRTK[:, :, :, first:last], k_BGSK[:, :, :last], starts_BT[:, first:last], first)
        peak_BGRT1 = jnp.max(scores_BGRTS, axis=-1, keepdims=True)
        weights_BGRTS = jnp.exp(scores_BGRTS - peak_BGRT1)
        total_BGRT1 = _sums(weights_BGRTS)
        out.append(_product(weights_BGRTS.astype(v_BGSK.dtype), v_BGSK[:, :, :last], 4, 2) / total_BGRT1)
        lse.append(peak_BGRT1 + jnp.log(total_BGRT1))
    out_BGRTK, lse_BGRT1 = _joined(out).astype(v_BGSK.dtype), _joined(lse)
    return out_BGRTK, (q_BGRTK, k_BGSK, v_BGSK, starts_BT, out_BGRTK, lse_BGRT1)


def _joined(blocks: list[jax.Array]) -> jax.Array:
    return blocks[0] if len(blocks) == 1 else jnp.concatenate(blocks, axis=3)


def _backward(block_size: int, saved: tuple[jax.Array, ...], dout_BGRTK: jax.Array) -> tuple[jax.Array | None, ...]:
    """Sections 3.1 and 3.2 of the paper: the gradient of scores is P (dP - delta), delta the sum of dO O."""
    q_BGRTK, k_BGSK, v_BGSK, starts_BT, out_BGRTK, lse_BGRT1 = saved
    n_keys, scale = k_BGSK.shape[2], q_BGRTK.shape[-1] ** -0.5
    delta_BGRT1 = _sums(dout_BGRTK.astype(jnp.float32) * out_BGRTK.astype(jnp.float32))
    dq, dk_BGSK, dv_BGSK = [], jnp.zeros(k_BGSK.shape, jnp.float32), jnp.zeros(v_BGSK.shape, jnp.float32)
    for first, last in _blocks(q_BGRTK.shape[3], block_size):
        q, dout, lse, delta = (x[:, :, :, first:last] for x in (q_BGRTK, dout_BGRTK, lse_BGRT1, delta_BGRT1))
        k, v = k_BGSK[:, :, :last], v_BGSK[:, :, :last]
        weights_BGRTS = jnp.exp(_scores(q, k, starts_BT[:, first:last], first) - lse)
        dweights_BGRTS = _product(dout, v, 4, 3)
        dscores_BGRTS = (scale * weights_BGRTS * (dweights_BGRTS - delta)).astype(q.dtype)
        dq.append(_product(dscores_BGRTS, k, 4, 2))
        unseen = ((0, 0), (0, 0), (0, n_keys - last), (0, 0))
        dk_BGSK = dk_BGSK + jnp.pad(_over_queries(dscores_BGRTS, q), unseen)
        dv_BGSK = dv_BGSK + jnp.pad(_over_queries(weights_BGRTS.astype(dout.dtype), dout), unseen)
    return _joined(dq).astype(q_BGRTK.dtype), dk_BGSK.astype(k_BGSK.dtype), dv_BGSK.astype(v_BGSK.dtype), None


def _over_queries(a_BGRTS: jax.Array, b_BGRTK: jax.Array) -> jax.Array:
    """Sums over the queries of all heads that share a key-value head, BGSK in float32."""
    numbers = (((2, 3), (2, 3)), ((0, 1), (0, 1)))
    return jax.lax.dot_general(a_BGRTS, b_BGRTK, numbers, preferred_element_type=jnp.float32)


_attention.defvjp(_forward, _backward)
