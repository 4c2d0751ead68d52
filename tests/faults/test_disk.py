"""A disk that is full in the middle of a write, and one that is read-only: one line, and nothing recorded is lost."""

from __future__ import annotations

import errno
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from full_disk import carry, study

from lbscale.store import Files

ENOUGH = 64 << 20
SIZES = (ENOUGH, 60_000, 250_000)
N_POINTS = 4
SCRIPT = Path(__file__).parent / "full_disk.py"


@pytest.fixture(scope="module")
def mounted(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    """What became of the study on disks of these sizes, and what was said of a read-only one."""
    unshare = shutil.which("unshare")
    if unshare is None or subprocess.run([unshare, "-rm", "mount", "-t", "tmpfs", "tmpfs", "/mnt"]).returncode:
        pytest.skip("mounting a small file system takes `unshare -rm`, which is not allowed here")
    path = os.pathsep.join(str(Path(entry).resolve()) for entry in sys.path if entry)
    words = [str(tmp_path_factory.mktemp("mounted")), *map(str, SIZES)]
    command = [unshare, "-rm", sys.executable, str(SCRIPT), *words]
    done = subprocess.run(command, capture_output=True, text=True, env={**os.environ, "PYTHONPATH": path})
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout)


def test_a_full_disk_costs_nothing_that_is_recorded(
    mounted: list[dict[str, Any]], record_fault: Callable[[str], None]
) -> None:
    enough, *full = mounted[:-1]
    assert enough["code"] == 0 and {each["code"] for each in full} == {1}
    for each in full:
        assert each["table"] == enough["table"]
        assert "No space left on device; finished runs are kept" in each["err"]
        record_fault("full disk: a small file system")


def test_a_read_only_folder_is_refused_before_anything_is_trained(
    mounted: list[dict[str, Any]], record_fault: Callable[[str], None]
) -> None:
    said = mounted[-1]["err"]
    assert said.startswith("lbscale: results: ") and said.endswith("a folder that can be written is needed\n")
    assert said.count("\n") == 1
    record_fault("read-only results folder")


class Disk:
    """Makes every write below a study's folder fail once so many bytes are written: a file is cut short there."""

    def __init__(self) -> None:
        self.n_left = ENOUGH
        self.n_written = 0
        self.fails = False

    def room(self, content: bytes) -> int:
        """How much of the content still goes on the disk."""
        fits = min(len(content), self.n_left)
        self.n_left -= fits
        self.n_written += fits
        self.fails |= fits < len(content)
        return fits


@pytest.fixture
def disk(monkeypatch: pytest.MonkeyPatch) -> Iterator[Disk]:
    """A disk with room, until it is told otherwise."""
    disk = Disk()
    write, create = Files.write, Files.create

    def full(files: Files, name: str) -> OSError:
        return OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), files.path(name))

    def write_some(files: Files, name: str, content: bytes) -> None:
        fits = disk.room(content)
        write(files, name, content[:fits])
        if fits < len(content):
            raise full(files, name)

    def create_all_or_none(files: Files, name: str, content: bytes) -> bool:
        if disk.room(content) < len(content):
            raise full(files, name)
        return create(files, name, content)

    monkeypatch.setattr(Files, "write", write_some)
    monkeypatch.setattr(Files, "create", create_all_or_none)
    yield disk


@pytest.fixture(scope="module")
def undisturbed() -> dict[str, Any]:
    """What the study comes to, and the bytes that it writes, by name; filled by the first that needs it."""
    return {}


@pytest.mark.parametrize("number", range(N_POINTS))
def test_writes_that_fail_anywhere_cost_nothing_that_is_recorded(
    number: int, tmp_path: Path, disk: Disk, undisturbed: dict[str, Any], record_fault: Callable[[str], None]
) -> None:
    if not undisturbed:
        undisturbed["table"] = carry(study(tmp_path / "alone"), lambda: None)["table"]
        undisturbed["n_bytes"] = disk.n_written

    def make_space() -> None:
        disk.n_left = ENOUGH

    disk.n_left, disk.fails = int(np.random.default_rng(number).integers(undisturbed["n_bytes"])), False
    found = carry(study(tmp_path / "full"), make_space)
    assert found["table"] == undisturbed["table"]
    # A heartbeat that cannot be written is passed over, and by then everything may be recorded.
    assert found["code"] == (1 if disk.fails else 0) or found["n_recorded"] == 7
    record_fault("full disk: a write that fails")
