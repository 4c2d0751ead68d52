"""A study of ten thousand runs opens, lists and plans in seconds and in little memory.

Commands are processes of their own. Memory is that of the worst of three; seconds are those that the best of three
kept a processor busy, since another process on the machine adds to a time, and nothing takes from it.
"""

from __future__ import annotations

import dataclasses
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import pytest

from lbscale.plan import Layout, layout_document
from lbscale.spec import Run, run_key, to_json
from lbscale.store import CurvePoint, Layouts, Result, Store
from lbscale.store.record import dump, manifest_of
from lbscale.study import load_study

N_RUNS = 10_000
MODULE = '''"""Do ten thousand runs open?"""
from lbscale import sweep
from lbscale.data import corpus_spec
from lbscale.spec import AdamW, ConstantBatch, Decoder, WarmupStableDecay

BASE = {
    "model": Decoder(d_model=16, n_layers=1, n_heads=1, d_ff=40),
    "data": corpus_spec(seq_len=64),
    "optimizer": AdamW(),
    "schedule": WarmupStableDecay(decay_tokens=1_280, warmup_tokens=640),
}
RUNS = sweep.product(
    BASE,
    learning_rate=[1e-3 * 1.05**i for i in range(50)],
    batch=[ConstantBatch(128 * 2**i) for i in range(4)],
    n_tokens=[12_800 * 2**i for i in range(10)],
    init_seed=range(5),
)
'''
MACHINE = {"backend": "cpu", "device_kind": "cpu", "jax": "0", "n_devices": 2}


class Measured(NamedTuple):
    """The last of the outputs, the least of the seconds of a processor, the most of the bytes."""

    out: str
    processor_seconds: float
    n_bytes: int


def measured(folder: Path, *words: str) -> Measured:
    """Run a command three times."""
    path = os.pathsep.join(str(Path(entry).resolve()) for entry in sys.path if entry)
    environment = {**os.environ, "PYTHONPATH": path, "XDG_CACHE_HOME": str(folder / "cache")}
    command = [sys.executable, "-c", "from lbscale.cli.main import entry; entry()", *words]
    processor_seconds, n_bytes, out = [], [], b""
    for _ in range(3):
        with subprocess.Popen(command, cwd=folder, env=environment, stdout=subprocess.PIPE) as process:
            assert process.stdout is not None
            out = process.stdout.read()
            _, status, usage = os.wait4(process.pid, 0)
            process.returncode = os.waitstatus_to_exitcode(status)
        processor_seconds.append(usage.ru_utime + usage.ru_stime)
        n_bytes.append(usage.ru_maxrss * 1024)
        assert process.returncode == 0
    return Measured(out.decode(), min(processor_seconds), max(n_bytes))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A study of ten thousand runs, none of which is recorded."""
    folder = tmp_path_factory.mktemp("many")
    (folder / "many.py").write_text(MODULE)
    return folder


@pytest.fixture(scope="module")
def recorded(folder: Path) -> Path:
    """All of the runs recorded, as `Store.write` does it, without its looks at what is there, and their layout."""
    runs = load_study(str(folder / "many.py")).runs
    study = folder / "results" / "many"
    results = [_result(run) for run in runs]
    study.mkdir(parents=True)
    (study / "store.json").write_bytes(dump({"schema": 2}))
    for run, result in zip(runs, results, strict=True):
        contents = {"run.json": dump(to_json(run)), "result.json": dump(dataclasses.asdict(result))}
        at = study / "runs" / run_key(run)
        os.makedirs(at)
        for name, content in (*contents.items(), ("manifest.json", manifest_of(contents))):
            (at / name).write_bytes(content)
    store = Store(study)
    Layouts(store.files).begin(MACHINE, layout_document(Layout(lane=2, micro_batch_tokens=64, group_size=1)))
    assert store.read(run_key(runs[17])) == (runs[17], results[17])
    return folder


def _result(run: Run) -> Result:
    curve = tuple(CurvePoint(run.n_tokens >> i, 5.0 + i, 0.1) for i in (5, 4, 3, 2, 1))
    return Result(
        "finished", 5.0, 0.1, 7.2, "validation", run.n_tokens, run.n_tokens, 0.1, True, None, 1.0, curve, MACHINE
    )


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("list", "--json"), "tour"),
        (("status", "many.py", "--json"), f'"n_done": {N_RUNS}'),
        (("plan", "many.py", "--json"), f'"n_done": {N_RUNS}'),
        (("plan", "many.py"), f"0 runs to train, {N_RUNS} there already"),
    ],
    ids=["list", "status", "plan, as JSON", "plan"],
)
def test_a_study_of_recorded_runs_opens_lists_and_plans(recorded: Path, words: tuple[str, ...], said: str) -> None:
    found = measured(recorded, *words)
    assert said in found.out
    assert found.n_bytes < 500e6
    assert found.processor_seconds < 3.0  # of its own: what else the machine does is no matter of the program


def test_a_study_of_which_nothing_is_recorded_plans(folder: Path) -> None:
    found = measured(folder, "plan", "many.py", "--no-timing", "--results", "nowhere", "--json")
    plan = json.loads(found.out)
    assert (plan["n_runs"], plan["n_done"]) == (N_RUNS, 0) and plan["flops"] < plan["flops_alone"]
    assert plan["cohorts"][0]["memory_bytes"]["total"] > 0
    assert found.n_bytes < 500e6
    assert found.processor_seconds < 10.0  # about 4; busy neighbours slow a processor down
