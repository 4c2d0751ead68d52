"""Runs that are given up: asked for, decided among annealed losses alone, recorded as censored."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from lbscale import sweep
from lbscale.errors import InputError
from lbscale.execute import EarlyStop, Upkeep, execute
from lbscale.plan import Layout, make_plan
from lbscale.spec import ConstantBatch, Run, WarmupCosine, WarmupStableDecay, run_key
from lbscale.store import Result, Store, results_table

LAYOUT = Layout(lane=2, micro_batch_tokens=256, group_size=1)
BUDGETS = [2_560, 3_840, 5_120]


def study(base: dict[str, Any], schedule: Any, rates: list[float]) -> list[Run]:
    """The same settings at three budgets, for each learning rate."""
    base = {**base, "schedule": schedule, "batch": ConstantBatch(128)}
    return sweep.product(base, learning_rate=rates, n_tokens=BUDGETS)


def carried_out(runs: list[Run], folder: Path, margin: float | None) -> list[Result]:
    store = Store(folder)
    upkeep = Upkeep(early_stop=None if margin is None else EarlyStop(margin))
    progress = list(execute(make_plan(runs, LAYOUT), LAYOUT, store, upkeep))
    assert sorted(run_key(run) for step in progress for run, _ in step.finished) == sorted(map(run_key, runs))
    assert store.files.names("claims") == store.files.names("states") == []
    return [store.read(run_key(run))[1] for run in runs]


@pytest.mark.parametrize(
    "schedule",
    [WarmupStableDecay(decay_tokens=640, warmup_tokens=512), WarmupCosine(warmup_tokens=512)],
    ids=lambda s: s.kind,
)
def test_what_lost_at_the_smallest_budget_is_given_up_at_larger_ones(
    base: dict[str, Any], tmp_path: Path, schedule: Any
) -> None:
    runs = study(base, schedule, [4e-3, 1e-4, 1e30])
    free = carried_out(runs, tmp_path / "free", None)
    assert {result.status for result in free} == {"finished", "diverged"}
    stopped = carried_out(runs, tmp_path / "stopped", 0.2)
    assert [result.status for result in stopped] == ["finished"] * 4 + ["stopped"] * 2 + ["diverged"] + ["stopped"] * 2
    assert [result.loss for result in stopped[:4]] == [result.loss for result in free[:4]]
    for result in (*stopped[4:6], *stopped[7:]):
        assert result.loss is None and result.n_tokens < 2_560
    assert "nats above the best at" in str(stopped[4].stopped_because)
    assert "diverged at 2,560 tokens" in str(stopped[7].stopped_because)
    table = results_table(Store(tmp_path / "stopped"), map(run_key, runs))
    assert table["loss"].notna().sum() == 4 and set(table["n_tokens_budget"]) == set(BUDGETS)


def test_within_the_margin_nothing_is_given_up(base: dict[str, Any], tmp_path: Path) -> None:
    runs = study(base, WarmupStableDecay(decay_tokens=640, warmup_tokens=512), [4e-3, 1e-4])
    assert {result.status for result in carried_out(runs, tmp_path, 10.0)} == {"finished"}


def test_a_margin_is_positive() -> None:
    with pytest.raises(InputError, match="positive number of nats"):
        EarlyStop(0.0)
