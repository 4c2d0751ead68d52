"""Causal attention within documents, by static row blocks: the XLA path, which is fast on a CPU.

Shapes: B rows, T positions, H query heads, G key-value heads, K head width.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp

_MASKED = -1e30  # finite, so that a fully masked score row cannot make a NaN


def packed_attention(
    q_BTHK: jax.Array, k_BTGK: jax.Array, v_BTGK: jax.Array, starts_BT: jax.Array, *, block_size: int = 128
) -> jax.Array:
    """Softmax attention of each token over [start of its document, itself]; scores are scaled by 1/sqrt(K).

    `starts_BT` is int32. Query head h reads key-value head h // (H / G). Scores and softmax are float32; the result has
    the dtype of `v_BTGK` and shape BTHK. Each block of `block_size` queries sees the keys up to its own end and no
    further, as FlashAttention-2 skips blocks (Dao 2023, arXiv 2307.08691). Raises ValueError if G does not divide H.
    """
    n_rows, n_positions, n_heads, head_dim = q_BTHK.shape
    n_groups = k_BTGK.shape[2]
    if n_heads % n_groups:
        raise ValueError(f"n_heads: {n_heads} must be a multiple of the {n_groups} key-value heads")
    q_BTGRK = q_BTHK.reshape(n_rows, n_positions, n_groups, n_heads // n_groups, head_dim)
    blocks = []
    for first in range(0, n_positions, block_size):
        last = min(first + block_size, n_positions)
        blocks.append(
            _attend(q_BTGRK[:, first:last], k_BTGK[:, :last], v_BTGK[:, :last], starts_BT[:, first:last], first)
        )
    out_BTGRK = blocks[0] if len(blocks) == 1 else jnp.concatenate(blocks, axis=1)
    return out_BTGRK.reshape(n_rows, n_positions, n_heads, head_dim)


def _attend(q_BTGRK: jax.Array, k_BSGK: jax.Array, v_BSGK: jax.Array, starts_BT: jax.Array, first: int) -> jax.Array:
    """One block of queries at positions first, first + 1, ... against keys at positions 0 to S - 1."""
    scale = q_BTGRK.shape[-1] ** -0.5
    scores_BGRTS = scale * jnp.einsum("btgrk,bsgk->bgrts", q_BTGRK, k_BSGK, preferred_element_type=jnp.float32)
    key_S = jnp.arange(k_BSGK.shape[1])
    query_T = first + jnp.arange(q_BTGRK.shape[1])
    seen_BTS = (key_S <= query_T[:, None]) & (key_S >= starts_BT[:, :, None])
    weights_BGRTS = jax.nn.softmax(jnp.where(seen_BTS[:, None, None], scores_BGRTS, _MASKED), axis=-1)
    return jnp.einsum("bgrts,bsgk->btgrk", weights_BGRTS.astype(v_BSGK.dtype), v_BSGK)
