"""The same behaviour on a local disk and in an object store (fsspec's, in memory)."""

import uuid
from concurrent.futures import ThreadPoolExecutor

import pytest

from lbscale.store.files import Files


@pytest.fixture(params=["local", "memory"])
def files(request, tmp_path):
    return Files(tmp_path / "a folder" if request.param == "local" else f"memory://{uuid.uuid4().hex}")


def test_reads_what_was_written(files):
    files.write("runs/a/x.json", b"one")
    files.write("runs/a/x.json", b"two")
    files.write("runs/b", b"")
    assert files.read("runs/a/x.json") == b"two"
    assert files.exists("runs/a") and not files.exists("runs/c")
    assert files.names("runs") == ["a", "b"] and files.names() == ["runs"] and files.names("absent") == []
    files.write("runs/a/deep/y", b"3")
    assert files.walk("runs/a") == ["deep/y", "x.json"]


def test_what_is_absent(files):
    with pytest.raises(FileNotFoundError):
        files.read("absent")
    files.remove("absent")


def test_removes_files_and_folders(files):
    files.write("runs/a/x", b"1")
    files.write("runs/b/x", b"1")
    files.remove("runs/a")
    files.remove("runs/b/x")
    assert not files.exists("runs/a") and not files.exists("runs/b/x")


def test_one_of_many_creates(files):
    with ThreadPoolExecutor(8) as pool:
        won = list(pool.map(lambda i: files.create("claims/a", str(i).encode()), range(64)))
    assert sum(won) == 1
    assert files.read("claims/a") == str(won.index(True)).encode()


def test_paths_are_full(tmp_path):
    assert Files(tmp_path).path("runs/a") == f"{tmp_path}/runs/a"
    assert Files("memory://somewhere").path("runs") == "memory://somewhere/runs"
