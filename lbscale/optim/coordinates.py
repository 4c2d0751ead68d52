"""Two checks of a parameterisation against width: how large activations are and how far updates move them, and the top
singular values of weights and of their changes.

Both look at a few updates on one fixed batch and return tidy tables; `width_slopes` reads the exponents off them. Where
a parameterisation transfers, what updates change goes as width to the 0 (Yang et al. 2022, arXiv 2203.03466, appendix
D.1; for singular values, Fan et al. 2025, arXiv 2510.15262).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd

from lbscale.model import ParameterEntry, init, loss_terms, parameter_table
from lbscale.model.decoder import activations
from lbscale.optim.rules import RULES
from lbscale.optim.update import apply_update, init_optimizer
from lbscale.spec import Decoder

Batch = tuple[np.ndarray, np.ndarray, np.ndarray]  # tokens, targets and document starts, each integers of shape BT


@dataclass(frozen=True)
class Trajectory:
    """A model's parameters, as numpy arrays, at initialisation from `seed` and after each of a few updates."""

    model: Decoder
    seed: int
    params: tuple[Any, ...]


def short_training(
    models: Sequence[Decoder],
    optimizer_kind: str,
    hyper: Mapping[str, float],
    batch: Batch,
    n_updates: int = 4,
    seeds: Sequence[int] = (0, 1),
) -> list[Trajectory]:
    """Every model from every seed through `n_updates` updates on the same batch; `hyper` is what `apply_update` reads.
    Raises InputError for an optimizer that a model's parameterisation has no rule for."""
    return [
        Trajectory(model, seed, _trained(model, optimizer_kind, hyper, batch, n_updates, seed))
        for model in models
        for seed in seeds
    ]


def coordinate_check(trajectories: Sequence[Trajectory], batch: Batch) -> pd.DataFrame:
    """A row an activation, model, seed and update: `size`, its root mean square, and `change`, that of its difference
    from initialisation; columns `d_model, seed, update, name, size, change`."""
    tokens_BT, _, starts_BT = (jnp.asarray(array) for array in batch)
    rows = []
    for trajectory in trajectories:
        model = trajectory.model
        see = jax.jit(lambda params, model=model: activations(model, params, tokens_BT, starts_BT))
        first, *_ = seen = [jax.device_get(see(params)) for params in trajectory.params]
        rows += [
            {**_label(trajectory, i), "name": name, "size": _rms(value), "change": _rms(value - first[name])}
            for i, found in enumerate(seen)
            for name, value in found.items()
        ]
    return pd.DataFrame(rows)


def singular_check(trajectories: Sequence[Trajectory]) -> pd.DataFrame:
    """A row a matrix, layer, model, seed and update: `size`, its top singular value, and `change`, that of its
    difference from initialisation; columns `d_model, seed, update, name, layer, size, change`."""
    parts = []
    for trajectory in trajectories:
        table, first = parameter_table(trajectory.model), trajectory.params[0]
        for i, params in enumerate(trajectory.params):
            changes = top_singular_values(table, jax.tree.map(np.subtract, params, first))["value"]
            sizes = top_singular_values(table, params).rename(columns={"value": "size"})
            parts.append(sizes.assign(change=changes, **_label(trajectory, i)))
    return pd.concat(parts, ignore_index=True)


def top_singular_values(table: Sequence[ParameterEntry], params: Any) -> pd.DataFrame:
    """The top singular value of every matrix-like parameter, layer by layer: columns `name, layer, value`. `params` may
    be weights or a difference of weights, as nested dicts; an entry's path says where its leaf lies."""
    found = []
    for entry in table:
        if entry.role != "matrix":
            continue
        leaf = params
        for part in entry.path.split("/"):
            leaf = leaf[part]
        stack = np.asarray(leaf, np.float64).reshape(-1, *entry.shape[-2:])
        if stack.shape[1] > stack.shape[2]:
            stack = np.swapaxes(stack, 1, 2)
        # The largest eigenvalue of the smaller Gram matrix: several times as fast as a singular value decomposition.
        values = np.sqrt(np.linalg.eigvalsh(stack @ np.swapaxes(stack, 1, 2))[:, -1].clip(min=0.0))
        name = entry.path.rpartition("/")[2]
        found += [{"name": name, "layer": i, "value": float(value)} for i, value in enumerate(values)]
    return pd.DataFrame(found)


def width_slopes(check: pd.DataFrame, column: str) -> pd.Series:
    """The exponent of `column` in width, by name: the slope of its logarithm, averaged over seeds and layers, against
    ln d_model at the last update. Names whose value is zero there are left out."""
    last = check[(check["update"] == check["update"].max()) & (check[column] > 0)]
    logs = last.assign(value=np.log(last[column])).groupby(["name", "d_model"])["value"].mean()
    slopes = {
        str(name): float(np.polyfit(np.log(part.index.get_level_values("d_model").to_numpy(float)), part, 1)[0])
        for name, part in logs.groupby(level="name")
    }
    return pd.Series(slopes, name=column)


def _label(trajectory: Trajectory, update: int) -> dict[str, int]:
    return {"d_model": trajectory.model.d_model, "seed": trajectory.seed, "update": update}


def _trained(
    model: Decoder, optimizer_kind: str, hyper: Mapping[str, float], batch: Batch, n_updates: int, seed: int
) -> tuple[Any, ...]:
    """Parameters at initialisation and after each update."""
    rule, table = RULES[optimizer_kind], parameter_table(model, optimizer_kind)
    numbers = {name: jnp.float32(value) for name, value in hyper.items()}
    tokens_BT, targets_BT, starts_BT = (jnp.asarray(array) for array in batch)

    @jax.jit
    def update(params: Any, state: Any) -> tuple[Any, Any]:
        loss = lambda params: jnp.mean(loss_terms(model, params, tokens_BT, targets_BT, starts_BT)[0])
        gradient = jax.grad(loss)(params)
        params, state, _ = apply_update(rule, {"nesterov": False}, table, numbers, gradient, state, params)
        return params, state

    @jax.jit
    def start() -> tuple[Any, Any]:
        params = init(model, jax.random.key(seed))
        return params, init_optimizer(rule, {"nesterov": False}, table, params)

    params, state = start()
    trajectory = [jax.device_get(params)]
    for _ in range(n_updates):
        params, state = update(params, state)
        trajectory.append(jax.device_get(params))
    return tuple(trajectory)


def _rms(values: np.ndarray) -> float:
    return float(np.sqrt(np.mean(np.square(values.astype(np.float64)))))
