"""What is kept of a corpus holds as long as its files do, and whole or not at all."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from lbscale.cache import cache_folder
from lbscale.data import corpus_spec, load, n_train_rows, source
from lbscale.data.standard_library import listing, read
from lbscale.data.summary import Summary, kept_summary


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache of the user's."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return cache_folder("corpora")


@pytest.fixture
def library(tmp_path: Path) -> Path:
    """A library of two modules."""
    folder = tmp_path / "library"
    folder.mkdir()
    (folder / "one.py").write_text("1 = 1\n")
    (folder / "two.py").write_text("2 = 2\n")
    return folder


def counted(library: Path) -> tuple[Callable[[], Summary], list[int]]:
    """What reads a library's summary, and a list that grows with every reading."""
    readings: list[int] = []

    def summary() -> Summary:
        readings.append(1)
        documents = read(library)
        return Summary(documents.fingerprint, tuple(map(len, documents.train)))

    return summary, readings


def test_an_unchanged_library_is_read_once(cache: Path, library: Path) -> None:
    summary, readings = counted(library)
    first = kept_summary(listing(library), summary)
    assert kept_summary(listing(library), summary) == first == summary()
    assert len(readings) == 2 and len(list(cache.iterdir())) == 1


@pytest.mark.parametrize("change", ["content", "name", "more", "less", "below"])
def test_a_changed_library_is_read_again(cache: Path, library: Path, change: str) -> None:
    summary, _ = counted(library)
    before = kept_summary(listing(library), summary)
    one = library / "one.py"
    if change == "content":
        one.write_text("1 = 3\n")
        os.utime(one, ns=(0, one.stat().st_mtime_ns + 1))
    elif change == "name":
        one.rename(library / "three.py")
    elif change == "more":
        (library / "three.py").write_text("3 = 3\n")
    elif change == "less":
        one.unlink()
    else:
        (library / "package").mkdir()
        one.rename(library / "package" / "one.py")
    after = kept_summary(listing(library), summary)
    assert after == summary() != before


def test_a_summary_that_is_damaged_anywhere_is_found_out_again(cache: Path, library: Path) -> None:
    summary, _ = counted(library)
    expected = kept_summary(listing(library), summary)
    (path,) = cache.iterdir()
    content = path.read_bytes()
    for at in range(len(content)):
        for damaged in (content[:at], content[:at] + bytes([content[at] ^ 1]) + content[at + 1 :]):
            path.write_bytes(damaged)
            assert kept_summary(listing(library), summary) == expected


def test_a_cache_that_cannot_be_written_is_done_without(cache: Path, library: Path) -> None:
    summary, readings = counted(library)
    cache.parent.parent.write_text("no folder")
    assert kept_summary(listing(library), summary) == kept_summary(listing(library), summary)
    assert len(readings) == 2


def test_rows_of_the_embedded_corpus_are_those_that_are_packed(cache: Path) -> None:
    source._summary.cache_clear()
    spec = corpus_spec(seq_len=64)
    assert spec.fingerprint == read().fingerprint
    assert n_train_rows(spec) == len(load(spec).train)
    source._summary.cache_clear()
    assert corpus_spec(seq_len=64) == spec
