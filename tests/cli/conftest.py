"""The command line in this process, in an empty folder."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from lbscale.cli.main import main
from lbscale.store import Result, Store
from lbscale.study import load_study

MODULE = '''"""Does a small thing learn?

The rest of the docstring.
"""
from lbscale import sweep
from lbscale.spec import AdamW, Constant, Corpus, Decoder

BASE = {
    "model": Decoder(d_model=16, n_layers=1, n_heads=1, d_ff=16),
    "data": Corpus(name="text", fingerprint="f", seq_len=64),
    "optimizer": AdamW(),
    "schedule": Constant(),
    "n_tokens": 1024,
}
'''


@dataclass(frozen=True)
class Outcome:
    """What a command returned and printed."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """Standard output as the one JSON document that it must be."""
        assert self.code == 0, self.err
        return json.loads(self.out)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder: empty but for `mine.py`, a study of four runs."""
    monkeypatch.chdir(tmp_path)
    text = "RUNS = sweep.product(BASE, learning_rate=[0.1, 0.2], batch_size_tokens=[64, 128])\n"
    (tmp_path / "mine.py").write_text(MODULE + text)
    return tmp_path


@pytest.fixture
def lbscale(folder: Path, capsys: pytest.CaptureFixture[str]) -> Callable[..., Outcome]:
    """`lbscale("plan", "mine.py")`: the outcome of that command line."""

    def run(*words: str) -> Outcome:
        try:
            code = main(words)
        except SystemExit as leaving:
            code = int(leaving.code or 0)
        return Outcome(code, *capsys.readouterr())

    return run


@pytest.fixture
def result() -> Result:
    """What a finished run may have come to."""
    return Result(
        status="finished",
        loss=5.0,
        loss_se=0.1,
        bits_per_byte=7.2,
        loss_split="validation",
        n_tokens=1024,
        n_tokens_real=1000,
        epochs=0.1,
        annealed=False,
        diverged_tokens=None,
        seconds=1.0,
        curve=(),
        machine={},
    )


@pytest.fixture
def recorded(folder: Path, result: Result) -> Path:
    """`mine` with one of its four runs recorded."""
    Store(folder / "results" / "mine").write(load_study("mine.py").runs[2], result)
    return folder
