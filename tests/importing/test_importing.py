"""Tests of imports: every column by a rule, every convention that is unknown listed, and nothing guessed in silence."""

from __future__ import annotations

import json
import math
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lbscale.errors import InputError
from lbscale.importing import Imported, import_runs
from lbscale.importing.names import SCALES, meaning_of
from lbscale.laws import fit

RUNS = {"params": [1e8, 2e8], "tokens": [2e9, 4e9], "val_loss": [3.2, 3.0]}


def imported(tmp_path: Path, columns: dict[str, Any], kind: str = "csv", **words: Any) -> Imported:
    path = tmp_path / "table.csv"
    pd.DataFrame(columns).to_csv(path, index=False)
    return import_runs(kind, path, **words)


def open_conventions(found: Imported) -> set[str | None]:
    return {item["convention"] for item in found.not_established}


@pytest.mark.parametrize(
    ("column", "name", "factor"),
    [
        ("lr", "learning_rate", 1.0),
        ("Learning Rate", "learning_rate", 1.0),
        ("max_lr", "learning_rate_peak", 1.0),
        ("config.optimizer.learning_rate", "learning_rate", 1.0),
        ("config/optimizer/lr/value", "learning_rate", 1.0),
        ("optim/learning_rate_group0", "learning_rate_final", 1.0),
        ("summary.lr", "learning_rate_final", 1.0),
        ("train_tokens_B", "n_tokens", 1e9),
        ("tokens (B)", "n_tokens", 1e9),
        ("throughput/total_tokens", "n_tokens", 1.0),
        ("params_M", "n_params", 1e6),
        ("non_embedding_params", "n_params_non_embedding", 1.0),
        ("params in millions", "n_params", 1e6),
        ("bs", "batch_size", 1.0),
        ("batch_size_in_tokens", "batch_size_tokens", 1.0),
        ("config.global_train_batch_size", "batch_size_sequences", 1.0),
        ("model.max_sequence_length", "seq_len", 1.0),
        ("_step", "steps", 1.0),
        ("trainer/global_step", "steps", 1.0),
        ("State", "status", 1.0),
    ],
)
def test_a_name_is_read_with_its_unit(column: str, name: str, factor: float) -> None:
    meaning = meaning_of(column)
    assert meaning is not None and (meaning.name, meaning.factor) == (name, factor)


@pytest.mark.parametrize(
    ("column", "unit", "split"),
    [
        ("loss", None, None),
        ("val_loss", None, "validation"),
        ("train/CrossEntropyLoss", None, "train"),
        ("eval/c4_en-validation/CrossEntropyLoss", None, "validation"),
        ("eval/c4_en-validation/Perplexity", "perplexity", "validation"),
        ("ppl", "perplexity", None),
        ("valid_bpb", "bits per byte", "validation"),
        ("loss_c4_val_nats_per_token", "nats", "validation"),
    ],
)
def test_a_loss_is_read_with_its_unit_and_split(column: str, unit: str | None, split: str | None) -> None:
    meaning = meaning_of(column)
    assert meaning is not None and (meaning.name, meaning.unit, meaning.split) == ("loss", unit, split)


@pytest.mark.parametrize("column", ["micro_batch_size", "per_device_train_batch_size", "notes", "gpu_hours", "", "a/b"])
def test_a_name_that_says_nothing_is_not_interpreted(column: str) -> None:
    assert meaning_of(column) is None


def test_columns_are_named_scaled_and_reported_with_their_rules(tmp_path: Path) -> None:
    columns = {"params_M": [100.0, 200.0], "train_tokens_B": [2.0, 4.0], "val_loss": [3.2, 3.0], "mood": ["a", "b"]}
    found = imported(tmp_path, columns)
    assert found.table["n_params"].tolist() == [1e8, 2e8] and found.table["n_tokens"].tolist() == [2e9, 4e9]
    assert found.table["loss_split"].tolist() == ["validation"] * 2
    assert found.not_interpreted == ["mood"] and found.table["mood"].tolist() == ["a", "b"]
    rules = {item["column"]: (item["name"], item["rule"]) for item in found.columns}
    assert rules["train_tokens_B"] == ("n_tokens", "the name 'train_tokens_b', times 1e+09")
    assert open_conventions(found) == {
        "loss_unit", "n_tokens", "learning_rate", "params_convention", "schedule", "annealed", "seeds", "seq_len",
        "epochs",
    }  # fmt: skip


