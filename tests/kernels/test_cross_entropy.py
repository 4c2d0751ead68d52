"""Packed cross-entropy and its written-out gradient against optax and autodiff."""

import jax
import jax.numpy as jnp
import numpy as np
import optax

from lbscale_kernels import packed_cross_entropy

RNG = np.random.default_rng(0)
X = jnp.asarray(RNG.normal(size=(3, 5, 8)), jnp.float32)
HEAD = jnp.asarray(RNG.normal(size=(8, 11)), jnp.float32)
TARGETS = jnp.asarray(RNG.integers(0, 11, (3, 5)))
LOSS_WEIGHTS, LSE_WEIGHTS = (jnp.asarray(RNG.normal(size=(3, 5)), jnp.float32) for _ in range(2))


def test_equals_optax() -> None:
    loss, lse = packed_cross_entropy(X, HEAD, TARGETS)
    expected = optax.softmax_cross_entropy_with_integer_labels(X @ HEAD, TARGETS)
    np.testing.assert_allclose(loss, expected, rtol=2e-5)
    np.testing.assert_allclose(lse, jax.nn.logsumexp(X @ HEAD, axis=-1), rtol=1e-6)


def test_gradient_of_loss_and_log_sum_exp_equals_autodiff() -> None:
    def ours(x: jax.Array, head: jax.Array) -> jax.Array:
        loss, lse = packed_cross_entropy(x, head, TARGETS)
        return jnp.sum(LOSS_WEIGHTS * loss + LSE_WEIGHTS * lse**2)

    def plain(x: jax.Array, head: jax.Array) -> jax.Array:
        logits = x @ head
        loss = optax.softmax_cross_entropy_with_integer_labels(logits, TARGETS)
        return jnp.sum(LOSS_WEIGHTS * loss + LSE_WEIGHTS * jax.nn.logsumexp(logits, axis=-1) ** 2)

    for mine, theirs in zip(
        jax.grad(ours, argnums=(0, 1))(X, HEAD), jax.grad(plain, argnums=(0, 1))(X, HEAD), strict=True
    ):
        np.testing.assert_allclose(mine, theirs, atol=2e-4, rtol=1e-4)


def test_large_logits_stay_finite() -> None:
    loss, lse = packed_cross_entropy(1e4 * X, HEAD, TARGETS)
    assert np.all(np.isfinite(loss)) and np.all(np.isfinite(lse))
