"""The update that every rule shares: clip, take the rule's direction, move and shrink each leaf by the table."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import optax

from lbscale.model.parameters import ParameterEntry
from lbscale.optim.rule import Hyper, Rule, Switches, per_layer

Table = tuple[ParameterEntry, ...]


def _transformation(rule: Rule, switches: Switches, table: Table, hyper: Hyper) -> optax.GradientTransformation:
    transformation = rule.direction(hyper, switches)
    return per_layer(transformation, table) if rule.layerwise else transformation


def init_optimizer(rule: Rule, switches: Switches, table: Table, params: Any) -> Any:
    """The rule's state for `params`; hyperparameters do not enter it."""
    nothing = {name: jnp.zeros(()) for name in rule.hyper_names}
    return _transformation(rule, switches, table, nothing).init(params)


def apply_update(
    rule: Rule, switches: Switches, table: Table, hyper: Hyper, gradient: Any, state: Any, params: Any
) -> tuple[Any, Any, jax.Array]:
    """New params, new state, and the mean gradient's global norm before clipping.

    `hyper` holds scalars: `learning_rate`, `decay` (share of a weight removed), `clip_norm` (0: no clipping) and the
    rule's own. The table's multipliers scale learning rate and decay leaf by leaf.
    """
    norm = optax.tree.norm(gradient)
    limit = hyper["clip_norm"]
    clip = jnp.where((limit > 0) & (norm > limit), limit / jnp.maximum(norm, 1e-30), 1.0)
    clipped = jax.tree.map(lambda leaf: clip * leaf, gradient)
    direction, state = _transformation(rule, switches, table, hyper).update(clipped, state, params)
    by_path = {entry.path: entry for entry in table}

    def move(path: Any, weight: jax.Array, step: jax.Array) -> jax.Array:
        entry = by_path["/".join(str(part.key) for part in path)]
        rate = hyper["learning_rate"] * entry.learning_rate_multiplier
        return (1 - hyper["decay"] * entry.decay_multiplier) * weight - rate * step

    return jax.tree_util.tree_map_with_path(move, params, direction), state, norm
