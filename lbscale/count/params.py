"""Parameter counts. Published laws differ in which parameters N counts, and at small sizes the choice moves exponents
(Porian et al. 2024, arXiv 2406.19146), so a table carries them all."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass

from lbscale.errors import InputError, check
from lbscale.spec import Decoder, FlaxModel, Model, definition_of


@dataclass(frozen=True)
class ParamCounts:
    """`non_embedding`: the matrices of the layers (Kaplan et al. 2020; Step Law). `matmul`: those and the head, which
    is what a token is multiplied by. `total`: everything held. `active`: what a token uses, in a dense model the total.
    """

    non_embedding: int
    matmul: int
    total: int

    @property
    def active(self) -> int:
        """Equal to `total` in a dense model."""
        return self.total


@dataclass(frozen=True)
class ModelCount:
    """What the `count` of a FlaxDefinition gives: parameters, and FLOPs of one token's forward pass as a function of
    the row's number of positions."""

    params: ParamCounts
    forward_flops_per_token: Callable[[int], float]


def model_count(model: FlaxModel) -> ModelCount:
    """What the user's own `count` says of a Flax model; raises InputError when it fails or gives something else."""
    try:
        counted = definition_of(model).count(**model.keywords)
    except InputError:
        raise
    except Exception as error:
        failed = f"a count that takes these arguments is needed: {type(error).__name__}: {error}"
        raise InputError(f"{model.path}.count", model.keywords, failed) from error
    check(isinstance(counted, ModelCount), f"{model.path}.count", counted, "a lbscale.count.ModelCount is needed")
    return counted


def count_params(model: Model) -> ParamCounts:
    """Parameters of a model under every convention."""
    return model_count(model).params if isinstance(model, FlaxModel) else _decoder_params(model)


@functools.lru_cache(maxsize=1024)
def _decoder_params(model: Decoder) -> ParamCounts:
    d_model, head_dim = model.d_model, model.head_dim
    attention = d_model * head_dim * (2 * model.n_heads + 2 * model.kv_heads)
    mlp = (3 if model.mlp == "swiglu" else 2) * d_model * model.d_ff
    non_embedding = model.n_layers * (attention + mlp)
    gains = model.n_layers * (2 * d_model + (2 * head_dim if model.qk_norm else 0)) + d_model
    table = model.vocab_size * d_model
    tables = table if model.tied_head else 2 * table
    return ParamCounts(non_embedding, non_embedding + table, non_embedding + gains + tables)
