"""The peer: one run trained the way people write it, with Flax Linen, optax and one jitted step; nothing of lbscale.

As a program it trains one run on packed rows from a file and prints its validation loss, as one JSON line.

Shapes: B rows, T positions, H heads, K head width, V words; S updates of a chunk, M micro-batches of an update.
"""

from __future__ import annotations

import argparse
import functools
import json
import time
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import linen
from flax.training.train_state import TrainState


class Batch(NamedTuple):
    """Packed rows: tokens, targets, where each token's document starts in the row, and 0 where a row is padded."""

    tokens_BT: jax.Array
    targets_BT: jax.Array
    starts_BT: jax.Array
    weights_BT: jax.Array


def _einsum_attention(q_BTHK: jax.Array, k_BTHK: jax.Array, v_BTHK: jax.Array, mask_B1TT: jax.Array) -> jax.Array:
    scores_BHTT = jnp.einsum("bthk,bshk->bhts", q_BTHK, k_BTHK) * q_BTHK.shape[-1] ** -0.5
    weights_BHTT = jax.nn.softmax(jnp.where(mask_B1TT, scores_BHTT, -1e30), axis=-1)
    return jnp.einsum("bhts,bshk->bthk", weights_BHTT, v_BTHK)


def _library_attention(q_BTHK: jax.Array, k_BTHK: jax.Array, v_BTHK: jax.Array, mask_B1TT: jax.Array) -> jax.Array:
    return jax.nn.dot_product_attention(q_BTHK, k_BTHK, v_BTHK, mask=mask_B1TT)


ATTENTIONS = {"einsum": _einsum_attention, "dot_product_attention": _library_attention}


class Block(linen.Module):
    """Pre-norm attention with rotary embeddings and normed queries and keys, then SwiGLU."""

    n_heads: int
    d_ff: int
    attention: str

    @linen.compact
    def __call__(self, x_BTD: jax.Array, mask_B1TT: jax.Array, cos: jax.Array, sin: jax.Array) -> jax.Array:
        n_rows, n_positions, d_model = x_BTD.shape
        dense = functools.partial(linen.Dense, use_bias=False)
        norm = functools.partial(linen.RMSNorm, epsilon=1e-6)

        def heads(name: str, h_BTD: jax.Array) -> jax.Array:
            return dense(d_model, name=name)(h_BTD).reshape(n_rows, n_positions, self.n_heads, -1)

        def rotate(x_BTHK: jax.Array) -> jax.Array:
            a, b = jnp.split(x_BTHK, 2, axis=-1)
            return jnp.concatenate([a * cos - b * sin, a * sin + b * cos], axis=-1)

        h_BTD = norm(name="attention_norm")(x_BTD)
        q_BTHK = rotate(norm(name="query_norm")(heads("query", h_BTD)))
        k_BTHK = rotate(norm(name="key_norm")(heads("key", h_BTD)))
        out_BTHK = ATTENTIONS[self.attention](q_BTHK, k_BTHK, heads("value", h_BTD), mask_B1TT)
        x_BTD = x_BTD + dense(d_model, name="out")(out_BTHK.reshape(x_BTD.shape))
        h_BTD = norm(name="mlp_norm")(x_BTD)
        gated_BTF = linen.silu(dense(self.d_ff, name="gate")(h_BTD)) * dense(self.d_ff, name="up")(h_BTD)
        return x_BTD + dense(d_model, name="down")(gated_BTF)


class Decoder(linen.Module):
    """Logits, BTV. The layers are written out: on a CPU a scan over them is slower."""

    d_model: int
    n_layers: int
    n_heads: int
    d_ff: int
    vocab_size: int = 257
    attention: str = "einsum"

    @linen.compact
    def __call__(self, tokens_BT: jax.Array, starts_BT: jax.Array) -> jax.Array:
        position_T = jnp.arange(tokens_BT.shape[1])
        mask_BTT = (position_T <= position_T[:, None]) & (position_T >= starts_BT[:, :, None])
        head_dim = self.d_model // self.n_heads
        angle_TK2 = np.arange(tokens_BT.shape[1])[:, None] * 10_000.0 ** (-np.arange(0, head_dim, 2) / head_dim)
        positions_BT = position_T - starts_BT
        cos, sin = (jnp.asarray(f(angle_TK2), jnp.float32)[positions_BT][:, :, None] for f in (np.cos, np.sin))
        x_BTD = linen.Embed(self.vocab_size, self.d_model, name="embed")(tokens_BT)
        for i in range(self.n_layers):
            block = Block(self.n_heads, self.d_ff, self.attention, name=f"layer_{i}")
            x_BTD = block(x_BTD, mask_BTT[:, None], cos, sin)
        x_BTD = linen.RMSNorm(epsilon=1e-6, name="final_norm")(x_BTD)
        return linen.Dense(self.vocab_size, use_bias=False, name="head")(x_BTD)


def loss_sum(model: Decoder, params: Any, batch: Batch) -> tuple[jax.Array, jax.Array]:
    """Cross-entropy in nats over the tokens of `batch`, and how many they are."""
    tokens_BT, targets_BT, starts_BT = (array.astype(jnp.int32) for array in batch[:3])
    logits_BTV = model.apply({"params": params}, tokens_BT, starts_BT)
    loss_BT = optax.softmax_cross_entropy_with_integer_labels(logits_BTV, targets_BT)
    return jnp.sum(loss_BT * batch.weights_BT), jnp.sum(batch.weights_BT.astype(jnp.float32))


