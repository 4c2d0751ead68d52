"""From runs to cohorts: each run once, few programs, and micro-batches that fit."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lbscale import sweep
from lbscale.clock import trained_tokens
from lbscale.count import training_flops_per_token
from lbscale.errors import InputError
from lbscale.plan import Layout, Plan, make_plan, micro_batch_tokens, run_flops
from lbscale.spec import (
    SGD,
    AdamW,
    Batch,
    Constant,
    ConstantBatch,
    Corpus,
    Decoder,
    RampedBatch,
    Run,
    WarmupStableDecay,
    run_key,
)

SEQ_LEN = 64
MODELS = [Decoder(d_model=16 * k, n_layers=2, n_heads=1, d_ff=40) for k in (2, 1)]
BASE: dict[str, Any] = {
    "data": Corpus(name="text", fingerprint="f", seq_len=SEQ_LEN),
    "optimizer": AdamW(),
    "schedule": Constant(),
}
STUDY = sweep.product(
    BASE,
    model=MODELS,
    learning_rate=[0.01, 0.02],
    n_tokens=[8192, 16_384],
    batch_size_tokens=[64, 128, 192, 1024],
    init_seed=[0, 1],
)
LAYOUTS = st.builds(
    Layout,
    lane=st.integers(1, 4),
    micro_batch_tokens=st.sampled_from([1, 64, 128, 8192]),
    group_size=st.integers(1, 8),
)


def keys(runs: Any) -> list[str]:
    """Keys of runs, sorted."""
    return sorted(map(run_key, runs))


rows = st.integers(1, 64)
batches = st.builds(lambda n: ConstantBatch(n * SEQ_LEN), rows) | st.builds(
    lambda sizes: RampedBatch(tuple(n * SEQ_LEN for n in sorted(sizes)), tuple(range(1, len(sizes)))),
    st.lists(rows, min_size=1, max_size=3),
)


@given(batch=batches, target=st.integers(1, 10_000))
def test_micro_batch_is_the_largest_power_of_two_of_rows_that_divides_every_batch(batch: Batch, target: int) -> None:
    micro = micro_batch_tokens(batch, SEQ_LEN, target)
    fitting = [
        2**k * SEQ_LEN
        for k in range(10)
        if 2**k * SEQ_LEN <= max(target, SEQ_LEN) and all(size % (2**k * SEQ_LEN) == 0 for size in batch.sizes_tokens)
    ]
    assert micro == max(fitting)


@given(runs=st.lists(st.sampled_from(STUDY)), done=st.sets(st.sampled_from(keys(STUDY))), layout=LAYOUTS)
def test_runs_that_are_not_done_are_planned_once_each(runs: list[Run], done: set[str], layout: Layout) -> None:
    plan = make_plan(runs, layout, done)
    wanted = {run_key(run) for run in runs}
    assert keys(plan.runs) == sorted(wanted - done)
    assert plan.n_done == len(wanted & done)
    assert plan.flops == pytest.approx(sum(map(run_flops, plan.runs)))


@given(layout=LAYOUTS)
def test_cohorts_and_groups_hold_only_what_can_be_trained_together(layout: Layout) -> None:
    plan = make_plan(STUDY, layout)
    for cohort in plan.cohorts:
        for run in cohort.runs:
            assert run.model == cohort.program.model
            assert all(size % cohort.program.micro_batch_tokens == 0 for size in run.batch.sizes_tokens)
            micro = micro_batch_tokens(run.batch, SEQ_LEN, layout.micro_batch_tokens)
            assert micro == cohort.program.micro_batch_tokens
        for group in cohort.groups:
            assert 1 <= len(group.runs) <= layout.group_size
            assert {(run.batch, trained_tokens(run)) for run in group.runs} == {(group.runs[0].batch, group.n_tokens)}
        lengths = [group.n_tokens for group in cohort.groups]
        assert lengths == sorted(lengths, reverse=True)


@given(layout=LAYOUTS)
def test_programs_are_at_most_shapes_times_buckets(layout: Layout) -> None:
    plan = make_plan(STUDY, layout)
    buckets = {micro_batch_tokens(run.batch, SEQ_LEN, layout.micro_batch_tokens) for run in STUDY}
    assert plan.n_compilations == len(plan.cohorts) == len({cohort.program for cohort in plan.cohorts})
    assert plan.n_compilations <= len(MODELS) * len(buckets)


def test_one_micro_batch_size_is_one_program_a_shape() -> None:
    assert make_plan(STUDY, Layout(2, SEQ_LEN, 4)).n_compilations == len(MODELS)


@pytest.mark.parametrize(
    ("changes", "n_programs"),
    [
        ({"schedule": [Constant(), WarmupStableDecay(1024)], "n_tokens": [8192, 16_384]}, 1),
        ({"optimizer": [AdamW(), AdamW(beta1=0.5, clip_norm=0.0)]}, 1),
        ({"optimizer": [SGD(), SGD(momentum=0.5)]}, 1),
        ({"init_seed": [0, 1], "data_seed": [2, 3]}, 1),
        ({"optimizer": [AdamW(), SGD(), SGD(nesterov=True)]}, 3),
        ({"vocab_size": [257, 300]}, 2),
    ],
)
def test_only_what_changes_the_program_makes_another(changes: dict[str, list[Any]], n_programs: int) -> None:
    base = {**BASE, "model": MODELS[0], "batch": ConstantBatch(128), "learning_rate": 0.01, "n_tokens": 8192}
    assert make_plan(sweep.product(base, **changes), Layout(1, 64, 1)).n_compilations == n_programs


def test_micro_batch_of_a_run_does_not_hang_on_its_neighbours() -> None:
    layout = Layout(1, 512, 2)

    def micro_of(plan: Plan) -> dict[str, int]:
        return {run_key(run): cohort.program.micro_batch_tokens for cohort in plan.cohorts for run in cohort.runs}

    together = micro_of(make_plan(STUDY, layout))
    alone = [micro_of(make_plan([run], layout)) for run in STUDY]
    assert together == dict(itertools.chain.from_iterable(one.items() for one in alone))


def test_a_large_model_takes_the_larger_micro_batch() -> None:
    large = Decoder(d_model=64, n_layers=4, n_heads=1, d_ff=168)
    base = {**BASE, "batch": ConstantBatch(512), "learning_rate": 0.01, "n_tokens": 8192}
    plan = make_plan(sweep.product(base, model=[MODELS[0], large]), Layout(1, 64, 1, large_micro_batch_tokens=256))
    assert {c.program.model: c.program.micro_batch_tokens for c in plan.cohorts} == {MODELS[0]: 64, large: 256}


def test_plan_is_the_same_every_time() -> None:
    layout = Layout(2, 128, 3)
    assert make_plan(STUDY, layout) == make_plan(list(STUDY), layout) == make_plan([*STUDY, *STUDY], layout)


def test_the_cheapest_program_comes_first() -> None:
    plan = make_plan(STUDY, Layout(1, 64, 1))
    costs = [training_flops_per_token(cohort.program.model, SEQ_LEN) for cohort in plan.cohorts]
    assert costs == sorted(costs) and costs[0] < costs[-1]


def test_flops_of_a_run_are_those_of_its_whole_batches() -> None:
    run = sweep.product(BASE, model=MODELS[:1], learning_rate=[0.1], n_tokens=[1000], batch_size_tokens=[128])[0]
    assert run_flops(run) == 896 * training_flops_per_token(MODELS[0], SEQ_LEN)


def test_nothing_to_train_is_an_empty_plan() -> None:
    plan = make_plan(STUDY, Layout(1, 64, 1), done=keys(STUDY))
    assert (plan.cohorts, plan.n_done, plan.flops, plan.n_compilations) == ((), len(STUDY), 0, 0)


@pytest.mark.parametrize("field", ["lane", "micro_batch_tokens", "group_size", "chunk_steps"])
@pytest.mark.parametrize("value", [0, -1, 1.5])
def test_layout_refuses_what_is_no_count(field: str, value: float) -> None:
    counts = {"lane": 1, "micro_batch_tokens": 64, "group_size": 1, field: value}
    with pytest.raises(InputError, match=f"{field}: {value} cannot be used"):
        Layout(**counts)  # type: ignore[arg-type]
