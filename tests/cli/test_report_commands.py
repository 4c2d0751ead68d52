"""The command report: a study under way, a table, and what it refuses."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from lbscale.count import training_flops
from lbscale.spec import run_key
from lbscale.store import Claims, Result, Store, Worker
from lbscale.study import load_study

Command = Callable[..., Any]
TABLE = ("report", "table.csv", "--laws", "chinchilla", "--bootstrap", "0")


@pytest.fixture
def under_way(folder: Path) -> Path:
    """`mine`, with two laws, and two of its four runs recorded, one of which diverged."""
    text = (folder / "mine.py").read_text()
    text += 'LAWS = {"surface": "chinchilla", "tuning": "joint"}\n'
    text += 'def figures(table, fits):\n    return {"own": fits["tuning"]}\n'
    (folder / "mine.py").write_text(text)
    store = Store(folder / "results" / "mine")
    for run, status, loss in zip(load_study("mine.py").runs, ("finished", "diverged"), (5.0, None), strict=False):
        store.write(
            run,
            Result(
                status=status,
                loss=loss,
                loss_se=loss and 0.1,
                bits_per_byte=loss and 7.2,
                loss_split="validation",
                n_tokens=1024,
                n_tokens_real=1000,
                epochs=0.1,
                annealed=True,
                diverged_tokens=None if loss else 512,
                seconds=1.0,
                curve=(),
                machine={},
            ),
        )
    return folder


@pytest.fixture
def table(folder: Path) -> Path:
    """A table of an exact surface, with what a query may select."""
    rng = np.random.default_rng(1)
    sizes, tokens = np.meshgrid(np.geomspace(1e7, 1e9, 5), np.geomspace(1e9, 1e11, 5))
    frame = pd.DataFrame({"n_params": sizes.ravel(), "n_tokens": tokens.ravel()})
    loss = 1.7 + 400 / frame.n_params**0.34 + 410 / frame.n_tokens**0.28
    frame.assign(loss=loss * np.exp(0.002 * rng.normal(size=len(frame)))).to_csv(folder / "table.csv", index=False)
    return folder


def test_a_study_under_way_says_what_is_left_and_which_laws_are_missing(lbscale: Command, under_way: Path) -> None:
    runs = load_study("mine.py").runs
    document = lbscale("report", "mine.py", "--json").json
    progress, missing = document["progress"], document["missing"]
    assert (progress["n_finished"], progress["n_diverged"], progress["n_waiting"]) == (1, 1, 2)
    assert progress["left_flops"] == sum(training_flops(run.model, 64, run.n_tokens) for run in runs[2:])
    assert missing["surface"] == "1 usable row, and 5 parameters to find" and missing["tuning"].startswith("1 usable")
    assert document["laws"] == {}
    page = (under_way / "results" / "mine" / "index.html").read_text()
    for words in (
        "Does a small thing learn?",
        "2 of 4",
        "The law surface is missing",
        "1 diverged",
        "2 left",
        "They are missing: KeyError",
    ):
        assert words in page


def test_a_claimed_run_is_one_that_runs(lbscale: Command, under_way: Path) -> None:
    from lbscale.clock import trunk_key

    run = load_study("mine.py").runs[3]
    store = Store(under_way / "results" / "mine")
    with Worker(store.files) as worker:
        assert Claims(store.files, worker).acquire(trunk_key(run))
        progress = lbscale("report", "mine.py", "--json").json["progress"]
    assert (progress["n_running"], progress["n_waiting"]) == (1, 1)
    assert run_key(run) not in store.whole_keys()


def test_a_report_can_be_written_elsewhere(lbscale: Command, under_way: Path) -> None:
    before = sorted(path.name for path in (under_way / "results" / "mine").iterdir())
    said = lbscale("report", "mine.py", "--out", "elsewhere")
    assert said.code == 0 and said.out.splitlines()[-1] == "The page: elsewhere/index.html"
    assert "missing: surface: 1 usable row" in said.out
    assert (under_way / "elsewhere" / "index.html").exists()
    assert sorted(path.name for path in (under_way / "results" / "mine").iterdir()) == before


def test_a_table_has_a_page(lbscale: Command, table: Path) -> None:
    document = lbscale(*TABLE, "--holdout", "n_params > 5e8", "--n-params", "1e10", "--n-tokens", "1e12", "--json").json
    assert (document["n_rows"], document["laws"]["chinchilla"]["n_rows"]) == (25, 20)
    assert document["held_out"][0]["held_out"]["n_rows"] == 5
    loss = document["recommendation"]["loss"]
    assert loss["value"] == pytest.approx(1.7 + 400 / 1e10**0.34 + 410 / 1e12**0.28, rel=0.03)
    assert document["folder"] == "table-report" and "index.html" in document["files"]
    for name in document["files"]:
        assert (table / "table-report" / name).stat().st_size > 0
    assert json.loads((table / "table-report" / "report.json").read_text())["laws"] == document["laws"]


def test_a_table_is_fitted_by_those_laws_that_can(lbscale: Command, table: Path) -> None:
    said = lbscale("report", "table.csv", "--laws", "chinchilla,step_law", "--bootstrap", "0", "--out", "out/deep")
    assert said.code == 0 and "missing: step_law: " in said.out
    assert (
        said.out.splitlines()[-1]
        == "The page: out/deep/index.html; its tables: out/deep/tables/; the laws: out/deep/laws/"
    )


@pytest.mark.parametrize(
    ("words", "field", "said"),
    [
        (("report", "mine.py"), "results", "no run of mine is recorded"),
        (("report", "nothing"), "study", "allowed: "),
        (("report", "missing.csv", "--laws", "chinchilla"), "table", "the path of a CSV or parquet file"),
        (("report", "mine.py", "--laws", "kaplan"), "laws", "it is for a table"),
        (("report", "table.csv"), "laws", "names of laws"),
        (("report", "table.csv", "--laws", "chinchilla,chinchilla"), "laws", "names of laws"),
        (("report", "table.csv", "--laws", "chinchila"), "law", "did you mean 'chinchilla'"),
        (("report", "table.csv", "--laws", "step_law,joint"), "laws", "at least one that fits the table"),
        ((*TABLE, "--where", "n_params > 1e20"), "laws", "at least one that fits the table"),
        ((*TABLE, "--where", "nothing > 1"), "where", "a pandas query"),
        ((*TABLE, "--out", "mine.py"), "out", "a folder that can be written"),
        ((*TABLE, "--out", "mine.py/below"), "out", "a folder that can be written"),
        ((*TABLE, "--n-params", "1e9"), "flops", "either both n_params and n_tokens"),
        ((*TABLE, "--flops", "-1"), "flops", "a positive number"),
    ],
)
def test_bad_input_is_one_line_and_writes_nothing(
    lbscale: Command, table: Path, words: tuple[str, ...], field: str, said: str
) -> None:
    before = {path: path.read_bytes() for path in table.rglob("*") if path.is_file()}
    outcome = lbscale(*words)
    assert (outcome.code, outcome.out) == (2, "")
    assert outcome.err.startswith(f"lbscale: {field}: ") and said in outcome.err and outcome.err.count("\n") == 1
    assert {path: path.read_bytes() for path in table.rglob("*") if path.is_file()} == before
    assert not list(table.rglob("*-report"))
