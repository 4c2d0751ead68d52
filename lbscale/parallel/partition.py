"""Partition rules: a regular expression over parameter paths gives the mesh axes of a parameter's own axes.

Stacked layer axes are never sharded, so a rule speaks of the matrix alone. The default is fully sharded data parallel
over `fsdp` and Megatron's column and row split over `tensor` (Shoeybi et al. 2019, arXiv 1909.08053).
"""

from __future__ import annotations

import math
import re
from typing import Any

import jax
from jax.sharding import PartitionSpec as P

from lbscale.errors import InputError, check
from lbscale.model import ParameterEntry
from lbscale.model.placement import BATCH_AXES
from lbscale.plan import Layout, PartitionRules
from lbscale.spec import Decoder, Model

DEFAULT_RULES: PartitionRules = (
    (r"embedding", (None, "fsdp")),
    (r"layers/(query|key|value|gate|up)", ("fsdp", "tensor")),
    (r"layers/(out|down)", ("tensor", "fsdp")),
    (r"head", ("fsdp", None)),
    (r".*norm", ()),
)


def partition(table: tuple[ParameterEntry, ...], layout: Layout) -> dict[str, P]:
    """Path -> PartitionSpec over all of the leaf's axes, by the first rule that matches the whole path.

    Raises InputError for a parameter without a rule, a rule of one's own without a parameter, more axes than the
    parameter has, or an axis that does not divide its dimension.
    """
    own_rules = layout.partition_rules is not None
    if not own_rules and not layout.shards_runs:  # a run on one device needs no rules, whatever its model's paths
        return {entry.path: P() for entry in table}
    rules = layout.partition_rules or DEFAULT_RULES
    used: set[str] = set()
    specs = {}
    for entry in table:
        pattern, axes = next(((p, axes) for p, axes in rules if re.fullmatch(p, entry.path)), (None, ()))
        if pattern is None:
            raise InputError("partition_rules", entry.path, "a rule that matches this parameter is needed")
        used.add(pattern)
        _check_axes(entry, pattern, axes, layout)
        specs[entry.path] = P(*(None,) * entry.n_stacked, *axes)
    idle = [pattern for pattern, _ in rules if pattern not in used]
    check(not own_rules or not idle, "partition_rules", idle, "each rule must match a parameter of the model")
    return specs


def _check_axes(entry: ParameterEntry, pattern: str, axes: tuple[str | None, ...], layout: Layout) -> None:
    dimensions = entry.shape[entry.n_stacked :]
    field = f"partition_rules[{pattern!r}]"
    check(
        len(axes) <= len(dimensions), field, axes, f"at most {len(dimensions)} axes, as {entry.path} has, are allowed"
    )
    for axis, dimension in zip(axes, dimensions, strict=False):
        check(
            axis in (None, *BATCH_AXES, "tensor"), field, axis, "the mesh axes data, fsdp, tensor, or None are allowed"
        )
        size = getattr(layout, axis) if axis else 1
        check(
            dimension % size == 0, axis or "mesh", size, f"a divisor of {dimension}, an axis of {entry.path}, is needed"
        )


def specs_like(tree: Any, specs: dict[str, P], shapes: dict[str, tuple[int, ...]]) -> Any:
    """A PartitionSpec for each leaf of `tree`: that of the parameter whose path ends the leaf's own path and whose
    shape it has, as optimizer moments and accumulators do; replicated otherwise."""

    def spec_of(path: Any, leaf: Any) -> P:
        name = "/" + "/".join(str(getattr(part, "key", getattr(part, "name", ""))) for part in path)
        owners = [known for known in specs if name.endswith("/" + known) and shapes[known] == leaf.shape]
        return specs[max(owners, key=len)] if owners else P()

    return jax.tree_util.tree_map_with_path(spec_of, tree)


def check_fit(model: Model, micro_batch_tokens: int, seq_len: int, layout: Layout) -> None:
    """Raise InputError unless heads and feed-forward width split over `tensor`, and rows over `data` and `fsdp`."""
    for name in ("n_heads", "n_kv_heads", "d_ff") if isinstance(model, Decoder) else ():
        size = getattr(model, name)
        check(size % layout.tensor == 0, "tensor", layout.tensor, f"a divisor of {name} = {size} is needed")
    shards = math.prod(getattr(layout, axis) for axis in BATCH_AXES)
    allowed = f"a multiple of seq_len x data x fsdp = {seq_len * shards} is needed, by every batch size too"
    check(micro_batch_tokens // seq_len % shards == 0, "micro_batch_tokens", micro_batch_tokens, allowed)
