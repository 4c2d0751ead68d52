"""Counted parameters against the tree that the model really makes."""

from __future__ import annotations

import jax
import pytest

from lbscale import model as models
from lbscale.count import count_params
from lbscale.model import parameter_table
from lbscale.spec import Decoder

DECODERS = [
    Decoder(d_model=32, n_layers=2, n_heads=2, d_ff=88),
    Decoder(d_model=32, n_layers=2, n_heads=2, d_ff=88, tied_head=True),
    Decoder(d_model=48, n_layers=3, n_heads=6, n_kv_heads=2, d_ff=100, mlp="gelu", qk_norm=False),
    Decoder(d_model=48, n_layers=1, n_heads=6, n_kv_heads=1, d_ff=100, vocab_size=50, tied_head=True, qk_norm=False),
    Decoder(d_model=64, n_layers=10, n_heads=4, n_kv_heads=4, d_ff=8, mlp="gelu", vocab_size=1000),
]


@pytest.mark.parametrize("model", DECODERS)
def test_total_is_every_number_of_the_tree(model: Decoder) -> None:
    tree = jax.eval_shape(lambda key: models.init(model, key), jax.random.key(0))
    n_numbers = sum(leaf.size for leaf in jax.tree.leaves(tree))
    assert count_params(model).total == count_params(model).active == n_numbers


@pytest.mark.parametrize("model", DECODERS)
def test_conventions_are_sums_over_roles_of_the_table(model: Decoder) -> None:
    def of_role(role: str) -> int:
        return sum(entry.n_params for entry in parameter_table(model) if entry.role == role)

    counts = count_params(model)
    assert counts.non_embedding == of_role("matrix")
    assert counts.matmul == of_role("matrix") + of_role("embedding" if model.tied_head else "head")
    assert counts.total == sum(map(of_role, ("matrix", "head", "embedding", "gain")))
