"""One case, and how its outcome is judged: answered sensibly, or refused with code 2 and one line."""

from __future__ import annotations

import contextlib
import io
import os
import re
import signal
import sys
import traceback
import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from lbscale.cli.main import main
from lbscale.errors import InputError

SECONDS_ALLOWED = 20
NOT_A_NUMBER = re.compile(r"\b(nan|NaN|inf|Infinity)\b")
SECRET = "canary"  # a file or folder that only executed input would make


@dataclass(frozen=True)
class Case:
    """Words of a command line in a folder with `files`, or, without words, a `call` that gives nothing or raises
    InputError.

    `writes` names the files that an answer may make; `detail` is what a reader needs to understand a fault.
    """

    kind: str
    words: tuple[str, ...] = ()
    files: Mapping[str, bytes] = field(default_factory=dict)
    call: Callable[[], Any] | None = None
    writes: tuple[str, ...] = ()
    detail: str = ""


@dataclass(frozen=True)
class Outcome:
    """What a case came to: exit code, both streams, and what is wrong with that, if anything."""

    code: int
    out: str
    err: str
    fault: str | None = None


class TooSlow(BaseException):
    """The case took longer than it may; no `except Exception` on its way stops it."""


def run_case(case: Case, folder: Path) -> Outcome:
    """The outcome of the case in the empty `folder`, in this process."""
    for name, content in case.files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    before = _listing(folder)
    out, err = io.TextIOWrapper(io.BytesIO(), "utf-8"), io.TextIOWrapper(io.BytesIO(), "utf-8", "backslashreplace")
    crash = ""
    with _at(folder), _as_a_process_warns(), contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            with _within(SECONDS_ALLOWED):
                code = _result(case)
        except TooSlow:
            code, crash = 1, f"slower than {SECONDS_ALLOWED} s: {traceback.format_exc()}"
        except Exception:
            code, crash = 1, traceback.format_exc()
    out.flush()
    err.flush()
    said = [stream.buffer.getvalue().decode() for stream in (out, err)]  # type: ignore[attr-defined]
    changed = sorted({name for name, _ in _listing(folder).items() - before.items()})
    changed += [SECRET] if (folder / SECRET).is_dir() else []
    return Outcome(code, *said, fault=crash or fault_of(case, Outcome(code, *said), changed))


def fault_of(case: Case, outcome: Outcome, changed: list[str]) -> str | None:
    """What is wrong with an outcome that left `changed` files behind; None where nothing is."""
    lines = outcome.err.splitlines()
    if SECRET in changed:
        return "the input was executed"
    if outcome.code == 0:
        if [line for line in lines if not line.startswith("lbscale: warning: ")]:
            return f"stderr of an answer: {outcome.err[-300:]}"
        if set(changed) - set(case.writes):
            return f"an answer wrote {changed}"
        said = NOT_A_NUMBER.search(outcome.out)
        return f"an answer says {said.group()}" if said else None
    if outcome.code != 2:
        return f"exit code {outcome.code}: {outcome.err[-300:]}"
    if len(lines) != 1 or not lines[0].startswith("lbscale") or not outcome.err.endswith("\n"):
        return f"not one line of lbscale: {outcome.err[-600:]!r}"
    if not lines[0].isprintable():
        return f"control characters: {lines[0]!r}"
    if len(lines[0]) > 2000:
        return f"a line of {len(lines[0])} characters: {lines[0][:300]!r}"
    if outcome.out:
        return f"stdout of a refusal: {outcome.out[:300]!r}"
    return f"a refusal wrote {changed}" if changed else None


def _result(case: Case) -> int:
    if case.call is None:
        try:
            return main(case.words)
        except SystemExit as leaving:
            return int(leaving.code or 0)
    try:
        case.call()
    except InputError as error:
        print(f"lbscale: {error}", file=sys.stderr)
        return 2
    return 0


def _listing(folder: Path) -> dict[str, bytes]:
    paths = [path for path in folder.rglob("*") if path.is_file() and "__pycache__" not in path.parts]
    return {str(path.relative_to(folder)): path.read_bytes() for path in paths}


@contextlib.contextmanager
def _at(folder: Path) -> Iterator[None]:
    old = Path.cwd()
    os.chdir(folder)
    try:
        yield
    finally:
        os.chdir(old)


@contextlib.contextmanager
def _as_a_process_warns() -> Iterator[None]:
    """Warnings go to stderr under the filters of a fresh interpreter, whatever the test runner set."""
    with warnings.catch_warnings():
        warnings.resetwarnings()
        for category in (DeprecationWarning, PendingDeprecationWarning, ImportWarning, ResourceWarning):
            warnings.simplefilter("ignore", category)
        warnings.showwarning = lambda *said, **_: print(warnings.formatwarning(*said[:4]), file=sys.stderr)
        yield


@contextlib.contextmanager
def _within(seconds: int) -> Iterator[None]:
    def late(*_: Any) -> None:
        raise TooSlow

    old = signal.signal(signal.SIGALRM, late)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, old)
