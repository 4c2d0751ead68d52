"""Parameter counts. Published laws differ in which parameters N counts, and at small sizes the choice moves exponents
(Porian et al. 2024, arXiv 2406.19146), so a table carries them all."""

from __future__ import annotations

from dataclasses import dataclass

from lbscale.spec import Decoder


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


def count_params(model: Decoder) -> ParamCounts:
    """Parameters of a decoder under every convention."""
    d_model, head_dim = model.d_model, model.head_dim
    attention = d_model * head_dim * (2 * model.n_heads + 2 * model.kv_heads)
    mlp = (3 if model.mlp == "swiglu" else 2) * d_model * model.d_ff
    non_embedding = model.n_layers * (attention + mlp)
    gains = model.n_layers * (2 * d_model + (2 * head_dim if model.qk_norm else 0)) + d_model
    table = model.vocab_size * d_model
    tables = table if model.tied_head else 2 * table
    return ParamCounts(non_embedding, non_embedding + table, non_embedding + gains + tables)