@settings(max_examples=15, deadline=None)
@given(st.floats(1.0, 20.0), st.floats(2.0, 6.0))
def test_losses_of_every_unit_are_one_loss_in_nats(loss: float, bytes_per_token: float) -> None:
    bits = loss / math.log(2.0)
    spelt = {"ppl": math.exp(loss), "bits_per_token": bits, "bpb": bits / bytes_per_token, "loss_nats": loss}
    for name, value in spelt.items():
        frame = pd.DataFrame({"params": [1e8], "tokens": [1e9], name: [value]})
        with tempfile.TemporaryDirectory() as folder:
            frame.to_csv(f"{folder}/table.csv", index=False)
            found = import_runs("csv", f"{folder}/table.csv", given={"bytes_per_token": repr(bytes_per_token)})
        assert found.table["loss"][0] == pytest.approx(loss, rel=1e-9), name
        assert "loss_unit" not in open_conventions(found)


def test_perplexity_beside_a_loss_shows_its_unit(tmp_path: Path) -> None:
    loss = np.array([3.2, 3.0])
    nats = imported(tmp_path, {**RUNS, "val_ppl": np.exp(loss)})
    assert "loss_unit" not in open_conventions(nats) and nats.table["loss"].tolist() == [3.2, 3.0]
    bits = imported(tmp_path, {**RUNS, "val_ppl": 2.0**loss})
    assert "loss_unit" not in open_conventions(bits)
    assert bits.table["loss"].to_numpy() == pytest.approx(loss * math.log(2.0))
    neither = imported(tmp_path, {**RUNS, "val_ppl": [7.0, 8.0]})
    assert "loss_unit" in open_conventions(neither)


def test_a_batch_of_unknown_unit_is_settled_by_arithmetic_or_left_alone(tmp_path: Path) -> None:
    base = {**RUNS, "steps": [1000, 2000], "seq_len": [2048, 2048]}
    tokens = imported(tmp_path, {**base, "batch_size": [2e6, 2e6]})
    assert tokens.table["batch_size_tokens"].tolist() == [2e6, 2e6] and "batch_size" not in tokens.table
    sequences = imported(tmp_path, {**base, "batch_size": [2e6 / 2048] * 2})
    assert sequences.table["batch_size_tokens"].to_numpy() == pytest.approx([2e6, 2e6])
    device = imported(tmp_path, {**base, "batch_size": [8, 8]})
    assert "batch_size" in open_conventions(device) and "batch_size_tokens" not in device.table
    without = imported(tmp_path, {**RUNS, "bs": [256, 256]})
    assert "batch_size" in open_conventions(without) and without.table["batch_size"].tolist() == [256, 256]


def test_tokens_follow_from_steps_and_batch_and_are_checked_against_them(tmp_path: Path) -> None:
    steps = {"params": [1e8, 2e8], "val_loss": [3.2, 3.0], "steps": [1000, 2000], "batch_size_tokens": [2e6, 2e6]}
    assert imported(tmp_path, steps).table["n_tokens"].tolist() == [2e9, 4e9]
    agrees = imported(tmp_path, {**steps, "tokens": [2e9, 4e9]})
    assert "n_tokens" not in open_conventions(agrees)
    differs = imported(tmp_path, {**steps, "tokens": [2e9, 5e9]})
    (said,) = [item for item in differs.not_established if item["convention"] == "n_tokens"]
    assert "differs from the column by up to 20 %" in str(said["why"])


def test_shapes_show_what_params_count_and_params_what_flops(tmp_path: Path) -> None:
    columns = {**RUNS, "params": [12 * 4 * 64**2, 12 * 8 * 64**2], "hidden_size": [64, 64], "num_layers": [4, 8]}
    found = imported(tmp_path, columns)
    assert "params_convention" not in open_conventions(found)
    assert set(found.table["params_convention"]) == {"non_embedding"}
    counted = imported(tmp_path, {**RUNS, "flops": 6 * np.array(RUNS["params"]) * np.array(RUNS["tokens"])})
    assert "train_flops_6nd" in counted.table and "flops" not in open_conventions(counted)
    exact = imported(tmp_path, {**RUNS, "flops": 7 * np.array(RUNS["params"]) * np.array(RUNS["tokens"])})
    assert "train_flops" in exact.table and "flops" in open_conventions(exact)


