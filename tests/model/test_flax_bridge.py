"""Flax modules as models: their losses, their table, and what is refused before anything is compiled."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax_examples import LinenModel, decoder_params

from lbscale import model as models
from lbscale.count import count_params, forward_flops_per_token, training_flops
from lbscale.errors import InputError
from lbscale.model import check_model, parameter_table
from lbscale.spec import (
    AdamW,
    Constant,
    ConstantBatch,
    Corpus,
    Decoder,
    FlaxModel,
    Run,
    from_json,
    run_key,
    source_digest,
    to_json,
)


def flax_model(name: str, **arguments: Any) -> FlaxModel:
    return FlaxModel(path=f"flax_examples:{name}", version="1", arguments=arguments)


def run_of(model: FlaxModel) -> Run:
    data = Corpus(name="text", fingerprint="f", seq_len=64)
    return Run(
        model=model, data=data, optimizer=AdamW(), schedule=Constant(), batch=ConstantBatch(64), learning_rate=1,
        n_tokens=640,
    )  # fmt: skip


def rows() -> tuple[jax.Array, jax.Array, jax.Array]:
    """Two rows of 16 positions, the first holding two documents."""
    rng = np.random.default_rng(0)
    tokens, targets = rng.integers(0, 257, (2, 2, 16), dtype=np.int32)
    return jnp.asarray(tokens), jnp.asarray(targets), jnp.asarray([[0] * 5 + [5] * 11, [0] * 16], jnp.int32)


def losses(model: FlaxModel | Decoder, **options: Any) -> jax.Array:
    return models.loss_terms(model, models.init(model, jax.random.key(0)), *rows(), **options)[0]


def test_a_transcribed_decoder_has_the_decoders_losses() -> None:
    shape = {"d_model": 16, "n_heads": 2, "d_ff": 24}
    decoder, transcribed = Decoder(n_layers=1, **shape), flax_model("DECODER", **shape)
    check_model(transcribed, seq_len=16)
    params = models.init(decoder, jax.random.key(0))
    ours = models.loss_terms(decoder, params, *rows())
    theirs = models.loss_terms(transcribed, decoder_params(params), *rows())
    np.testing.assert_allclose(theirs, ours, rtol=2e-5)
    assert count_params(transcribed) == count_params(decoder)
    assert training_flops(transcribed, 64, 100) == training_flops(decoder, 64, 100)


@pytest.mark.parametrize("name", ["LINEN", "NNX"])
def test_the_table_says_what_each_leaf_is(name: str) -> None:
    model = flax_model(name, width=8)
    check_model(model, seq_len=64)
    table = parameter_table(model)
    tree = jax.eval_shape(lambda key: models.init(model, key), jax.random.key(0))
    assert [entry.shape for entry in table] == [leaf.shape for leaf in jax.tree.leaves(tree)]
    roles = sorted((entry.role, entry.fan_in, entry.decay_multiplier) for entry in table)
    assert roles == [("embedding", 1, 0.0), ("gain", 1, 0.0), ("gain", 1, 0.0), ("matrix", 8, 1.0), ("matrix", 8, 1.0)]
    assert count_params(model).total == sum(entry.n_params for entry in table)
    assert forward_flops_per_token(model, 64) == 2 * count_params(model).matmul


def test_extra_outputs_are_passed_over() -> None:
    whole, *others = (losses(flax_model("WRAPPED", width=8, form=f)) for f in ("whole", "tuple", "mapping", "object"))
    for other in others:
        np.testing.assert_array_equal(other, whole)


def test_hidden_states_are_multiplied_by_the_head() -> None:
    by_path, by_function, tied = (flax_model(name, width=8) for name in ("HEAD_BY_PATH", "HEAD_BY_FUNCTION", "TIED"))
    params = models.init(by_path, jax.random.key(0))
    tokens_BT, targets_BT, _ = rows()
    logits_BTV = jnp.tanh(params["embed"]["embedding"][tokens_BT]) @ params["head"]
    expected = -jnp.take_along_axis(jax.nn.log_softmax(logits_BTV), targets_BT[..., None], -1)[..., 0]
    for model in (by_path, by_function):
        check_model(model, seq_len=16)
        np.testing.assert_allclose(models.loss_terms(model, params, *rows())[0], expected, rtol=1e-5)
    assert not np.allclose(losses(tied), expected, rtol=1e-3)
    entries = {entry.path: entry for entry in parameter_table(by_path)}
    assert (entries["head"].role, entries["embed/embedding"].role) == ("head", "embedding")
    assert all((entry.n_stacked, entry.learning_rate_multiplier) == (1, 0.5) for entry in entries.values())


@pytest.mark.parametrize("name", ["LINEN", "NNX"])
def test_dropout_is_drawn_from_the_key_and_off_without_one(name: str) -> None:
    model, plain = flax_model(f"{name}_DROPOUT", width=8, dropout=0.5), flax_model(name, width=8)
    check_model(model, seq_len=16)
    assert models.needs_rng(model) and not models.needs_rng(plain)
    params = models.init(plain, jax.random.key(0))
    first, again, other, off = (
        models.loss_terms(model, params, *rows(), rng=None if seed is None else jax.random.key(seed))[0]
        for seed in (1, 1, 2, None)
    )
    np.testing.assert_array_equal(first, again)
    np.testing.assert_array_equal(off, models.loss_terms(plain, params, *rows())[0])
    assert not np.allclose(first, other, rtol=1e-3) and not np.allclose(first, off, rtol=1e-3)


def test_parameters_are_those_of_the_module_itself() -> None:
    key = jax.random.key(3)
    mine = LinenModel(8).init(key, jnp.zeros((1, 8), jnp.int32), deterministic=True)["params"]
    jax.tree.map(np.testing.assert_array_equal, models.init(flax_model("LINEN", width=8), key), mine)


def test_the_key_is_path_arguments_and_version() -> None:
    model = flax_model("LINEN", width=8, dropout=0.5)
    run = run_of(model)
    assert run_key(run) == "060e343d3ae877b6"
    document = json.loads(json.dumps(to_json(run)))
    assert document["model"]["arguments"] == [["dropout", 0.5], ["width", 8]]
    assert from_json(document) == run and to_json(from_json(document)) == document
    for same in (flax_model("LINEN", dropout=np.float64(0.5), width=8.0),):
        assert run_key(run_of(same)) == run_key(run)
    changed = [flax_model("NNX", width=8, dropout=0.5), flax_model("LINEN", width=9, dropout=0.5)]
    changed.append(FlaxModel(path=model.path, version="2", arguments=model.arguments))
    assert len({run_key(run_of(other)) for other in (model, *changed)}) == 4


def test_the_digest_is_of_the_source_and_not_in_the_key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    model = FlaxModel(path="mine.py:TINY", version="1")
    key, digests = run_key(run_of(model)), []
    for text in ("raise RuntimeError  # nothing runs it\n", "# other\n"):
        Path("mine.py").write_text(text)
        digests.append(source_digest(model))
        assert run_key(run_of(model)) == key
    assert len(set(digests)) == 2
    assert source_digest(flax_model("LINEN")) == source_digest(flax_model("NNX"))


FIELDS: list[tuple[dict[str, Any], str]] = [
    ({"path": "no_colon"}, "path: 'no_colon' cannot be used"),
    ({"path": "/absolute/mine.py:NAME"}, "relative to here"),
    ({"version": 1}, "version: 1 cannot be used; a non-empty string"),
    ({"version": ""}, "version: '' cannot be used; a non-empty string"),
    ({"vocab_size": 1}, "vocab_size: 1 cannot be used"),
    ({"arguments": 3}, "arguments: 3 cannot be used; a mapping"),
    ({"arguments": {"a b": 3}}, "arguments: 'a b' cannot be used; names"),
    ({"arguments": {"sizes": [1, 2]}}, r"arguments.sizes: \[1, 2\] cannot be used"),
    ({"arguments": {"rate": float("nan")}}, "arguments.rate: nan cannot be used"),
]


@pytest.mark.parametrize(("fields", "message"), FIELDS)
def test_impossible_fields_are_refused(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        FlaxModel(**{"path": "flax_examples:LINEN", "version": "1", **fields})


MODELS: list[tuple[str, dict[str, Any], str]] = [
    ("LINNEN", {}, "did you mean 'LINEN'"),
    ("NOT_A_DEFINITION", {}, "allowed: .*LINEN"),
    ("LINEN", {"depth": 8}, r"flax_examples:LINEN.build: \{'depth': 8\} cannot be used; .*TypeError"),
    ("UNBUILT", {"width": 8}, "UNBUILT.build: 3 cannot be used; a Linen module"),
    ("MISCOUNTED", {"width": 8}, "MISCOUNTED.count: 4442 cannot be used; the module has 4441 parameters"),
    ("LINEN", {"width": 8, "dropout": 0.5}, "LINEN.needs_rng: False cannot be used; True is needed"),
    ("NNX", {"width": 8, "dropout": 0.5}, "NNX.needs_rng: False cannot be used; True is needed"),
    ("FAULTY", {"fault": "state"}, r"\['batch_stats'\] cannot be used; a module whose only state is parameters"),
    ("NNX_STATE", {}, r"\['norm/mean', 'norm/var'\] cannot be used; a module whose only state is parameters"),
    ("FAULTY", {"fault": "batch"}, r"\['bias \(2, 1, 4\)'\] cannot be used; parameters whose shape does not change"),
    ("FAULTY", {"fault": "half"}, r"Embed_0/embedding bfloat16.* float32 parameters are needed"),
    ("FAULTY", {"fault": "positions"}, "a module that takes rows of tokens is needed: .*Error"),
    ("WRAPPED", {"width": 8, "form": "narrow"}, r"logits: \(2, 16, 256\) cannot be used; the shape \(2, 16, 257\)"),
    ("WRAPPED", {"width": 8, "form": "nameless"}, "output: 'logits' cannot be used; .*allowed: extra"),
    ("HEADLESS", {"width": 8}, "head: 'haed' cannot be used; did you mean 'head'"),
    ("CROOKED", {"width": 8}, r"head: \(257, 8\) cannot be used; the shape \(8, 257\) is needed"),
]


@pytest.mark.parametrize(("name", "arguments", "message"), MODELS)
def test_what_cannot_be_trained_is_refused_in_one_line(name: str, arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message) as refusal:
        check_model(flax_model(name, **arguments), seq_len=16)
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (None, "a module that Python finds, or a .py file"),
        ("1 / 0", "a module that runs is needed: ZeroDivisionError"),
        ("TINY = 3", "path: 'TINY' cannot be used"),
    ],
)
def test_a_path_must_lead_to_a_definition(
    text: str | None, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    if text is not None:
        Path("mine.py").write_text(text)
    with pytest.raises(InputError, match=message):
        count_params(FlaxModel(path="mine.py:TINY", version="1"))
