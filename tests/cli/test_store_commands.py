"""The commands about what is recorded: verify, diff."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from lbscale.cli.store_commands import warn_of_broken
from lbscale.spec import Run, run_key
from lbscale.store import Result, Store
from lbscale.study import load_study

Command = Callable[..., Any]


@pytest.fixture
def runs(folder: Path, result: Result) -> list[Run]:
    """The runs of `mine`, all recorded; the fourth has diverged."""
    runs = list(load_study("mine.py").runs)
    store = Store(folder / "results" / "mine")
    for run in runs[:3]:
        store.write(run, result)
    store.write(runs[3], dataclasses.replace(result, status="diverged", loss=None, loss_se=None))
    return runs


def damage(folder: Path, run: Run) -> Path:
    """Change a byte of a run's result."""
    path = folder / "results" / "mine" / "runs" / run_key(run) / "result.json"
    path.write_bytes(path.read_bytes().replace(b"5.0", b"4.0"))
    return path


def test_verify_counts_what_is_whole(lbscale: Command, runs: list[Run]) -> None:
    document = lbscale("verify", "--json").json
    assert (document["n_studies"], document["n_runs"], document["findings"]) == (1, 4, [])
    assert lbscale("verify").out == "studies 1, runs 4, states 0, registrations 0; broken 0, unfinished 0\n"
    assert lbscale("verify", "results/mine", "--json").json["n_runs"] == 4


def test_verify_of_no_study_is_no_error(lbscale: Command, folder: Path) -> None:
    assert lbscale("verify", ".").out.startswith("studies 0, runs 0")


def test_verify_names_what_is_broken_and_removes_it_when_asked(lbscale: Command, folder: Path, runs: list[Run]) -> None:
    path = damage(folder, runs[1])
    outcome = lbscale("verify")
    assert (outcome.code, outcome.err) == (1, "")
    problem, offer, counts = outcome.out.splitlines()
    assert problem.startswith(f"broken run: {path} does not match its checksum; ") and "trains it again" in problem
    assert "`lbscale verify --remove`" in offer and counts.endswith("broken 1, unfinished 0")
    outcome = lbscale("verify", "--remove", "--json")
    assert outcome.code == 1
    (finding,) = json.loads(outcome.out)["findings"]
    assert (finding["study"], finding["kind"], finding["state"], finding["removed"]) == ("mine", "run", "broken", True)
    assert not path.parent.exists()
    assert lbscale("verify", "--json").json["n_runs"] == 3


def test_verify_leaves_what_is_unfinished(lbscale: Command, folder: Path, runs: list[Run]) -> None:
    left = folder / "results" / "mine" / "runs" / run_key(runs[0])
    (left / "manifest.json").unlink()
    outcome = lbscale("verify", "results/mine", "--remove", "--json")
    (finding,) = outcome.json["findings"]
    assert (finding["study"], finding["state"], finding["removed"]) == ("mine", "unfinished", False)
    assert (left / "result.json").exists()


def test_diff_names_fields_and_results(lbscale: Command, runs: list[Run]) -> None:
    first, last = run_key(runs[0]), run_key(runs[3])
    document = lbscale("diff", first, last, "--json").json
    assert document == {
        "runs": [first, last],
        "same": False,
        "fields": {"batch.batch_size_tokens": [64, 128], "learning_rate": [0.1, 0.2]},
        "results": {"status": ["finished", "diverged"], "loss": [5.0, None], "n_tokens": [1024, 1024]},
    }
    assert [line.split() for line in lbscale("diff", first, last).out.splitlines()] == [
        [first, last],
        ["batch.batch_size_tokens", "64", "128"],
        ["learning_rate", "0.1", "0.2"],
        ["status", "finished", "diverged"],
        ["loss", "5.0", "-"],
        ["n_tokens", "1024", "1024"],
    ]


def test_diff_takes_beginnings_of_keys_and_paths(lbscale: Command, folder: Path, runs: list[Run]) -> None:
    keys = [run_key(run) for run in runs[:2]]
    expected = lbscale("diff", *keys, "--json").json
    beginning = next(
        keys[0][:n] for n in range(1, 17) if sum(run_key(run).startswith(keys[0][:n]) for run in runs) == 1
    )
    path = f"results/mine/runs/{keys[1]}/run.json"
    assert lbscale("diff", beginning, path, "--results", "results/mine", "--json").json == expected
    (folder / "copy.json").write_bytes((folder / path).read_bytes())
    assert lbscale("diff", beginning, "copy.json", "--json").json == {**expected, "results": None}


def test_diff_of_a_run_with_itself(lbscale: Command, folder: Path, runs: list[Run], result: Result) -> None:
    key = run_key(runs[0])
    assert lbscale("diff", key, key).out == "the runs are the same\n"
    Store(folder / "elsewhere" / "mine").write(runs[0], dataclasses.replace(result, loss=4.5))
    paths = [f"{results}/mine/runs/{key}/run.json" for results in ("results", "elsewhere")]
    assert lbscale("diff", *paths).out.splitlines()[0] == "the runs are the same"
    assert lbscale("diff", *paths, "--json").json["results"]["loss"] == [5.0, 4.5]


def test_diff_refuses_a_beginning_of_several_keys_and_a_broken_run(
    lbscale: Command, folder: Path, runs: list[Run]
) -> None:
    key = run_key(runs[0])
    outcome = lbscale("diff", "", key)
    assert outcome.code == 2 and "4 begin so: " in outcome.err
    damage(folder, runs[0])
    outcome = lbscale("diff", key, key)
    assert outcome.code == 2 and f"run: '{key}'" in outcome.err and outcome.err.count("\n") == 1


def test_one_line_names_what_is_broken(folder: Path, runs: list[Run], capsys: pytest.CaptureFixture[str]) -> None:
    store = Store(folder / "results" / "mine")
    warn_of_broken(store)
    assert capsys.readouterr() == ("", "")
    damage(folder, runs[1])
    warn_of_broken(store)
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("lbscale: warning: 1 recorded run is broken and left out: `lbscale verify ")
    assert line.endswith(run_key(runs[1]))
