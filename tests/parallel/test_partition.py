"""Partition rules are checked in full before anything is compiled."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import pytest
from jax.sharding import PartitionSpec as P

from lbscale.errors import InputError
from lbscale.model import parameter_table
from lbscale.parallel import make_mesh, partition, specs_like
from lbscale.parallel.partition import check_fit
from lbscale.plan import Layout, PartitionRules, Program
from lbscale.spec import Corpus, Decoder, MuP
from lbscale.train import LanePrograms

MODEL = Decoder(d_model=32, n_layers=2, n_heads=2, d_ff=64)
TABLE = parameter_table(MODEL)


def layout(rules: PartitionRules | None = None, **axes: int) -> Layout:
    return Layout(**{"lane": 1, "micro_batch_tokens": 512, "group_size": 1, **axes}, partition_rules=rules)


def test_the_default_rules_cover_the_decoder_and_leave_layers_whole() -> None:
    specs = partition(TABLE, layout(data=2, fsdp=2, tensor=2))
    assert specs["layers/query"] == P(None, "fsdp", "tensor")
    assert specs["layers/down"] == P(None, "tensor", "fsdp")
    assert specs["embedding"] == P(None, "fsdp")
    assert specs["layers/mlp_norm"] == P(None)
    assert specs.keys() == {entry.path for entry in TABLE}


@pytest.mark.parametrize(
    ("rules", "axes", "message"),
    [
        (((".*norm", ()),), {}, "partition_rules: 'embedding' cannot be used; a rule that matches"),
        (((".*", ()), ("moe", ())), {}, r"partition_rules: \['moe'\] cannot be used; each rule must match"),
        (((".*", ("fsdp", None, None)),), {}, "at most 2 axes, as embedding has"),
        (((".*", ("model",)),), {}, "'model' cannot be used; the mesh axes"),
        (None, {"fsdp": 3}, "fsdp: 3 cannot be used; a divisor of 32, an axis of embedding"),
    ],
)
def test_a_rule_that_does_not_fit_is_named(rules: PartitionRules | None, axes: dict[str, int], message: str) -> None:
    with pytest.raises(InputError, match=message):
        partition(TABLE, layout(rules, **axes))


def test_optimizer_state_and_accumulators_follow_their_parameters() -> None:
    specs = partition(TABLE, layout(fsdp=2))
    shapes = {entry.path: entry.shape for entry in TABLE}
    params = {"layers": {"query": jnp.zeros(shapes["layers/query"])}, "embedding": jnp.zeros(shapes["embedding"])}
    state = {"mu": params, "gradient": params, "count": jnp.zeros(())}
    placed = specs_like(state, specs, shapes)
    for copy in ("mu", "gradient"):
        assert placed[copy]["layers"]["query"] == specs["layers/query"]
        assert placed[copy]["embedding"] == specs["embedding"]
    assert placed["count"] == P()


@pytest.mark.parametrize(
    ("model", "axes", "message"),
    [
        (MODEL, {"tensor": 4}, "tensor: 4 cannot be used; a divisor of n_heads = 2"),
        (Decoder(d_model=32, n_layers=1, n_heads=2, n_kv_heads=1, d_ff=64), {"tensor": 2}, "n_kv_heads = 1"),
        (MODEL, {"data": 3}, "micro_batch_tokens: 512 cannot be used; a multiple of"),
    ],
)
def test_a_mesh_that_does_not_fit_the_model_or_the_micro_batch_is_named(
    model: Decoder, axes: dict[str, int], message: str
) -> None:
    with pytest.raises(InputError, match=message):
        check_fit(model, 512, 64, layout(**axes))


def test_a_mesh_larger_than_the_machine_is_named() -> None:
    with pytest.raises(InputError, match=rf"mesh: .* at most the {jax.device_count()} devices"):
        make_mesh(layout(lane=1_024))


def test_lanes_obey_the_table_of_their_optimizer() -> None:
    """muP scales SGD's rates otherwise than Adam's, so that the programs must ask for the right table."""
    wide = Decoder(d_model=64, n_layers=1, n_heads=1, d_ff=64, parameterization=MuP(base_width=32))
    tables = {}
    for kind, switches in (("adamw", ()), ("sgd", (("nesterov", False),))):
        program = Program(wide, Corpus(name="text", fingerprint="x", seq_len=64), (kind, switches), 64)
        one = layout(micro_batch_tokens=64)
        tables[kind] = {entry.path: entry for entry in LanePrograms(program, one, make_mesh(one)).table}
    rates = {kind: table["layers/up"].learning_rate_multiplier for kind, table in tables.items()}
    assert rates == {"adamw": 0.5, "sgd": 1.0}