def test_what_is_mapped_and_stated_goes_before_every_rule(tmp_path: Path) -> None:
    columns = {**RUNS, "my_loss": [2.2, 2.0], "final": [1, 2]}
    given = {
        "seq_len": "2048",
        "params_convention": "total",
        "loss_unit": "bits",
        "schedule": "cosine",
        "annealed": "true",
    }
    found = imported(tmp_path, columns, map={"loss": "my_loss"}, given=given)
    assert found.table["loss"].to_numpy() == pytest.approx(np.array([2.2, 2.0]) * math.log(2.0))
    assert not {"params_convention", "loss_unit", "schedule", "annealed", "seq_len"} & open_conventions(found)
    assert found.table["val_loss"].tolist() == [3.2, 3.0] and set(found.table["seq_len"]) == {2048}


def test_a_column_whose_name_is_taken_stays_under_another(tmp_path: Path) -> None:
    found = imported(tmp_path, {**RUNS, "loss": [9.0, 8.0]}, map={"loss": "val_loss"})
    assert found.table["loss"].tolist() == [3.2, 3.0] and found.table["loss_as_found"].tolist() == [9.0, 8.0]
    assert {"column": "loss", "name": "loss_as_found", "rule": "another loss, kept as it is"} in found.columns


def test_columns_that_are_as_good_are_not_chosen_between(tmp_path: Path) -> None:
    found = imported(tmp_path, {**RUNS, "lr": [1e-3, 2e-3], "base_lr": [1e-3, 3e-3]})
    assert "learning_rate" in open_conventions(found) and "learning_rate" not in found.table
    equal = imported(tmp_path, {**RUNS, "lr": [1e-3, 2e-3], "base_lr": [1e-3, 2e-3]})
    assert equal.table["learning_rate"].tolist() == [1e-3, 2e-3]
    with pytest.raises(InputError, match=r"loss: '2 columns' cannot be used; .* c4_val_loss, pile_val_loss"):
        imported(tmp_path, {"params": [1e8], "tokens": [1e9], "c4_val_loss": [3.0], "pile_val_loss": [2.5]})


def test_nominal_sizes_are_numbers_and_said_to_be_nominal(tmp_path: Path) -> None:
    found = imported(tmp_path, {**RUNS, "params": ["190M", "1.3B"]})
    assert found.table["n_params"].tolist() == [1.9e8, 1.3e9]
    assert any("nominal" in str(item["why"]) for item in found.not_established)


def test_rows_without_a_loss_are_counted_and_unfinished_ones_kept(tmp_path: Path) -> None:
    columns = {"params": [1e8] * 4, "tokens": [1e9] * 4, "val_loss": [3.0, None, None, 2.9]}
    found = imported(tmp_path, {**columns, "State": ["finished", "finished", "diverged", "crashed"]})
    assert found.n_dropped == {"no loss": 1}
    assert found.table["status"].tolist() == ["finished", "diverged", "stopped"]


