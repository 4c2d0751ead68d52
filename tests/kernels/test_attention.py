"""Packed attention against a float64 transcription with an explicit mask."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from lbscale_kernels import packed_attention


def reference(q: np.ndarray, k: np.ndarray, v: np.ndarray, starts: np.ndarray) -> np.ndarray:
    n_rows, n_positions, n_heads, head_dim = q.shape
    repeat = n_heads // k.shape[2]
    out = np.zeros(q.shape)
    for b in range(n_rows):
        for t in range(n_positions):
            seen = slice(int(starts[b, t]), t + 1)
            for h in range(n_heads):
                scores = k[b, seen, h // repeat] @ q[b, t, h] / np.sqrt(head_dim)
                weights = np.exp(scores - scores.max())
                out[b, t, h] = weights @ v[b, seen, h // repeat] / weights.sum()
    return out


def example(n_positions: int, n_heads: int, n_groups: int) -> tuple[np.ndarray, ...]:
    rng = np.random.default_rng(n_positions)
    q, k, v = (rng.normal(size=(2, n_positions, heads, 8)) for heads in (n_heads, n_groups, n_groups))
    cuts = np.sort(rng.integers(0, n_positions, size=(2, 3)), axis=1)
    positions = np.arange(n_positions)
    starts = np.max(np.where(cuts[:, :, None] <= positions, cuts[:, :, None], 0), axis=1).astype(np.int32)
    return q, k, v, starts


@pytest.mark.parametrize(("n_positions", "n_heads", "n_groups"), [(1, 1, 1), (64, 2, 2), (65, 4, 2), (150, 3, 1)])
def test_equals_the_masked_softmax(n_positions: int, n_heads: int, n_groups: int) -> None:
    q, k, v, starts = example(n_positions, n_heads, n_groups)
    arrays = (jnp.asarray(a, jnp.float32) for a in (q, k, v))
    out = packed_attention(*arrays, jnp.asarray(starts), block_size=64)
    np.testing.assert_allclose(out, reference(q, k, v, starts), atol=3e-6)


def test_gradients_do_not_cross_documents() -> None:
    q, k, v, _ = (jnp.asarray(a, jnp.float32) for a in example(32, 2, 2))
    starts = jnp.asarray(np.where(np.arange(32) < 20, 0, 20)[None].repeat(2, 0))

    def second_document(q: jax.Array, k: jax.Array, v: jax.Array) -> jax.Array:
        return jnp.sum(jnp.square(packed_attention(q, k, v, starts)[:, 20:]))

    for gradient in jax.grad(second_document, argnums=(0, 1, 2))(q, k, v):
        assert np.all(np.asarray(gradient[:, :20]) == 0)
        assert np.any(np.asarray(gradient[:, 20:]) != 0)


def test_works_under_vmap() -> None:
    q, k, v, starts = (jnp.asarray(a) for a in example(16, 2, 1))
    lanes = [jnp.stack([a, 2 * a]) for a in (q, k, v)]
    together = jax.vmap(lambda q, k, v: packed_attention(q, k, v, starts))(*lanes)
    alone = jnp.stack([packed_attention(*(lane[i] for lane in lanes), starts) for i in range(2)])
    np.testing.assert_allclose(together, alone, atol=1e-6)


def test_refuses_heads_that_do_not_divide() -> None:
    q, k, v, starts = (jnp.asarray(a) for a in example(8, 3, 2))
    with pytest.raises(ValueError, match="n_heads: 3"):
        packed_attention(q, k, v, starts)
