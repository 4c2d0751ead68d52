"""The per-parameter table: what each leaf is, how it starts, and which multipliers its updates obey.

Width-transfer rules and layerwise optimizers read this table, never a leaf's `ndim`: a stack of layers is not a tensor.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from lbscale.model.mup import transferred
from lbscale.spec import Decoder, MuP


@dataclass(frozen=True, kw_only=True)
class ParameterEntry:
    """One leaf. `n_stacked` leading axes count layers; what follows is the parameter proper.

    `role` is embedding, matrix, head or gain; `init_std` is 0 for a leaf that starts at one (gains).
    `learning_rate_multiplier` and `decay_multiplier` scale the run's own numbers.
    """

    path: str
    shape: tuple[int, ...]
    role: str
    fan_in: int
    init_std: float
    n_stacked: int = 0
    learning_rate_multiplier: float = 1.0
    decay_multiplier: float = 1.0

    @property
    def n_params(self) -> int:
        """Number of scalars in the leaf."""
        return math.prod(self.shape)


def parameter_table(model: Decoder, optimizer_kind: str = "adamw") -> tuple[ParameterEntry, ...]:
    """The decoder's leaves under its parameterisation, in a fixed order.

    The multipliers of muP (see `model.mup`) differ between optimizers, which `optimizer_kind` names as specs do; the
    standard ones and all initial values do not. Raises InputError for an optimizer that muP has no rule for.
    """
    standard = _standard_table(model)
    rule = model.parameterization
    if isinstance(rule, MuP):
        return tuple(transferred(entry, model, rule, optimizer_kind) for entry in standard)
    return standard


def _standard_table(model: Decoder) -> tuple[ParameterEntry, ...]:
    """The standard parameterisation.

    Matrices start normal with standard deviation init_scale / sqrt(fan_in); the two that write to the residual stream
    are divided by sqrt(2 n_layers) (Radford et al. 2019). Gains and embeddings are not decayed.
    """
    d_model, head_dim, n_layers = model.d_model, model.head_dim, model.n_layers
    writes_residual = 1.0 / math.sqrt(2 * n_layers)

    def matrix(path: str, shape: tuple[int, ...], fan_in: int, scale: float = 1.0) -> ParameterEntry:
        std = scale * model.init_scale / math.sqrt(fan_in)
        return ParameterEntry(
            path=f"layers/{path}", shape=(n_layers, *shape), role="matrix", fan_in=fan_in, init_std=std, n_stacked=1
        )

    def gain(path: str, width: int, n_stacked: int = 1) -> ParameterEntry:
        shape = (n_layers, width) if n_stacked else (width,)
        return ParameterEntry(
            path=path, shape=shape, role="gain", fan_in=1, init_std=0.0, n_stacked=n_stacked, decay_multiplier=0.0
        )

    d_query, d_key = model.n_heads * head_dim, model.kv_heads * head_dim
    entries = [
        ParameterEntry(
            path="embedding", shape=(model.vocab_size, d_model), role="embedding", fan_in=1,
            init_std=model.init_scale / math.sqrt(d_model), decay_multiplier=0.0,
        ),
        gain("layers/attention_norm", d_model),
        matrix("query", (d_model, d_query), d_model),
        matrix("key", (d_model, d_key), d_model),
        matrix("value", (d_model, d_key), d_model),
        matrix("out", (d_query, d_model), d_query, writes_residual),
        gain("layers/mlp_norm", d_model),
        matrix("up", (d_model, model.d_ff), d_model),
        matrix("down", (model.d_ff, d_model), model.d_ff, writes_residual),
        gain("final_norm", d_model, n_stacked=0),
    ]  # fmt: skip
    if model.mlp == "swiglu":
        entries.append(matrix("gate", (d_model, model.d_ff), d_model))
    if model.qk_norm:
        entries += [gain("layers/query_norm", head_dim), gain("layers/key_norm", head_dim)]
    if not model.tied_head:
        entries.append(
            ParameterEntry(
                path="head", shape=(d_model, model.vocab_size), role="head", fan_in=d_model,
                init_std=model.init_scale / math.sqrt(d_model),
            )
        )  # fmt: skip
    return tuple(entries)
