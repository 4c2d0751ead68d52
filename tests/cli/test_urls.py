"""A results folder may be a URL wherever no page is written."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from lbscale.spec import run_key
from lbscale.store import Result, Store, below
from lbscale.study import load_study

Command = Callable[..., Any]
RESULT = Result("finished", 5.0, 0.1, 7.2, "validation", 1024, 1000, 0.1, False, None, 1.0, (), {})


@pytest.fixture
def url(folder: Path) -> str:
    """An object store in which one run of `mine` is recorded."""
    url = f"memory://{uuid.uuid4().hex}"
    Store(below(url, "mine")).write(load_study("mine.py").runs[0], RESULT)
    return url


def test_what_is_recorded_at_a_url_is_shown(lbscale: Command, url: str) -> None:
    assert lbscale("status", "mine.py", "--results", url, "--json").json["n_done"] == 1
    (row,) = lbscale("results", "mine.py", "--results", url, "--json").json
    assert row["key"] == run_key(load_study("mine.py").runs[0])
    assert lbscale("plan", "mine.py", "--results", url, "--no-timing", "--json").json["n_done"] == 1
    assert lbscale("verify", url, "--json").json["n_runs"] == 1
    assert lbscale("gc", url).out == "removed: 0 bytes\n"


@pytest.mark.parametrize("verb", ["run", "report"])
def test_a_page_at_a_url_is_refused(lbscale: Command, url: str, verb: str) -> None:
    outcome = lbscale(verb, "mine.py", "--results", url)
    assert outcome.code == 2 and outcome.err.count("\n") == 1 and "a page needs a folder" in outcome.err


def test_a_url_that_nothing_reads_is_refused(lbscale: Command) -> None:
    outcome = lbscale("status", "mine.py", "--results", "nowhere://bucket")
    assert outcome.code == 2 and outcome.err.count("\n") == 1 and "results: 'nowhere://bucket" in outcome.err


@pytest.mark.parametrize(
    ("root", "path"),
    [
        ("memory://", "memory://mine"),
        ("s3://bucket/a/", "s3://bucket/a/mine"),
        ("results", "results/mine"),
        ("/", "/mine"),
        (Path("a"), "a/mine"),
    ],
)
def test_paths_below(root: str | Path, path: str) -> None:
    assert below(root, "mine") == path
