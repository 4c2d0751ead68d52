"""Flax modules that tests train: one of each kind, and one for each way of being unusual or wrong."""

from __future__ import annotations

import dataclasses
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from flax import linen, nnx

from lbscale.count import ModelCount, ParamCounts
from lbscale.model import ParameterEntry
from lbscale.spec import Decoder, FlaxDefinition
from lbscale_kernels import packed_attention

VOCAB = 257


def count(width: int, dropout: float = 0.0) -> ModelCount:
    """Of an embedding, one hidden layer and a head, the latter two with biases."""
    layer, head = width * width, width * VOCAB
    total = layer + width + 2 * head + VOCAB
    return ModelCount(ParamCounts(layer, layer + head, total), lambda seq_len: 2.0 * (layer + head))


def wrong_count(**arguments: Any) -> ModelCount:
    counted = count(**arguments)
    return dataclasses.replace(counted, params=dataclasses.replace(counted.params, total=counted.params.total + 1))


class LinenModel(linen.Module):
    """Predicts the next token from this one."""

    width: int
    dropout: float = 0.0

    @linen.compact
    def __call__(self, tokens_BT: jax.Array, *, deterministic: bool) -> jax.Array:
        x_BTD = linen.Embed(VOCAB, self.width)(tokens_BT)
        x_BTD = linen.relu(linen.Dense(self.width)(x_BTD))
        x_BTD = linen.Dropout(self.dropout)(x_BTD, deterministic=deterministic)
        return linen.Dense(VOCAB, name="head")(x_BTD)


class NnxModel(nnx.Module):
    """The same in NNX, its layer in a list."""

    def __init__(self, width: int, dropout: float = 0.0, *, rngs: nnx.Rngs) -> None:
        self.embedding = nnx.Embed(VOCAB, width, rngs=rngs)
        self.layers = nnx.List([nnx.Linear(width, width, rngs=rngs)])
        self.dropout = nnx.Dropout(dropout, rngs=rngs) if dropout else None
        self.head = nnx.Linear(width, VOCAB, rngs=rngs)

    def __call__(self, tokens_BT: jax.Array) -> jax.Array:
        x_BTD = self.embedding(tokens_BT)
        for layer in self.layers:
            x_BTD = nnx.relu(layer(x_BTD))
        return self.head(x_BTD if self.dropout is None else self.dropout(x_BTD))


def nnx_build(**arguments: Any) -> Any:
    return lambda rngs: NnxModel(**arguments, rngs=rngs)


LINEN = FlaxDefinition(build=LinenModel, count=count)
NNX = FlaxDefinition(build=nnx_build, count=count)
LINEN_DROPOUT = FlaxDefinition(build=LinenModel, count=count, needs_rng=True)
NNX_DROPOUT = FlaxDefinition(build=nnx_build, count=count, needs_rng=True)
MISCOUNTED = FlaxDefinition(build=LinenModel, count=wrong_count)
UNBUILT = FlaxDefinition(build=lambda **_: 3, count=count)
NOT_A_DEFINITION = 3


class Outputs(NamedTuple):
    """Logits among other things, and not in the first place."""

    features_BTD: jax.Array
    logits: jax.Array


class Wrapped(linen.Module):
    """The logits of LinenModel in one of the forms that outputs come in."""

    width: int
    form: str

    @linen.compact
    def __call__(self, tokens_BT: jax.Array) -> Any:
        logits_BTV = LinenModel(self.width, name="inner")(tokens_BT, deterministic=True)
        extra = jnp.zeros(3)
        self.sow("intermediates", "extra", extra)
        forms: dict[str, Any] = {
            "whole": logits_BTV,
            "tuple": (logits_BTV, extra),
            "mapping": {"extra": extra, "logits": logits_BTV},
            "object": Outputs(extra, logits_BTV),
            "nameless": {"extra": extra},
            "narrow": logits_BTV[..., :-1],
        }
        return forms[self.form]


def nested_count(width: int, form: str) -> ModelCount:
    return count(width)


WRAPPED = FlaxDefinition(build=Wrapped, count=nested_count)


class Hidden(linen.Module):
    """Hidden states, a head of its own beside them."""

    width: int

    @linen.compact
    def __call__(self, tokens_BT: jax.Array) -> dict[str, jax.Array]:
        embed = linen.Embed(VOCAB, self.width, name="embed")
        self.param("head", linen.initializers.lecun_normal(), (self.width, VOCAB))
        return {"other": tokens_BT, "hidden_states": jnp.tanh(embed(tokens_BT))}


def hidden_count(width: int) -> ModelCount:
    return ModelCount(ParamCounts(0, width * VOCAB, 2 * width * VOCAB), lambda seq_len: 2.0 * width * VOCAB)


def as_layers(entry: ParameterEntry) -> ParameterEntry:
    return dataclasses.replace(entry, n_stacked=1, learning_rate_multiplier=0.5)


