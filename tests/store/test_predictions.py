"""Predictions in the store: registered before their runs or not at all, and found again with them."""

from __future__ import annotations

import dataclasses
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import fsspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lbscale.clock import prefix_key, trunk_key
from lbscale.count import count_params
from lbscale.errors import InputError
from lbscale.spec import AdamW, Constant, ConstantBatch, Corpus, Decoder, Run, run_key
from lbscale.store import (
    Claims,
    Files,
    History,
    Outcome,
    Result,
    StateName,
    States,
    Store,
    Worker,
    outcome,
    register_prediction,
    registered_predictions,
    run_of_key,
    stores_below,
    verify,
)
from lbscale.store.predictions import _is_at


@pytest.fixture(params=["local", "memory"])
def results(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """A results folder that is not there yet, on a disk and in an object store."""
    if request.param == "local":
        yield str(tmp_path / "results")
        return
    name = f"/{uuid.uuid4().hex}"
    yield f"memory:/{name}"
    if fsspec.filesystem("memory").exists(name):
        fsspec.filesystem("memory").rm(name, recursive=True)


def item(point: dict[str, float], key: str | None = None, params: str = "non_embedding") -> dict[str, Any]:
    said = {"value": 2.4, "params": {"E": 1.0}, "data_digest": "d", "convention": {"params": params}}
    return {"key": key, "point": point, "laws": {"chinchilla": said}, "optimum": {}, "baselines": {}}


def point_of(run: Run, params: str = "non_embedding") -> dict[str, float]:
    return {"n_params": float(getattr(count_params(run.model), params)), "n_tokens": float(run.n_tokens)}


def files_below(results: str) -> list[str]:
    files = Files(results)
    return files.walk("") if files.is_folder() else []


def study_of(results: str) -> Store:
    return Store(Files(results).path("study"))


def test_a_prediction_waits_for_its_run_and_is_found_with_it(results: str, run: Run, result: Result) -> None:
    name, document = register_prediction(results, item(point_of(run)), 30)
    assert document["trained_before"] == [] and document["rests_on_n_rows"] == 30
    stores = stores_below(results)
    (found,) = registered_predictions(stores)
    assert found["registration"] == f"predictions/{name}" and found["point"] == point_of(run)
    assert outcome(stores, found).status == "open"
    study_of(results).write(run, result)
    assert outcome(stores_below(results), found) == Outcome("scored", run_key(run), 2.5, 1)
    assert verify(stores[0].files).counts["registration"] == 1 and not verify(stores[0].files).findings


@pytest.mark.parametrize("params", ["total", "non_embedding"])
def test_params_are_compared_as_the_law_counts_them(results: str, run: Run, result: Result, params: str) -> None:
    register_prediction(results, item(point_of(run, "total"), params=params), 30)
    study_of(results).write(run, result)
    (found,) = registered_predictions(stores_below(results))
    assert outcome(stores_below(results), found).status == ("scored" if params == "total" else "open")


@pytest.mark.parametrize("by_key", [True, False])
def test_a_prediction_of_a_recorded_run_is_refused(results: str, run: Run, result: Result, by_key: bool) -> None:
    study_of(results).write(run, result)
    before = files_below(results)
    with pytest.raises(
        InputError, match=r"register: .* a prediction is registered before its run begins, and .* is reco"
    ):
        register_prediction(results, item(point_of(run), run_key(run) if by_key else None), 30)
    assert files_below(results) == before


@pytest.mark.parametrize("by_key", [True, False])
@pytest.mark.parametrize("begun", ["claim", "state"])
def test_a_prediction_of_a_run_under_way_is_refused(results: str, run: Run, begun: str, by_key: bool) -> None:
    store = study_of(results)
    if begun == "claim":
        worker = Worker(store.files)
        assert Claims(store.files, worker, 60.0).acquire(trunk_key(run))
    else:
        states = States(store.files, "layout")
        states.seal("one", [StateName(trunk_key(run), prefix_key(run, 1024), 1024, History())])
    before = files_below(results)
    asked = item(point_of(run), run_key(run) if by_key else None)
    with pytest.raises(InputError, match="this one is under way in"):
        register_prediction(results, asked, 30, run if by_key else None, () if by_key else (run,))
    assert files_below(results) == before
    other = dataclasses.replace(run, learning_rate=0.5)
    register_prediction(results, item(point_of(other), run_key(other)), 30, other)  # of another trunk


@given(st.floats(1e-5, 1.0))
def test_a_setting_rounded_to_three_digits_is_the_same_and_another_is_not(rate: float) -> None:
    run = Run(
        model=Decoder(d_model=16, n_layers=1, n_heads=1, d_ff=16),
        data=Corpus(name="text", fingerprint="f", seq_len=64),
        optimizer=AdamW(),
        schedule=Constant(),
        batch=ConstantBatch(64),
        learning_rate=rate,
        n_tokens=1024,
        init_seed=0,
        data_seed=0,
    )
    assert _is_at(run, {**point_of(run), "learning_rate": float(f"{rate:.3g}")}, "non_embedding")
    assert not _is_at(run, {**point_of(run), "learning_rate": 1.01 * rate}, "non_embedding")
    assert not _is_at(run, {**point_of(run), "epochs": 1.0}, "non_embedding")


def test_it_is_registered_once(results: str, run: Run) -> None:
    register_prediction(results, item(point_of(run)), 30)
    before = files_below(results)
    with pytest.raises(InputError, match="a decision is registered once"):
        register_prediction(results, item(point_of(run)), 30)
    assert files_below(results) == before
    register_prediction(results, item({**point_of(run), "n_tokens": 9e9}), 30)
    assert len(registered_predictions(stores_below(results))) == 2


def test_of_runs_that_differ_by_seeds_the_first_counts_and_others_do_not(
    results: str, run: Run, result: Result
) -> None:
    register_prediction(results, item(point_of(run)), 30)
    (found,) = registered_predictions(stores_below(results))
    store = study_of(results)
    for seed in (7, 1, 4):
        store.write(dataclasses.replace(run, init_seed=seed), dataclasses.replace(result, loss=2.0 + seed))
    said = outcome(stores_below(results), found)
    assert (said.status, said.loss, said.n_runs) == ("scored", 3.0, 3)
    store.write(dataclasses.replace(run, learning_rate=0.5), result)
    assert "differ by more than seeds" in outcome(stores_below(results), found).status
    exact = {**found, "point": {**found["point"], "learning_rate": 0.5}}
    assert outcome(stores_below(results), exact).loss == 2.5


@pytest.mark.parametrize(
    ("fields", "status"),
    [
        ({"status": "diverged", "loss": None}, "its run diverged"),
        ({"status": "stopped", "loss": None}, "its run stopped"),
        ({"annealed": False}, "its run was not annealed"),
    ],
)
def test_a_run_without_a_final_loss_scores_nothing(
    results: str, run: Run, result: Result, fields: dict[str, Any], status: str
) -> None:
    register_prediction(results, item(point_of(run), run_key(run)), 30, run)
    study_of(results).write(run, dataclasses.replace(result, **fields))
    (found,) = registered_predictions(stores_below(results))
    assert outcome(stores_below(results), found) == Outcome(status, run_key(run), None, 1)


def test_a_follow_up_that_was_trained_before_is_not_scored(results: str, run: Run, result: Result) -> None:
    store = study_of(results)
    store.write(run, result)
    follow_up = {
        "schema": 1, "registered_at": "then", "trained_before": [run_key(run)], "runs": [],
        "predictions": [item(point_of(run), run_key(run))],
    }  # fmt: skip
    store.register("follow-up-1", follow_up)
    store.register("decision", {"learning_rate": 0.01})  # no predictions
    (found,) = registered_predictions(stores_below(results))
    assert outcome(stores_below(results), found).status == "its run was there before it"


def test_a_key_is_known_by_the_decision_that_names_its_run(results: str, run: Run) -> None:
    register_prediction(results, item(point_of(run), run_key(run)), 30, run)
    assert run_of_key(stores_below(results), run_key(run)) == run
    assert run_of_key(stores_below(results), "0" * 16) is None


def test_a_changed_registration_and_one_of_a_newer_schema_are_named(tmp_path: Path, run: Run) -> None:
    name, document = register_prediction(str(tmp_path), item(point_of(run)), 30)
    path = tmp_path / "predictions" / "registered" / f"{name}.json"
    path.write_bytes(path.read_bytes().replace(b"2.4", b"2.3"))
    with pytest.raises(InputError, match="not as it was written"):
        registered_predictions(stores_below(str(tmp_path)))
    path.unlink()
    Store(tmp_path / "predictions").register("newer", {**document, "schema": 2})
    with pytest.raises(InputError, match=r"registered\.schema: 2 cannot be used; this lbscale reads schema 1"):
        registered_predictions(stores_below(str(tmp_path)))