def test_what_was_imported_can_be_fitted(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    n_params, tokens = (grid.ravel() for grid in np.meshgrid(10.0 ** np.arange(1, 4), 10.0 ** np.arange(0, 4)))
    loss = 1.8 + 480.0 / (1e6 * n_params) ** 0.35 + 2100.0 / (1e9 * tokens) ** 0.37
    found = imported(tmp_path, {"params_M": n_params, "train_tokens_B": tokens, "val_ppl": np.exp(loss)})
    fitted = fit(found.table, "chinchilla", bootstrap=0, params_convention="total")
    assert fitted.params["alpha"] == pytest.approx(0.35, rel=1e-3)


number = st.floats(1e-6, 1e12, allow_nan=False)
OWN_ROWS = st.lists(
    st.fixed_dictionaries(
        {
            "key": st.text("0123456789abcdef", min_size=16, max_size=16).filter(lambda key: not key.isdigit()),
            "n_params": st.integers(1, 10**12),
            "params_convention": st.just("non_embedding"),
            "n_tokens": st.integers(1, 10**13),
            "learning_rate": number,
            "batch_size_tokens": st.integers(1, 10**8),
            "loss": st.floats(0.01, 20.0),
            "bits_per_byte": st.floats(0.01, 20.0),
            "loss_split": st.just("validation"),
            "status": st.sampled_from(["finished", "diverged", "stopped"]),
            "annealed": st.booleans(),
            "train_flops": number,
            "train_flops_6nd": number,
            "init_seed": st.integers(0, 9),
            "trunk_key": st.just("t"),
            "schedule": st.just("cosine"),
            "mine": st.text("xyz", min_size=1, max_size=3),
        }
    ),
    min_size=1,
    max_size=5,
)


@settings(max_examples=25, deadline=None)
@given(OWN_ROWS)
def test_a_table_of_lbscale_s_own_comes_back_as_it_is(rows: list[dict[str, Any]]) -> None:
    frame = pd.DataFrame(rows)
    frame.loc[frame["status"] == "diverged", "loss"] = None
    if not (frame["loss"] > 0).any():
        frame.loc[0, ["loss", "status"]] = [2.0, "finished"]
    with tempfile.TemporaryDirectory() as folder:
        frame.to_csv(f"{folder}/table.csv", index=False)
        found = import_runs("csv", f"{folder}/table.csv")
        written = pd.read_csv(f"{folder}/table.csv")
    pd.testing.assert_frame_equal(found.table, written, check_dtype=False)
    assert found.not_established == [] and found.n_dropped == {} and found.not_interpreted == ["mine"]


@given(st.sampled_from(sorted(SCALES)), st.sampled_from(["tokens", "train_tokens", "params", "total_params"]))
def test_every_unit_scales_every_count(unit: str, stem: str) -> None:
    for spelt in (f"{stem}_{unit}", f"{stem} ({unit.upper()})", f"{stem}_in_{unit}"):
        meaning = meaning_of(spelt)
        assert meaning is not None and meaning.factor == SCALES[unit]


@pytest.mark.parametrize(
    ("words", "match"),
    [
        ({"map": {"losss": "val_loss"}}, "map: 'losss' cannot be used; did you mean 'loss'"),
        ({"map": {"loss": "nothing"}}, "table: 'nothing' cannot be used; the table has no such column"),
        ({"given": {"seq_len": "long"}}, r"set\.seq_len: 'long' cannot be used; a positive number"),
        ({"given": {"loss_unit": "dB"}}, r"set\.loss_unit: 'dB' cannot be used"),
        ({"kind": "tsv"}, "kind: 'tsv' cannot be used"),
    ],
)
def test_bad_words_are_refused(tmp_path: Path, words: dict[str, Any], match: str) -> None:
    with pytest.raises(InputError, match=match):
        imported(tmp_path, RUNS, **words)


def test_a_loss_per_byte_needs_bytes_per_token(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"loss: 'bits per byte' cannot be used; .* --set bytes_per_token"):
        imported(tmp_path, {"params": [1e8], "tokens": [1e9], "bpb": [0.9]})


def test_tables_without_a_loss_or_without_rows_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="a column that holds a loss is needed"):
        imported(tmp_path, {"params": [1e8], "accuracy": [0.3]})
    with pytest.raises(InputError, match="a run with a loss is needed"):
        imported(tmp_path, {**RUNS, "val_loss": [None, -1.0]})
    with pytest.raises(InputError, match="a table with rows is needed"):
        imported(tmp_path, {"params": [], "loss": []})


CONFIG = {"optimizer": {"lr": {"value": 3e-4}}, "model": {"n_layers": 4}, "batch_size_tokens": 5e5, "seed": 1}
SUMMARY = {"eval/loss": 3.1, "_step": 4000, "lr": 3e-5, "train/loss": 3.3, "_runtime": 99.0}


