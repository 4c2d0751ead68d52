"""What the machine refuses ends with one line that names the file; whose fault it is tells the exit code."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from typing import Any

import pytest

from lbscale.cli import store_commands
from lbscale.store import Files

Command = Callable[..., Any]
KEPT = "finished runs are kept, and the same command goes on from them"


def refusing(number: int) -> Callable[[Any], None]:
    def handle(options: Any) -> None:
        raise OSError(number, os.strerror(number), "results/mine/x.json")

    return handle


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EMFILE, errno.ESTALE])
def test_a_condition_of_the_machine_has_code_one(
    lbscale: Command, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    monkeypatch.setattr(store_commands, "_verify", refusing(number))
    outcome = lbscale("verify")
    line = f"lbscale: results/mine/x.json: {os.strerror(number)}; {KEPT}\n"
    assert (outcome.code, outcome.out, outcome.err) == (1, "", line)


@pytest.mark.parametrize("number", [errno.EROFS, errno.EACCES, errno.ENOENT, errno.ENOTDIR, errno.ENAMETOOLONG])
def test_a_path_that_cannot_be_used_has_code_two(
    lbscale: Command, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    monkeypatch.setattr(store_commands, "_verify", refusing(number))
    outcome = lbscale("verify")
    kept = f"; {KEPT}" if number == errno.EROFS else ""
    line = f"lbscale: file: 'results/mine/x.json' cannot be used; {os.strerror(number)}{kept}\n"
    assert (outcome.code, outcome.out, outcome.err) == (2, "", line)


def test_a_full_disk_is_named(lbscale: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    """The system's own error of a failed write has no file name."""
    monkeypatch.setattr(store_commands, "_verify", lambda options: Files("/dev").write("full", b"x"))
    outcome = lbscale("verify")
    assert (outcome.code, outcome.err) == (1, f"lbscale: /dev/full: {os.strerror(errno.ENOSPC)}; {KEPT}\n")


def test_an_error_without_a_number_is_one_line(lbscale: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    """As object stores raise them."""

    def handle(options: Any) -> None:
        raise OSError("the bucket\nis away")

    monkeypatch.setattr(store_commands, "_verify", handle)
    outcome = lbscale("verify")
    assert (outcome.code, outcome.err) == (1, f"lbscale: the bucket is away; {KEPT}\n")
