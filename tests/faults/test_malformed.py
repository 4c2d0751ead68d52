"""Malformed specs, tables, fits, modules and command lines are answered, or refused in one line; never a traceback."""

from __future__ import annotations

import functools
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from malformed.case import SECRET, Case, fault_of, run_case
from malformed.every import TURNS, make_case

N_CASES = 400
N_PROCESSES = 30


@pytest.mark.parametrize("number", range(N_CASES))
def test_a_malformed_input_is_answered_or_refused_in_one_line(
    number: int, tmp_path: Path, record_fault: Callable[[str], None]
) -> None:
    case = make_case(number)
    outcome = run_case(case, tmp_path)
    assert outcome.fault is None, f"{case.words} {case.detail}\n{outcome.fault}"
    record_fault(f"malformed input: {case.kind}")


@pytest.mark.parametrize("number", [n for n in range(N_CASES, 2 * N_CASES) if make_case(n).words][:N_PROCESSES])
def test_a_process_says_what_the_function_said(number: int, tmp_path: Path) -> None:
    case = make_case(number)
    here, there = tmp_path / "here", tmp_path / "there"
    here.mkdir()
    expected = run_case(case, here)
    found = _as_process(case, there)
    assert (found.returncode, found.stderr) == (expected.code, expected.err)
    if case.writes == ():
        assert found.stdout == expected.out


def _as_process(case: Case, folder: Path) -> subprocess.CompletedProcess[str]:
    for name, content in case.files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    folder.mkdir(exist_ok=True)
    path = os.pathsep.join(str(Path(entry).resolve()) for entry in sys.path if entry)
    words = [word.encode(errors="surrogateescape") for word in case.words]
    command = [sys.executable, "-c", "from lbscale.cli.main import entry; entry()", *words]
    environment = {**os.environ, "PYTHONPATH": path, "PYTHONUTF8": "1"}
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, env=environment, encoding="utf-8")


def test_every_kind_of_case_is_both_answered_and_refused_somewhere(tmp_path: Path) -> None:
    codes: dict[str, set[int]] = {}
    for number in range(100):
        folder = tmp_path / str(number)
        folder.mkdir()
        case = make_case(number)
        if case.kind != "experiment module":  # nearly all of which are wrong
            codes.setdefault(case.kind, set()).add(run_case(case, folder).code)
    assert codes == {kind: {0, 2} for kind in codes} and len(codes) == len(set(TURNS)) - 1


def test_a_case_is_its_number() -> None:
    first, again = make_case(41), make_case(41)
    assert (first.words, first.files, first.detail) == (again.words, again.files, again.detail)


def _print(text: str) -> None:
    print(text, file=sys.stderr)


def _crash(text: str) -> None:
    raise KeyError(text)


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (functools.partial(_crash, "E"), "KeyError: 'E'"),
        (functools.partial(_print, "a stray line"), "stderr of an answer"),
        (functools.partial(print, "loss nan"), "an answer says nan"),
        (functools.partial(Path(SECRET).write_text, ""), "the input was executed"),
        (functools.partial(Path("new").write_text, ""), "an answer wrote ['new']"),
    ],
    ids=["traceback", "stderr", "nan", "executed", "file"],
)
def test_a_fault_is_seen(call: Callable[[], None], said: str, tmp_path: Path) -> None:
    outcome = run_case(Case("any", call=call), tmp_path)
    assert outcome.fault is not None and said in outcome.fault


@pytest.mark.parametrize(
    ("code", "out", "err"),
    [
        (1, "", "lbscale: x\n"),
        (2, "", "lbscale: x\nlbscale: y\n"),
        (2, "", "Traceback\n"),
        (2, "", ""),
        (2, "some", "lbscale: x\n"),
        (2, "", "lbscale: \x1b[2J\n"),
        (2, "", "lbscale: " + "x" * 3000 + "\n"),
    ],
)
def test_a_refusal_that_is_not_one_line_is_a_fault(code: int, out: str, err: str) -> None:
    from malformed.case import Outcome

    assert fault_of(Case("any"), Outcome(code, out, err), []) is not None
    assert fault_of(Case("any"), Outcome(2, "", "lbscale: x\n"), []) is None
