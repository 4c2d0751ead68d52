"""A process that ends at any operation on files leaves a run whole or absent, and the next one completes it."""

from __future__ import annotations

import dataclasses
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from lbscale.errors import InputError
from lbscale.spec import Run, run_key
from lbscale.store import Result, Store
from lbscale.store.files import Files

DOCUMENT = {"schema": 1, "runs": ["text " * 50]}


class Killed(BaseException):
    """The process ends here."""


class Interrupted(Files):
    """Files whose `nth` writing operation writes `share` of its content and ends the process."""

    def __init__(self, root: Any, nth: int, share: float) -> None:
        super().__init__(root)
        self.left, self.share = nth, share

    def _end(self, name: str, content: bytes) -> None:
        self.left -= 1
        if self.left < 0:
            if self.share >= 0:
                super().write(name, content[: int(self.share * len(content))])
            raise Killed

    def write(self, name: str, content: bytes) -> None:
        self._end(name, content)
        super().write(name, content)

    def create(self, name: str, content: bytes) -> bool:
        self._end(name, content)
        return super().create(name, content)

    def remove(self, name: str) -> None:
        self.left -= 1
        if self.left < 0:
            raise Killed
        super().remove(name)


@pytest.fixture(params=["local", "memory"])
def root(request: pytest.FixtureRequest, tmp_path: Path) -> Any:
    return tmp_path / "study" if request.param == "local" else f"memory://{uuid.uuid4().hex}"


def interruptions(root: Any, share: float, act: Callable[[Store], Any]) -> int:
    """Act on the same folder under ever later interruptions until one comes too late; how many came in time."""
    for n in range(100):
        store = Store(f"{root}/{n}")
        store.files = Interrupted(f"{root}/{n}", n, share)
        try:
            act(store)
        except Killed:
            continue
        return n
    raise AssertionError


@pytest.mark.parametrize("share", [-1.0, 0.0, 0.5, 1.0])
@pytest.mark.parametrize("begun", ["absent", "broken"])
def test_a_run_is_whole_or_absent(root: Any, run: Run, result: Result, share: float, begun: str) -> None:
    key, other = run_key(run), dataclasses.replace(result, loss=3.0)

    def act(store: Store) -> None:
        if begun == "broken":
            Store(store.root).write(run, other)
            Files(store.root).write(f"runs/{key}/result.json", b"{")
        store.write(run, result)

    n = interruptions(root, share, act)
    assert n >= 3
    for i in range(n):
        store = Store(f"{root}/{i}")
        if key in store.whole_keys():
            assert store.read(key) == (run, result)
        else:
            with pytest.raises(InputError, match="run: "):
                store.read(key)
        store.write(run, result)
        assert Store(store.root).read(key) == (run, result)
        assert Store(store.root).checked_keys() == ([key], [])


@pytest.mark.parametrize("share", [-1.0, 0.0, 0.5, 1.0])
def test_a_registration_is_whole_or_absent(root: Any, share: float, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("time.sleep", lambda seconds: None)
    n = interruptions(root, share, lambda store: store.register("decision", DOCUMENT))
    assert n >= 2
    for i in range(n):
        store = Store(f"{root}/{i}")
        if store.registered("decision") is None:
            store.register("decision", DOCUMENT)
        assert Store(store.root).registered("decision") == DOCUMENT
        with pytest.raises(InputError, match="a decision is registered once"):
            store.register("decision", {})


def test_a_reader_waits_for_a_writer(root: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    Store(root).register("decision", DOCUMENT)
    store, path = Store(root), "registered/decision.json"
    content = store.files.read(path)
    lengths = iter([0, 20, len(content)])
    store.files.write(path, b"")
    monkeypatch.setattr("time.sleep", lambda seconds: store.files.write(path, content[: next(lengths)]))
    assert store.registered("decision") == DOCUMENT
    assert next(lengths, None) is None