def test_wandb_s_three_exports_of_a_run_say_the_same(tmp_path: Path) -> None:
    tables = []
    lines = tmp_path / "runs.jsonl"
    lines.write_text(
        "\n".join([json.dumps({"name": "a", "state": "finished", "config": CONFIG, "summary": SUMMARY})] * 1)
    )
    tables.append(import_runs("wandb", lines))
    nested = pd.DataFrame([{"name": "a", "state": "finished", "config": str(CONFIG), "summary": str(SUMMARY)}])
    nested.to_csv(tmp_path / "project.csv", index=False)
    tables.append(import_runs("wandb", tmp_path / "project.csv"))
    flat = {
        "Name": "a",
        "State": "finished",
        "config.optimizer.lr": 3e-4,
        "config.batch_size_tokens": 5e5,
        "config.seed": 1,
    }
    flat |= {f"summary/{name}": value for name, value in SUMMARY.items()} | {"config.model.n_layers": 4}
    pd.DataFrame([flat]).to_csv(tmp_path / "flat.csv", index=False)
    tables.append(import_runs("wandb", tmp_path / "flat.csv"))
    for found in tables:
        row = found.table.iloc[0]
        assert (row["loss"], row["loss_split"], row["status"]) == (3.1, "validation", "finished")
        assert (row["learning_rate"], row["learning_rate_final"], row["annealed"]) == (3e-4, 3e-5, True)
        assert (row["n_tokens"], row["steps"], row["init_seed"], row["n_layers"]) == (2e9, 4000, 1, 4)
        assert "loss_unit" in open_conventions(found) and "seeds" in open_conventions(found)


def test_of_a_history_each_run_s_last_point_counts(tmp_path: Path) -> None:
    rows = [
        {"run": run, "_step": step, "val_loss": 4.0 - step / 1000, "config": {"params": 1e8, "batch_size_tokens": 1e6}}
        for run in ("a", "b") for step in (100, 300, 200)
    ]  # fmt: skip
    path = tmp_path / "history.jsonl"
    path.write_text("\n".join(map(json.dumps, rows)))
    found = import_runs("wandb", path)
    assert found.table["loss"].tolist() == [3.7, 3.7] and found.n_dropped == {"an earlier point of a run": 4}
    path.write_text("[1, 2]")
    with pytest.raises(InputError, match="a JSON object a line"):
        import_runs("wandb", path)


def test_the_ladder_s_histories_are_runs_of_published_sizes(tmp_path: Path) -> None:
    for name, final in (("190M-1xC", 3.2), ("1B-10xC", 2.6)):
        steps = np.array([200, 400, 600])
        pd.DataFrame(
            {
                "_step": steps,
                "eval/c4_en-validation/CrossEntropyLoss": final + (600 - steps) / 1000,
                "eval/pile-validation/CrossEntropyLoss": final - 0.5,
                "eval/downstream_bpb/piqa_val_rc_5shot_bpb": 1.2,
                "optim/learning_rate_group0": [1e-3, 5e-4, 1e-5],
                "learning_rate_peak": 1e-3,
                "batch_size_in_tokens": 524288,
            }
        ).to_csv(tmp_path / f"{name}.csv", index=False)
    found = import_runs("olmo", tmp_path)
    assert found.table["n_params_non_embedding"].tolist() == [190354176, 1279395840]
    assert found.table["loss"].tolist() == [3.2, 2.6] and found.table["annealed"].all()
    assert found.table["n_tokens"].tolist() == [600 * 524288] * 2
    assert found.table["learning_rate"].tolist() == [1e-3] * 2
    assert found.n_dropped == {"an earlier point of a run": 4}
    (split,) = [item for item in found.not_established if item["convention"] == "loss_split"]
    assert split["assumed"] == "that of C4, as the ladder's own fits"
    assert "eval/downstream_bpb/piqa_val_rc_5shot_bpb" in found.not_interpreted
    other = import_runs("olmo", tmp_path / "190M-1xC.csv", map={"loss": "eval/pile-validation/CrossEntropyLoss"})
    assert other.table["loss"].tolist() == [2.7]


def test_datadecide_s_params_follow_from_its_compute(tmp_path: Path) -> None:
    rows = [
        {"group": "c4", "model": "4M", "task": task, "chinchilla": "5xC", "step": step, "tokens": step * 65536,
         "compute": 6 * 3_744_832 * step * 65536, "metrics": "{}",
         "eval/c4_en-validation/CrossEntropyLoss": 5 - step / 1e3, "train/CrossEntropyLoss": 4.0, "seed": 6198}
        for task in ("boolq", "piqa") for step in (500, 1000)
    ]  # fmt: skip
    pd.DataFrame(rows).to_csv(tmp_path / "scaling_law.csv", index=False)
    found = import_runs("olmo", tmp_path / "scaling_law.csv")
    assert found.table["n_params"].tolist() == [3_744_832] and found.table["loss"].tolist() == [4.0]
    assert found.n_dropped == {"an earlier point of a run": 3}
