"""When a plan is done, against counting by hand and against a simulation that takes every micro-step by itself."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lbscale import sweep
from lbscale.clock import evaluation_tokens, trained_tokens, update_edges
from lbscale.plan import (
    Layout,
    Plan,
    Program,
    Speed,
    Stretch,
    expected_seconds,
    make_plan,
    most_together,
    program_name,
    tokens_per_second,
    tokens_reached,
)
from lbscale.spec import AdamW, Constant, ConstantBatch, Corpus, Decoder, Run, WarmupStableDecay

MODELS = [Decoder(d_model=16 * k, n_layers=1, n_heads=1, d_ff=40) for k in (1, 2)]
BASE: dict[str, Any] = {
    "model": MODELS[0],
    "data": Corpus(name="text", fingerprint="f", seq_len=64),
    "optimizer": AdamW(),
    "learning_rate": 0.01,
    "batch": ConstantBatch(128),
}
NOTHING = Speed(0.0, 0.0, 0.0, 0.0, 0.0, 0.0)
RUNS = sweep.chain(
    sweep.product(BASE, schedule=[Constant()], n_tokens=[256, 640, 1_024], learning_rate=[0.01, 0.02]),
    sweep.product(BASE, schedule=[WarmupStableDecay(decay_tokens=256)], n_tokens=[512, 1_024, 2_048]),
    sweep.product(BASE, schedule=[Constant()], n_tokens=[512], model=MODELS, init_seed=[1, 2]),
)


def alike(count: int, n_tokens: int = 1_024) -> list[Run]:
    """Runs that differ in their seed alone."""
    return sweep.product(BASE, schedule=[Constant()], n_tokens=[n_tokens], init_seed=list(range(count)))


def at_speed(plan: Plan, **seconds: float) -> dict[Program, Speed]:
    """One speed for all programs."""
    return {cohort.program: dataclasses.replace(NOTHING, **seconds) for cohort in plan.cohorts}


def expected(runs: list[Run], layout: Layout, **seconds: float) -> float:
    """Seconds of the runs at one speed."""
    plan = make_plan(runs, layout)
    found = expected_seconds(plan, layout, at_speed(plan, **seconds))
    assert found is not None
    return found


@pytest.mark.parametrize(("n_runs", "lane", "group_size", "n_rounds"), [(5, 1, 1, 5), (5, 2, 1, 3), (5, 1, 4, 2)])
def test_rounds_of_equal_runs(n_runs: int, lane: int, group_size: int, n_rounds: int) -> None:
    layout = Layout(lane, 64, group_size, chunk_steps=10_000)
    assert expected(alike(n_runs), layout, step_seconds=1.0) == 16 * n_rounds
    assert expected(alike(n_runs), layout, update_seconds=1.0) == pytest.approx(8 * n_rounds)
    assert expected(alike(n_runs), layout, end_seconds=1.0) == n_rounds
    run = alike(1)[0]
    n_points = len(evaluation_tokens(update_edges(run.batch, run.n_tokens))) - 1
    assert expected(alike(n_runs), layout, point_seconds=1.0) == n_points * n_rounds
    assert expected(alike(n_runs), layout, call_seconds=1.0) == (n_points + 1) * n_rounds
    assert expected(alike(n_runs), layout, start_seconds=1.0) == 1


def test_slots_share_what_is_ready() -> None:
    assert expected(alike(4), Layout(2, 64, group_size=4), step_seconds=1.0) == 16
    wide = alike(1)[0]
    name = program_name(make_plan([wide], Layout(1, 64, 1)).cohorts[0].program)
    layout = Layout(1, 64, group_size=1, group_sizes=((name, 4),))
    assert expected(alike(4), layout, step_seconds=1.0) == 16


def test_branches_wait_for_their_trunk() -> None:
    schedule = WarmupStableDecay(decay_tokens=256)
    runs = sweep.product(BASE, schedule=[schedule], n_tokens=[1_024], decay_shape=["linear", "sqrt"])
    assert [expected(runs, Layout(lane, 64, 1), step_seconds=1.0) for lane in (1, 2)] == [12 + 4 + 4, 12 + 4]


def test_a_program_of_unknown_speed() -> None:
    layout = Layout(2, 64, 1)
    plan = make_plan(RUNS, layout)
    speeds = at_speed(plan, step_seconds=1.0)
    assert expected_seconds(make_plan([], layout), layout, {}) == 0
    speeds.pop(plan.cohorts[-1].program)
    assert expected_seconds(plan, layout, speeds) is None


def test_throughput_of_full_slots() -> None:
    layout = Layout(2, 64, group_size=4)
    plan = make_plan(alike(1), layout)
    (program,) = (cohort.program for cohort in plan.cohorts)
    speed = dataclasses.replace(NOTHING, step_seconds=0.5, update_seconds=1.0)
    assert tokens_per_second(plan, program, layout, speed) == pytest.approx(2 * 4 * 64 / (0.5 + 1.0 / 2))


def test_lanes_that_could_share_a_group() -> None:
    plan = make_plan([*alike(8), *alike(3, 512)], Layout(1, 64, 1))  # three of the eight have a trunk that ends early
    assert list(most_together(plan).values()) == [5]


def by_micro_step(plan: Plan, lane: int, step: float, point: float, end: float) -> float:
    """Seconds with one lane a group, every micro-step taken by itself."""
    reach = tokens_reached(plan.stretches)
    ended: set[int] = set()
    seated: list[int] = []
    slots: list[tuple[Stretch, int] | None] = [None] * lane
    seconds = 0.0

    def ready(program: Program) -> list[Stretch]:
        left = [s for s in plan.stretches if s.program == program and s.index not in seated]
        left = [s for s in left if s.parent is None or s.parent in ended]
        return sorted(left, key=lambda s: (s.first_tokens - reach[s.index], s.index))

    def measured(stretch: Stretch, tokens: int) -> float:
        if tokens == stretch.last_tokens and stretch.ends:
            return end
        through = [run for run in RUNS if shares(run, stretch, plan)]
        read = {t for run in through for t in evaluation_tokens(update_edges(run.batch, run.n_tokens))[:-1].tolist()}
        return point if tokens in read and tokens < stretch.last_tokens else 0.0

    while (program := next((c.program for c in plan.cohorts if ready(c.program)), None)) is not None:
        while ready(program) or any(slots):
            for i in range(lane):
                if slots[i] is None and ready(program):
                    slots[i] = (ready(program)[0], ready(program)[0].first_tokens)
                    seated.append(ready(program)[0].index)
            busy = [(i, *slot) for i, slot in enumerate(slots) if slot is not None]
            moved = [(i, stretch, tokens + program.micro_batch_tokens) for i, stretch, tokens in busy]
            seconds += step + max(measured(stretch, tokens) for _, stretch, tokens in moved)
            for i, stretch, tokens in moved:
                slots[i] = (stretch, tokens) if tokens < stretch.last_tokens else None
                ended |= {stretch.index} if tokens == stretch.last_tokens else set()
    return seconds


def shares(run: Run, stretch: Stretch, plan: Plan) -> bool:
    """Whether the run's way leads through the stretch."""
    passed = next((s for s in plan.stretches if run in s.ends), None)
    while passed is not None and passed.index != stretch.index:
        passed = None if passed.parent is None else plan.stretches[passed.parent]
    return passed is not None


@given(runs=st.lists(st.sampled_from(RUNS), unique=True), lane=st.integers(1, 3), micro=st.sampled_from([64, 128]))
def test_equals_taking_every_micro_step(runs: list[Run], lane: int, micro: int) -> None:
    layout = Layout(lane, micro, 1)
    plan = make_plan(runs, layout)
    speeds = at_speed(plan, step_seconds=1.0, point_seconds=0.25, end_seconds=8.0)
    assert expected_seconds(plan, layout, speeds) == by_micro_step(plan, lane, 1.0, 0.25, 8.0)
    assert sum(map(trained_tokens, runs)) >= sum(stretch.n_tokens for stretch in plan.stretches)