def decayed(params: Any) -> Any:
    """True for the matrices: embedding and gains are not decayed."""
    return jax.tree_util.tree_map_with_path(lambda path, _: path[-1].key == "kernel", params)


def warmup_stable_decay(peak: float, n_tokens: int, batch_size_tokens: int, warmup_tokens: int) -> optax.Schedule:
    """Linear warm-up, a plateau, and a linear decay to zero over the last 30 % of the tokens; each update takes the
    rate at the middle of its batch."""
    decay_tokens = 0.3 * n_tokens

    def rate(count: jax.Array) -> jax.Array:
        tokens = (count + 0.5) * batch_size_tokens
        return (
            peak * jnp.clip(tokens / max(warmup_tokens, 1), 0, 1) * jnp.clip((n_tokens - tokens) / decay_tokens, 0, 1)
        )

    return rate


def create_state(model: Decoder, seed: int, seq_len: int, rate: optax.Schedule) -> TrainState:
    """A run before its first update: AdamW with the gradient's global norm clipped at 1."""
    rows_BT = jnp.zeros((1, seq_len), jnp.int32)

    @jax.jit
    def init(key: jax.Array) -> TrainState:
        adamw = optax.adamw(rate, b1=0.9, b2=0.95, eps=1e-8, weight_decay=0.1, mask=decayed)
        tx = optax.chain(optax.clip_by_global_norm(1.0), adamw)
        return TrainState.create(apply_fn=model.apply, params=model.init(key, rows_BT, rows_BT)["params"], tx=tx)

    return init(jax.random.key(seed))


def update(model: Decoder, state: TrainState, batch: Batch, n_micro: int = 1) -> TrainState:
    """One update on a batch; its gradient is summed over `n_micro` micro-batches."""
    gradient_of = jax.grad(functools.partial(loss_sum, model), has_aux=True)
    if n_micro == 1:
        gradient, weight = gradient_of(state.params, batch)
    else:
        micro_batches = jax.tree.map(lambda a: a.reshape(n_micro, -1, *a.shape[1:]), batch)
        zero = (jax.tree.map(jnp.zeros_like, state.params), jnp.zeros(()))
        add = lambda carry, micro: (jax.tree.map(jnp.add, carry, gradient_of(state.params, micro)), None)
        (gradient, weight), _ = jax.lax.scan(add, zero, micro_batches)
    return state.apply_gradients(grads=jax.tree.map(lambda leaf: leaf / jnp.maximum(weight, 1.0), gradient))


def train_by_step(model: Decoder, n_micro: int = 1) -> Callable[..., TrainState]:
    """A Python loop over updates: `train(state, rows, index_SB)`, rows as numpy arrays, the state donated."""
    step = jax.jit(functools.partial(update, model, n_micro=n_micro), donate_argnums=0)

    def train(state: TrainState, rows: Batch, index_SB: np.ndarray) -> TrainState:
        for index_B in index_SB:
            state = step(state, Batch(*(array[index_B] for array in rows)))
        return state

    return train


def train_by_chunk(model: Decoder, n_micro: int = 1) -> Callable[..., TrainState]:
    """The same as one compiled scan over all updates of `index_SB`; rows may lie on the device."""

    def train(state: TrainState, rows: Batch, index_SB: jax.Array) -> TrainState:
        body = lambda state, index_B: (update(model, state, jax.tree.map(lambda a: a[index_B], rows), n_micro), None)
        return jax.lax.scan(body, state, index_SB)[0]

    return jax.jit(train, donate_argnums=0)


TRAINERS = {"loop": train_by_step, "scan": train_by_chunk}


def main() -> None:
    """Train one run; the rows come as .npz with `train` and `evaluation` arrays in the order of Batch's fields."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("rows")
    for name in ("d-model", "n-layers", "n-heads", "d-ff", "n-tokens", "batch-size-tokens", "warmup-tokens", "seed"):
        parser.add_argument(f"--{name}", type=int, required=True)
    parser.add_argument("--learning-rate", type=float, required=True)
    parser.add_argument("--n-micro", type=int, default=1)
    parser.add_argument("--attention", choices=ATTENTIONS, default="einsum")
    o = parser.parse_args()
    with np.load(o.rows) as arrays:
        train, evaluation = (Batch(*(arrays[f"{part}_{i}"] for i in range(4))) for part in ("train", "evaluation"))
    model = Decoder(o.d_model, o.n_layers, o.n_heads, o.d_ff, attention=o.attention)
    seq_len = train.tokens_BT.shape[1]
    rate = warmup_stable_decay(o.learning_rate, o.n_tokens, o.batch_size_tokens, o.warmup_tokens)
    state = create_state(model, o.seed, seq_len, rate)
    # Rows are read in the order of the file, again and again.
    n_updates, n_rows = o.n_tokens // o.batch_size_tokens, o.batch_size_tokens // seq_len
    index_SB = np.arange(n_updates * n_rows).reshape(n_updates, n_rows) % len(train.tokens_BT)
    run = train_by_step(model, o.n_micro)
    state = jax.block_until_ready(run(state, train, index_SB[:1]))  # compiles
    began = time.perf_counter()
    state = jax.block_until_ready(run(state, train, index_SB[1:]))
    seconds = time.perf_counter() - began
    evaluate = jax.jit(functools.partial(loss_sum, model))
    sums = [
        evaluate(state.params, Batch(*(a[i : i + 16] for a in evaluation))) for i in range(0, len(evaluation[0]), 16)
    ]
    loss, weight = np.sum(jax.device_get(sums), axis=0)
    print(json.dumps({"loss": float(loss / weight), "training_seconds": seconds}))


if __name__ == "__main__":
    main()
