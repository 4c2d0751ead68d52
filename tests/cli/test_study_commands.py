"""The commands about studies that train nothing: list, plan, status, results."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from lbscale import __version__
from lbscale.plan import run_flops
from lbscale.spec import run_key
from lbscale.store import Store
from lbscale.study import load_study

Command = Callable[..., Any]


def test_version(lbscale: Command) -> None:
    assert lbscale("--version").out == f"lbscale {__version__}\n"


@pytest.mark.parametrize("words", [(), ("fit",), ("plan",), ("run",)])
def test_help_goes_to_stdout(lbscale: Command, words: tuple[str, ...]) -> None:
    outcome = lbscale(*words, "--help")
    assert outcome.code == 0 and outcome.out.startswith("usage: lbscale") and outcome.err == ""


def test_list_names_experiments_by_the_first_line_of_their_docstring(lbscale: Command, folder: Path) -> None:
    (folder / "experiments").mkdir()
    (folder / "mine.py").rename(folder / "experiments" / "mine.py")
    (folder / "experiments" / "broken.py").write_text('"""Is never run."""\n1 / 0\n')
    listed = {entry["name"]: entry["question"] for entry in lbscale("list", "--json").json}
    assert listed["mine"] == "Does a small thing learn?"
    assert listed["broken"] == "Is never run."
    assert "tour" in listed
    lines = lbscale("list").out.splitlines()
    assert [line.split()[0] for line in lines] == sorted(listed)


def test_plan_tells_runs_programs_and_cost(lbscale: Command, folder: Path) -> None:
    document = lbscale("plan", "mine.py", "--json").json
    runs = load_study("mine.py").runs
    assert (document["study"], document["n_runs"], document["n_done"]) == ("mine", 4, 0)
    assert document["flops"] == sum(map(run_flops, runs)) == sum(c["flops"] for c in document["cohorts"])
    assert document["n_compilations"] == len(document["cohorts"])
    assert sum(cohort["n_runs"] for cohort in document["cohorts"]) == 4
    assert document["layout"].keys() >= {"n_devices", "group_size", "micro_batch_tokens"}
    assert not (folder / "results").exists()


def test_plan_tells_memory_and_what_recomputing_layers_saves(lbscale: Command, folder: Path) -> None:
    """Counted with the rows of a corpus whose text is here, and left out where it is not."""
    assert lbscale("plan", "mine.py", "--json").json["cohorts"][0]["memory_bytes"] is None
    text = (folder / "mine.py").read_text()
    text = text.replace("from lbscale import", "from lbscale.data import corpus_spec\nfrom lbscale import")
    text = text.replace('Corpus(name="text", fingerprint="f", seq_len=64)', "corpus_spec(seq_len=64)")
    (folder / "mine.py").write_text(text)
    plans = [lbscale("plan", "mine.py", "--remat", name, "--json").json for name in ("none", "full")]
    assert [plan["layout"]["remat"] for plan in plans] == ["none", "full"]
    memory = [plan["cohorts"][0]["memory_bytes"] for plan in plans]
    for found in memory:
        assert found["total"] == found["argument"] + found["temporary"] > found["output"] > 0
    assert memory[0]["argument"] == memory[1]["argument"]
    assert memory[0]["temporary"] != memory[1]["temporary"]
    assert " MB a device" in lbscale("plan", "mine.py").out


def test_plan_leaves_recorded_runs_out(lbscale: Command, recorded: Path) -> None:
    document = lbscale("plan", "mine.py", "--json").json
    assert (document["n_runs"], document["n_done"]) == (3, 1)
    assert lbscale("plan", "mine.py").out.startswith("mine: 3 runs to train, 1 there already")


def test_status_counts_the_studys_runs_and_others(lbscale: Command, recorded: Path) -> None:
    nobody = {"n_states": 0, "workers": []}
    counts = {"study": "mine", "n_runs": 4, "n_done": 1, "n_recorded": 1}
    assert lbscale("status", "mine.py", "--json").json == counts | nobody
    text = (recorded / "mine.py").read_text()
    (recorded / "mine.py").write_text(text.replace("0.2", "0.3"))
    assert lbscale("status", "mine.py").out == (
        "mine: 0 of 4 runs done; 1 further runs recorded (its follow-up, or runs of an earlier version)\n"
    )


def test_results_folder_can_be_named(lbscale: Command, recorded: Path) -> None:
    (recorded / "results").rename(recorded / "elsewhere")
    assert lbscale("status", "mine.py", "--json").json["n_done"] == 0
    assert lbscale("status", "mine.py", "--results", "elsewhere", "--json").json["n_done"] == 1


def test_results_are_the_run_table(lbscale: Command, recorded: Path) -> None:
    key = run_key(load_study("mine.py").runs[2])
    (row,) = lbscale("results", "mine.py", "--json").json
    assert (row["key"], row["loss"], row["learning_rate"], row["diverged_tokens"]) == (key, 5.0, 0.2, None)
    table = pd.read_csv(io.StringIO(lbscale("results", "mine.py", "--csv").out))
    assert table["key"].tolist() == [key]
    assert len(lbscale("results", "mine.py").out.splitlines()) == 2


def test_a_broken_run_is_left_out_with_a_warning_and_planned_again(lbscale: Command, recorded: Path) -> None:
    runs = load_study("mine.py").runs
    store = Store(recorded / "results" / "mine")
    store.write(runs[0], store.read(run_key(runs[2]))[1])
    path = store.root / "runs" / run_key(runs[2]) / "result.json"
    path.write_bytes(path.read_bytes().replace(b"5.0", b"4.0"))
    outcome = lbscale("results", "mine.py", "--json")
    assert [row["key"] for row in outcome.json] == [run_key(runs[0])]
    assert outcome.err.count("\n") == 1 and run_key(runs[2]) in outcome.err and "lbscale verify" in outcome.err
    outcome = lbscale("status", "mine.py", "--json")
    assert (outcome.json["n_done"], outcome.err.count("\n")) == (1, 1)
    assert lbscale("plan", "mine.py", "--json").json["n_runs"] == 3


@pytest.mark.parametrize("content", [b"x = = 1\n", b'"""caf\xe9"""\n', b"x = 1\0", b"# -*- coding: nope -*-\n"])
def test_a_module_that_cannot_be_read_is_listed_as_such(lbscale: Command, folder: Path, content: bytes) -> None:
    (folder / "experiments").mkdir()
    (folder / "experiments" / "broken.py").write_bytes(content)
    found = {each["name"]: each["question"] for each in lbscale("list", "--json").json}
    assert found["broken"].startswith("(no module that runs: ") and found["tour"].endswith("?")


def test_a_complaint_of_several_lines_is_one(lbscale: Command) -> None:
    outcome = lbscale("list", "a\nb")
    assert (outcome.code, outcome.err.count("\n")) == (2, 1)
