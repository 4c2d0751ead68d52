"""What an optimizer is to the trainer, and how a layerwise one is kept to its layers."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import jax
import optax

from lbscale.model.parameters import ParameterEntry

Hyper = dict[str, jax.Array]
Switches = Mapping[str, bool]


@dataclass(frozen=True)
class Rule:
    """`direction(hyper, switches)` is the optax transformation from mean gradient to update direction.

    `hyper_names` are the traced numbers it reads, `switches` the spec's bools. `layerwise` says that it looks at a
    whole tensor (a norm, a factorisation), so that it must see one layer at a time and not the stack.
    """

    direction: Callable[[Hyper, Switches], optax.GradientTransformation]
    hyper_names: tuple[str, ...]
    layerwise: bool = False


def per_layer(
    transformation: optax.GradientTransformation, table: tuple[ParameterEntry, ...]
) -> optax.GradientTransformation:
    """`transformation` applied to every layer of every leaf on its own, as the table's `n_stacked` says.

    Each leaf's state carries the leaf's stacked axes. What mixes leaves (global norms) has no place here.
    """
    stacked = {entry.path: entry.n_stacked for entry in table}

    def mapped(function: Callable[..., Any], n_stacked: int) -> Callable[..., Any]:
        for _ in range(n_stacked):
            function = jax.vmap(function)
        return function

    def over_leaves(function: Callable[..., Any], tree: Any, *rest: Any) -> list[Any]:
        leaves = jax.tree_util.tree_leaves_with_path(tree)
        names = ["/".join(str(part.key) for part in path) for path, _ in leaves]
        columns = zip(names, (leaf for _, leaf in leaves), *rest, strict=True)
        return [mapped(function, stacked[name])(*arrays) for name, *arrays in columns]

    def init(params: Any) -> Any:
        return tuple(over_leaves(transformation.init, params))

    def update(updates: Any, state: Any, params: Any = None) -> tuple[Any, Any]:
        pairs = over_leaves(transformation.update, updates, state, jax.tree.leaves(params))
        new = jax.tree.unflatten(jax.tree.structure(updates), [pair[0] for pair in pairs])
        return new, tuple(pair[1] for pair in pairs)

    return optax.GradientTransformation(init, update)