HEAD_BY_PATH = FlaxDefinition(build=Hidden, count=hidden_count, head="head", entry=as_layers)
HEAD_BY_FUNCTION = FlaxDefinition(build=Hidden, count=hidden_count, head=lambda params: params["head"])
TIED = FlaxDefinition(build=Hidden, count=hidden_count, head=lambda params: params["embed"]["embedding"].T)
HEADLESS = FlaxDefinition(build=Hidden, count=hidden_count, head="haed")
CROOKED = FlaxDefinition(build=Hidden, count=hidden_count, head=lambda params: params["embed"]["embedding"])


class Faulty(linen.Module):
    """What a lane cannot train, by name."""

    fault: str

    @linen.compact
    def __call__(self, tokens_BT: jax.Array, *, train: bool) -> jax.Array:
        x_BTD = linen.Embed(VOCAB, 4, param_dtype=jnp.bfloat16 if self.fault == "half" else jnp.float32)(tokens_BT)
        if self.fault == "state":
            x_BTD = linen.BatchNorm(use_running_average=not train)(x_BTD)
        if self.fault == "batch":
            x_BTD = x_BTD + self.param("bias", linen.initializers.zeros, (tokens_BT.shape[0], 1, 4))
        if self.fault == "positions":
            x_BTD = x_BTD + self.param("bias", linen.initializers.zeros, (8, 4))
        return linen.Dense(VOCAB, use_bias=False)(x_BTD)


def faulty_count(fault: str) -> ModelCount:
    return ModelCount(ParamCounts(0, 4 * VOCAB, 8 * VOCAB + (32 if fault == "positions" else 0)), lambda seq_len: 1.0)


FAULTY = FlaxDefinition(build=Faulty, count=faulty_count)


class NnxState(nnx.Module):
    """Keeps running averages."""

    def __init__(self, rngs: nnx.Rngs) -> None:
        self.norm = nnx.BatchNorm(4, rngs=rngs)


NNX_STATE = FlaxDefinition(build=lambda: NnxState, count=lambda: faulty_count(""))


class LinenDecoder(linen.Module):
    """The decoder of one layer, transcribed: one key-value head a query head, SwiGLU, norms of queries and keys."""

    d_model: int
    n_heads: int
    d_ff: int

    @linen.compact
    def __call__(self, tokens_BT: jax.Array, starts_BT: jax.Array, positions_BT: jax.Array) -> jax.Array:
        def norm(name: str, x: jax.Array) -> jax.Array:
            return linen.RMSNorm(name=name, epsilon=1e-6)(x)

        def dense(name: str, width: int, x: jax.Array) -> jax.Array:
            return linen.Dense(width, use_bias=False, name=name)(x)

        def heads(name: str, x_BTD: jax.Array) -> jax.Array:
            return dense(name, self.d_model, x_BTD).reshape(*x_BTD.shape[:2], self.n_heads, -1)

        def rotate(x_BTHK: jax.Array) -> jax.Array:
            half = x_BTHK.shape[-1] // 2
            angle = positions_BT[..., None, None] * 10_000.0 ** (-jnp.arange(half) / half)
            a, b = x_BTHK[..., :half], x_BTHK[..., half:]
            return jnp.concatenate(
                [a * jnp.cos(angle) - b * jnp.sin(angle), a * jnp.sin(angle) + b * jnp.cos(angle)], -1
            )

        x_BTD = linen.Embed(VOCAB, self.d_model, name="embed")(tokens_BT)
        h_BTD = norm("attention_norm", x_BTD)
        q_BTHK = rotate(norm("query_norm", heads("query", h_BTD)))
        k_BTHK = rotate(norm("key_norm", heads("key", h_BTD)))
        out_BTHK = packed_attention(q_BTHK, k_BTHK, heads("value", h_BTD), starts_BT)
        x_BTD = x_BTD + dense("out", self.d_model, out_BTHK.reshape(x_BTD.shape))
        h_BTD = norm("mlp_norm", x_BTD)
        gated_BTF = linen.silu(dense("gate", self.d_ff, h_BTD)) * dense("up", self.d_ff, h_BTD)
        x_BTD = x_BTD + dense("down", self.d_model, gated_BTF)
        return dense("head", VOCAB, norm("final_norm", x_BTD))


def decoder_count(**shape: int) -> ModelCount:
    from lbscale.count import count_params, forward_flops_per_token

    decoder = Decoder(n_layers=1, **shape)
    return ModelCount(count_params(decoder), lambda seq_len: forward_flops_per_token(decoder, seq_len))


DECODER = FlaxDefinition(build=LinenDecoder, count=decoder_count)


def decoder_params(params: Any) -> Any:
    """The decoder's parameters as the transcription names them."""
    layer = {name: leaf[0] for name, leaf in params["layers"].items()}
    kernels = {name: {"kernel": leaf} for name, leaf in layer.items() if not name.endswith("norm")}
    norms = {name: {"scale": leaf} for name, leaf in layer.items() if name.endswith("norm")}
    outer = {"embed": {"embedding": params["embedding"]}, "head": {"kernel": params["head"]}}
    return {**outer, **kernels, **norms, "final_norm": {"scale": params["final_norm"]}}
