"""The same behaviour on a local disk and in an object store (fsspec's, in memory)."""

import errno
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


def test_blocks_make_up_the_content(files):
    content = bytes(range(256)) * (10 << 10)
    files.write("states/a", content)
    blocks = list(files.blocks("states/a"))
    assert b"".join(blocks) == content and len(blocks) == 3
    with pytest.raises(FileNotFoundError):
        list(files.blocks("absent"))


def test_folders_that_hold_a_file(files):
    for name in ("b/manifest.json", "a/manifest.json", "a/run.json", "c/run.json", "c/deep/manifest.json"):
        files.write(f"runs/{name}", b"")
    assert files.holding("runs", "manifest.json") == ["a", "b"]
    assert files.holding("absent", "manifest.json") == []
    assert files.is_folder("runs/c/deep") and not files.is_folder("runs/c/run.json") and not files.is_folder("absent")


def test_a_full_disk_leaves_no_file_behind_and_is_named(tmp_path, monkeypatch):
    """A file that was created and never filled would tell others that it is taken."""
    files = Files(tmp_path)
    files.create("claims/a", b"")

    def full(path, mode="r", **options):
        return _Full(real(path, mode, **options)) if mode == "xb" else real(path, mode, **options)

    real = open
    monkeypatch.setattr("builtins.open", full)
    with pytest.raises(OSError, match="claims/b") as caught:
        files.create("claims/b", b"owner")
    assert caught.value.errno == errno.ENOSPC
    assert files.names("claims") == ["a"]
    with pytest.raises(OSError, match="/dev/full"):
        Files("/dev").write("full", b"x")


class _Full:
    """A file whose disk is full."""

    def __init__(self, file):
        self.file = file

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self.file.close()

    def write(self, content):
        raise OSError(errno.ENOSPC, "No space left on device")


def test_paths_are_full(tmp_path):
    assert Files(tmp_path).path("runs/a") == f"{tmp_path}/runs/a"
    assert Files("memory://somewhere").path("runs") == "memory://somewhere/runs"
