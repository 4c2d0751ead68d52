"""A changed byte or a cut anywhere in a run's folder is found, and costs no other run; in an object store."""

from __future__ import annotations

import dataclasses
import uuid
from collections.abc import Iterator

import pytest

from lbscale.errors import InputError
from lbscale.spec import Run, run_key
from lbscale.store import Result, Store, verify
from lbscale.store.record import seal

FILES = ("run.json", "result.json", "manifest.json")


@pytest.fixture
def store() -> Store:
    return Store(f"memory://{uuid.uuid4().hex}/study")


def flips(content: bytes) -> Iterator[bytes]:
    """Each byte changed in one bit, and each made white space."""
    for i, byte in enumerate(content):
        for other in {byte ^ (1 << i % 8), ord(" ")} - {byte}:
            yield content[:i] + bytes([other]) + content[i + 1 :]


def cuts(content: bytes) -> Iterator[bytes]:
    """Every beginning, and one byte too many."""
    yield from (content[:length] for length in range(len(content)))
    yield content + b"\n"


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("damage", [flips, cuts])
def test_damage_anywhere_is_found(store: Store, run: Run, result: Result, name: str, damage) -> None:
    other = dataclasses.replace(run, init_seed=9)
    store.write(run, result)
    store.write(other, result)
    key, path = run_key(run), f"runs/{run_key(run)}/{name}"
    content = store.files.read(path)
    for damaged in damage(content):
        store.files.write(path, damaged)
        assert store.checked_keys() == ([run_key(other)], [key])
        with pytest.raises(InputError) as caught:
            store.read(key)
        assert caught.value.field == "run" and store.files.path(f"runs/{key}") in str(caught.value)
    assert store.read(run_key(other)) == (other, result)
    store.write(run, result)
    assert store.checked_keys() == (sorted([key, run_key(other)]), [])


def test_a_whole_run_is_not_written_over(store: Store, run: Run, result: Result) -> None:
    store.write(run, result)
    store.write(run, dataclasses.replace(result, seconds=9.0))
    assert store.read(run_key(run)) == (run, result)


def test_a_run_under_another_key_is_refused(store: Store, run: Run, result: Result) -> None:
    store.write(run, result)
    for name in FILES:
        store.files.write(f"runs/other/{name}", store.files.read(f"runs/{run_key(run)}/{name}"))
    with pytest.raises(InputError, match=f"has the key {run_key(run)}"):
        store.read("other")


@pytest.mark.parametrize("name", ["run.json", "result.json"])
@pytest.mark.parametrize("content", [b"{", b"\xff", b"[1]", b"7", b"[" * 100_000])
def test_a_whole_record_that_is_no_run_is_refused(
    store: Store, run: Run, result: Result, name: str, content: bytes
) -> None:
    store.write(run, result)
    folder = f"runs/{run_key(run)}"
    seal(store.files, folder, {each: store.files.read(f"{folder}/{each}") for each in FILES[:2]} | {name: content})
    with pytest.raises(InputError, match=f"{name} holds no JSON object"):
        store.read(run_key(run))
    (finding,) = verify(store.files).findings
    assert finding.broken and finding.name == folder
