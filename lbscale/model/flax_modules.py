"""Linen and NNX modules under one face: parameters as nested dicts, and a pure function of them."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
from flax import linen, nnx
from flax.core import meta

from lbscale.errors import InputError, check
from lbscale.spec import FlaxModel, definition_of

_STATELESS = "a module whose only state is parameters is needed: a lane carries nothing else from step to step"


@dataclass(frozen=True)
class FlaxModule:
    """`init(key, tokens_BT)` gives parameters; `apply(params, tokens_BT, starts_BT, training, rng)` the module's own
    outputs, dropout on where `training` is true."""

    init: Callable[[jax.Array, jax.Array], Any]
    apply: Callable[[Any, jax.Array, jax.Array, bool, jax.Array | None], Any]


def flax_module(model: FlaxModel) -> FlaxModule:
    """The module that the model's definition builds; raises InputError when it builds none."""
    build, field = definition_of(model).build, f"{model.path}.build"
    try:
        built = build(**model.keywords)
    except Exception as error:
        failed = f"a build that takes these arguments is needed: {type(error).__name__}: {error}"
        raise InputError(field, model.keywords, failed) from error
    if isinstance(built, linen.Module):
        return _linen(model, built)
    allowed = "a Linen module, or a function that makes an NNX module when called with rngs=, is needed"
    check(callable(built) and not isinstance(built, nnx.Module), field, built, allowed)
    return _nnx(model, built)


def _linen(model: FlaxModel, module: linen.Module) -> FlaxModule:
    def init(key: jax.Array, tokens_BT: jax.Array) -> Any:
        starts_BT = jnp.zeros_like(tokens_BT)
        variables = meta.unbox(module.init(key, tokens_BT, **_by_name(module, starts_BT, training=False)))
        state = sorted(variables.keys() - {"params"})
        check(not state, model.path, state, _STATELESS)
        return variables.get("params", {})

    def apply(params: Any, tokens_BT: jax.Array, starts_BT: jax.Array, training: bool, rng: jax.Array | None) -> Any:
        # A stream that is not given is drawn from `params`, so that a module's own names need no list here.
        rngs = {} if rng is None else dict(zip(("params", "dropout"), jax.random.split(rng), strict=True))
        return module.apply({"params": params}, tokens_BT, rngs=rngs, **_by_name(module, starts_BT, training))

    return FlaxModule(init, apply)


def _nnx(model: FlaxModel, make: Callable[..., Any]) -> FlaxModule:
    def init(key: jax.Array, tokens_BT: jax.Array) -> Any:
        module = make(rngs=nnx.Rngs(key))
        check(isinstance(module, nnx.Module), f"{model.path}.build", module, "it must make an NNX module")
        params, randomness, state, _ = nnx.state(module, nnx.Param, nnx.RngState, nnx.Variable, ...)
        names = ["/".join(map(str, path)) for path, _ in nnx.to_flat_state(state)]
        check(not names, model.path, names, _STATELESS)
        if jax.tree.leaves(randomness) and not definition_of(model).needs_rng:
            raise InputError(f"{model.path}.needs_rng", False, "True is needed: the module holds random state")
        return nnx.to_pure_dict(params)

    def apply(params: Any, tokens_BT: jax.Array, starts_BT: jax.Array, training: bool, rng: jax.Array | None) -> Any:
        # Made anew inside the traced function, where its variables are the trace's own; the compiler drops the values
        # that the parameters replace.
        module = make(rngs=nnx.Rngs(0))
        state = nnx.state(module, nnx.Param)
        nnx.replace_by_pure_dict(state, params)
        nnx.update(module, state)
        if rng is not None:
            leaves, treedef = jax.tree.flatten(nnx.state(module, nnx.RngKey))
            keys = [jax.random.fold_in(rng, index) for index in range(len(leaves))]
            nnx.update(module, jax.tree.unflatten(treedef, keys))
        module.train() if training else module.eval()
        return module(tokens_BT, **_by_name(module, starts_BT, training))

    return FlaxModule(init, apply)


def _by_name(module: Any, starts_BT: jax.Array, training: bool) -> dict[str, Any]:
    """What the module's `__call__` has a name for, of all that it may ask."""
    position_T = jnp.arange(starts_BT.shape[1])
    offered: dict[str, Callable[[], Any]] = {
        "starts_BT": lambda: starts_BT,
        "positions_BT": lambda: position_T - starts_BT,
        "segments_BT": lambda: jnp.cumsum(starts_BT == position_T, axis=1),
        "mask_B1TT": lambda: ((position_T <= position_T[:, None]) & (position_T >= starts_BT[:, :, None]))[:, None],
        "deterministic": lambda: not training,
        "train": lambda: training,
    }
    asked = inspect.signature(type(module).__call__).parameters
    return {name: value() for name, value in offered.items() if name in asked}
