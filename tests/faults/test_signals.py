"""Signals to real processes: what is under way is saved, and the next process goes on from it."""

from __future__ import annotations

import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from ended.account import Account, junk, outcome
from ended.process import seconds_to_end, start
from ended.studies import STUDIES

from lbscale.clock import trunk_key
from lbscale.store import Claims, Store, Worker, listed_claims
from lbscale.store.workers import Owner
from lbscale.study import load_study

SIGTERM_LINE = "lbscale: stopped by SIGTERM; what was under way is saved, and the same command goes on from there"
ELSEWHERE = Owner("0" * 12, "another host", None, None, 1, None)


class Study:
    """A study, the processes that train it, and where they write."""

    def __init__(self, folder: Path, cache: Path) -> None:
        self.module, self.results, self._folder, self._cache = folder / "trunk.py", folder / "results", folder, cache
        self.module.write_text(STUDIES["trunk"])
        self.store, self.account = Store(self.results / "trunk"), Account(load_study(str(self.module)).runs)
        self.log, self.said = folder / "log", folder / "said"
        self.processes: list[subprocess.Popen[bytes]] = []

    def start(self, *options: str, results: str = "results") -> subprocess.Popen[bytes]:
        """Start a worker that writes a new log."""
        self.log = self._folder / f"log{len(self.processes)}"
        self.said = self._folder / f"said{len(self.processes)}"
        options = ("--worker", *options)
        process = start(self.module, self._folder / results, self.log, self._cache, *options, said=self.said)
        self.processes.append(process)
        return process

    def lines(self) -> list[str]:
        """What the last worker said of itself, and of errors."""
        lines = self.said.read_text().splitlines()
        return [line for line in lines if not line.startswith(("training ", "runs ", "programs: "))]

    def goes_on(self) -> None:
        """Finish the study: nothing that was saved is trained again, and all is as in a study that was left alone."""
        left = self.account.left(self.store)
        seconds_to_end(self.start())
        assert self.account.trained(self.log).keys() <= left
        seconds_to_end(self.start(results="alone"))
        assert outcome(self.module, self.results) == outcome(self.module, self._folder / "alone")
        assert junk(self.store) == []


@pytest.fixture
def study(tmp_path: Path, cache: Path) -> Iterator[Study]:
    """A study that nobody has begun; what still runs at the end is killed."""
    study = Study(tmp_path, cache)
    yield study
    for process in study.processes:
        process.kill()
        process.wait()


def wait_for(condition: Callable[[], Any], process: subprocess.Popen[bytes]) -> None:
    """Wait until something is so while a process runs."""
    while not condition():
        assert process.poll() is None
        time.sleep(0.01)


def trains(study: Study, n_lines: int = 20) -> Callable[[], bool]:
    """Whether so many calls were begun."""
    return lambda: study.log.exists() and study.log.read_text().count("\n") >= n_lines


def is_left_to_others(study: Study) -> bool:
    """Whether no claim is held, and no worker and no half of a checkpoint is there."""
    held = [claim for claim in listed_claims(study.store.files) if claim.owner is not None]
    states = study.store.files.names("states")
    whole = [name for name in states if study.store.files.exists(f"states/{name}/manifest.json")]
    return not held and study.store.files.names("workers") == [] and states == whole


def test_sigterm_saves_and_exits_with_0(study: Study, record_fault: Callable[[str], None]) -> None:
    process = study.start()
    wait_for(trains(study), process)
    process.send_signal(signal.SIGTERM)
    assert process.wait() == 0
    assert study.lines() == [SIGTERM_LINE]
    assert is_left_to_others(study) and study.store.files.names("states")
    # What was begun and is not saved is one call at most, since all stop at the next update.
    begun = study.account.trained(study.log)
    assert len(begun.keys() & study.account.left(study.store)) == 0
    study.goes_on()
    record_fault("SIGTERM while training")


def test_sigint_saves_and_exits_with_130(study: Study, record_fault: Callable[[str], None]) -> None:
    process = study.start()
    wait_for(trains(study), process)
    process.send_signal(signal.SIGINT)
    assert process.wait() == 130
    assert study.lines() == [SIGTERM_LINE.replace("SIGTERM", "SIGINT")]
    assert is_left_to_others(study) and study.store.files.names("states")
    study.goes_on()
    record_fault("SIGINT while training")


@pytest.mark.parametrize("seconds_between", [0.0, 0.02, 0.1])
def test_sigint_twice_stops_at_once(study: Study, record_fault: Callable[[str], None], seconds_between: float) -> None:
    process = study.start()
    wait_for(trains(study), process)
    process.send_signal(signal.SIGINT)
    time.sleep(seconds_between)
    process.send_signal(signal.SIGINT)
    assert process.wait() == 130
    (line,) = study.lines()
    assert line.startswith(("lbscale: interrupted; ", "lbscale: stopped by SIGINT; "))
    study.goes_on()
    record_fault("SIGINT twice while training")


def test_sigterm_while_programs_are_compiled(study: Study, record_fault: Callable[[str], None]) -> None:
    process = study.start()
    wait_for(lambda: study.store.files.exists("layout/base-1.json"), process)
    process.send_signal(signal.SIGTERM)
    assert process.wait() == 0
    assert study.lines() == [SIGTERM_LINE]
    assert is_left_to_others(study) and study.log.read_text() == ""
    study.goes_on()
    record_fault("SIGTERM while compiling")


def test_sigterm_while_others_train(study: Study, record_fault: Callable[[str], None]) -> None:
    with Worker(study.store.files, owner=ELSEWHERE) as other:
        claims, trees = Claims(study.store.files, other), trees_of(study)
        assert all(map(claims.acquire, trees))
        process = study.start()
        wait_for(lambda: len(study.store.files.names("workers")) == 2, process)
        time.sleep(2)
        process.send_signal(signal.SIGTERM)
        assert process.wait() == 0
        assert study.lines() == [SIGTERM_LINE]
        assert all(map(claims.holds, trees)) and study.log.read_text() == ""
        for tree in trees:
            claims.release(tree)
    study.goes_on()
    record_fault("SIGTERM while waiting")


def trees_of(study: Study) -> list[str]:
    """The trees of the study's plan."""
    return sorted({trunk_key(run) for run in study.account.runs.values()})
