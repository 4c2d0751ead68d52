"""A broken run is no reason not to compare the sources of the others."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from lbscale.spec import FlaxModel, Run, run_key, source_digest
from lbscale.store import SOURCE_DIGEST, Result, Store, source_drift


def test_broken_runs_are_passed_over(
    store: Store, run: Run, result: Result, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("drifting.py").write_text(
        "from lbscale.spec import FlaxDefinition\nMINE = FlaxDefinition(build=dict, count=dict)\n"
    )
    model = FlaxModel(path="drifting.py:MINE", version="1")
    runs = [dataclasses.replace(run, model=model, init_seed=seed) for seed in range(2)]
    for each in runs:
        store.write(each, dataclasses.replace(result, machine={SOURCE_DIGEST: "another"}))
    store.files.write(f"runs/{run_key(runs[0])}/result.json", b"{")
    (line,) = source_drift(store, runs)
    assert source_digest(model) in line and "1 recorded runs of version '1' were trained with another" in line
