"""A record is whole, or its check names what is wrong; on a local disk and in an object store."""

from __future__ import annotations

import uuid
from pathlib import Path

import pytest

from lbscale.store.files import Files
from lbscale.store.record import MANIFEST, dump, record_folders, record_problems, seal

CONTENTS = {"index.json": b'{"step": 3}', "arrays/0": bytes(range(256)), "arrays/deep/1": b""}


@pytest.fixture(params=["local", "memory"])
def files(request: pytest.FixtureRequest, tmp_path: Path) -> Files:
    return Files(tmp_path if request.param == "local" else f"memory://{uuid.uuid4().hex}")


def test_what_is_sealed_has_no_problems(files: Files) -> None:
    seal(files, "states/a", CONTENTS)
    assert record_problems(files, "states/a") == []
    assert {name: files.read(f"states/a/{name}") for name in CONTENTS} == CONTENTS


def test_files_that_are_there_are_sealed_alike(files: Files) -> None:
    """By their names, read back in blocks: the manifest is that of the same contents."""
    large = {**CONTENTS, "arrays/2": bytes(3 << 20) + b"end"}
    seal(files, "states/a", large)
    for name, content in large.items():
        files.write(f"states/b/{name}", content)
    seal(files, "states/b", reversed(list(large)))
    assert files.read(f"states/b/{MANIFEST}") == files.read(f"states/a/{MANIFEST}")


def test_without_a_manifest_it_is_unfinished(files: Files) -> None:
    files.write("states/a/arrays/0", b"0")
    (problem,) = record_problems(files, "states/a")
    assert problem == f"{files.path('states/a')} is unfinished: it has no manifest.json"


def test_each_damaged_file_is_named(files: Files) -> None:
    seal(files, "states/a", CONTENTS | {"arrays/3": b"3"})
    files.write("states/a/arrays/0", bytes(range(256)) + b"\n")
    files.write("states/a/arrays/deep/1", b"x")
    files.remove("states/a/index.json")
    files.write("states/a/not in the manifest", b"")
    folder = files.path("states/a")
    assert sorted(record_problems(files, "states/a")) == [
        f"{folder}/arrays/0 does not match its checksum",
        f"{folder}/arrays/deep/1 does not match its checksum",
        f"{folder}/index.json is missing",
    ]


@pytest.mark.parametrize(
    "manifest",
    [
        b"",
        b"{",
        b"[]\n",
        b"{}\n",
        b"\xff\xfe\x00",
        dump({"index.json": 3}),
        dump({"index.json": {}}),
        dump({"index.json": "0"})[:-1],
        dump({"index.json": "0"}) + b"\n",
    ],
)
def test_a_manifest_is_the_canonical_dump_of_names_and_digests(files: Files, manifest: bytes) -> None:
    seal(files, "states/a", CONTENTS)
    files.write(f"states/a/{MANIFEST}", manifest)
    assert record_problems(files, "states/a") == [f"{files.path('states/a')}/manifest.json is not as it was written"]


def test_a_name_that_is_a_folder_is_a_missing_file(files: Files) -> None:
    seal(files, "states/a", CONTENTS)
    files.write(f"states/a/{MANIFEST}", dump({"arrays/deep": "0", "index.json/x": "0"}))
    assert [problem.rpartition(" is ")[2] for problem in record_problems(files, "states/a")] == ["missing"] * 2


def test_record_folders_are_found_at_any_depth(files: Files) -> None:
    seal(files, "states/a", CONTENTS)
    seal(files, "states/b/10", CONTENTS)
    files.write("states/b/20/arrays/0", b"")  # beside a finished one: its own folder is not known
    files.write("states/c/arrays/0", b"")
    files.write("states/file", b"")
    assert record_folders(files, "states") == ["a", "b/10", "c"]
    assert record_folders(files, "absent") == []
