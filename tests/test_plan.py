"""From runs to cohorts: each run once, few programs, and micro-batches that fit."""

from __future__ import annotations

import functools
import itertools
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lbscale import sweep
from lbscale.clock import (
    controls,
    optimizer_structure,
    prefix_key,
    row_indices,
    shared_tokens,
    trained_tokens,
    trunk_key,
    update_edges,
)
from lbscale.count import training_flops_per_token
from lbscale.errors import InputError
from lbscale.plan import (
    Layout,
    Plan,
    Stretch,
    kept_apart,
    make_plan,
    marginal_cost,
    micro_batch_tokens,
    run_flops,
    tokens_reached,
)
from lbscale.spec import (
    SGD,
    AdamW,
    Constant,
    ConstantBatch,
    Corpus,
    Decoder,
    HalfLife,
    InverseSquareRoot,
    RampedBatch,
    Run,
    WarmupCosine,
    WarmupStableDecay,
    fraction,
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
TRUNK: dict[str, Any] = {
    **BASE,
    "model": MODELS[1],
    "learning_rate": 0.01,
    "schedule": WarmupStableDecay(decay_tokens=512, warmup_tokens=256),
    "batch": ConstantBatch(128),
}
NEARLY_ALIKE = [0.01, 0.01 * (1 + 1e-9), 0.01 * (1 + 1e-6)]  # the first two are one number in float32
RAMPS = [RampedBatch((128, size), (until,)) for size in (192, 256, 512) for until in (1_000, 1_024, 2_048)]
RELATED = sweep.chain(
    sweep.product(TRUNK, n_tokens=[512, 1_500, 1_536, 2_048, 4_096, 8_192], decay_shape=["linear", "sqrt"]),
    sweep.product(TRUNK, n_tokens=[2_048, 4_096], decay_tokens=[0, 1_024], init_seed=[0, 1]),
    sweep.product(TRUNK, n_tokens=[2_048, 4_096], batch=RAMPS),
    sweep.product(TRUNK, n_tokens=[2_048, 4_096], warmup_tokens=[128, 300]),
    sweep.product(TRUNK, n_tokens=[1_024, 2_048], schedule=[Constant(256), WarmupCosine(256), WarmupCosine(0)]),
    sweep.product(TRUNK, n_tokens=[2_048, 3_000], optimizer=[AdamW(beta2=HalfLife(1e4)), SGD(), SGD(nesterov=True)]),
    sweep.product(TRUNK, n_tokens=[2_048, 3_000], data_seed=[1]),
    sweep.product(TRUNK, n_tokens=[512, 2_048, 4_096], warmup_updates=[6, 20], final_factor=[0.0, 0.3]),
    sweep.product(TRUNK, n_tokens=[1_024, 2_048], schedule=[InverseSquareRoot(300)], learning_rate=NEARLY_ALIKE),
    sweep.product(TRUNK, n_tokens=[2_048, 4_096], learning_rate=NEARLY_ALIKE),
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


def path_of(run: Run, stretches: tuple[Stretch, ...]) -> list[Stretch]:
    """The stretches that train the run, from its beginning."""
    (index,) = [stretch.index for stretch in stretches if run in stretch.ends]
    path = [stretches[index]]
    while path[-1].parent is not None:
        path.append(stretches[path[-1].parent])
    return path[::-1]


def micro_batches(run: Run, plan: Plan) -> list[int]:
    """The micro-batch of every micro-step of a run."""
    path = path_of(run, plan.stretches)
    micro = [(stretch.program.micro_batch_tokens, stretch.n_tokens) for stretch in path]
    return list(itertools.chain.from_iterable([size] * (n_tokens // size) for size, n_tokens in micro))


@functools.cache
def rows_and_controls(run: Run) -> list[tuple[Any, ...]]:
    """What a run does, row by row: the row it reads, whether an update follows, and every number of that update."""
    arrays = controls(run, SEQ_LEN)
    rows = row_indices(run.data_seed, 0, arrays.n_steps, 1_000)
    return list(zip(rows.tolist(), arrays.apply_S.tolist(), *(a.tolist() for a in arrays.hyper.values()), strict=True))


@functools.cache
def brute_force_shared_tokens(run: Run, other: Run) -> int:
    """The longest common prefix of two runs that ends an update of both, by comparing everything."""
    begins, other_begins = ((r.model, r.data, r.init_seed, optimizer_structure(r.optimizer)) for r in (run, other))
    if begins != other_begins:
        return 0
    both = zip(rows_and_controls(run), rows_and_controls(other), strict=False)
    agreed = itertools.takewhile(lambda pair: pair[0] == pair[1], both)
    ends = [step for step, (ours, _) in enumerate(agreed, start=1) if ours[1]]
    return SEQ_LEN * (ends[-1] if ends else 0)


@given(runs=st.lists(st.sampled_from(RELATED), unique=True), layout=LAYOUTS)
def test_the_forest_covers_every_token_of_every_run_once_and_is_never_dearer(runs: list[Run], layout: Layout) -> None:
    plan = make_plan(runs, layout)
    for run in runs:
        path = path_of(run, plan.stretches)
        assert [path[0].first_tokens, *(stretch.last_tokens for stretch in path)] == [
            *(stretch.first_tokens for stretch in path),
            trained_tokens(run),
        ]
        assert path[0].first_tokens == 0 and all(stretch.n_tokens > 0 for stretch in path)
        assert all(shared_tokens(run, stretch.lead) >= stretch.last_tokens for stretch in path)
    assert sum(stretch.n_runs * stretch.flops for stretch in plan.stretches) == pytest.approx(plan.flops_alone)
    assert plan.flops <= plan.flops_alone * (1 + 1e-12)
    assert [stretch.index for stretch in plan.stretches] == list(range(len(plan.stretches)))
    assert all(stretch.parent is None or stretch.parent < stretch.index for stretch in plan.stretches)


@settings(max_examples=50)
@given(runs=st.lists(st.sampled_from(RELATED), unique=True, min_size=3, max_size=12), layout=LAYOUTS)
def test_any_two_runs_of_a_forest_part_where_their_arrays_do(runs: list[Run], layout: Layout) -> None:
    stretches = make_plan(runs, layout).stretches
    paths = {run: path_of(run, stretches) for run in runs}
    for run, other in itertools.combinations(runs, 2):
        common = {stretch.index for stretch in paths[run]} & {stretch.index for stretch in paths[other]}
        assert sum(stretches[index].n_tokens for index in common) == brute_force_shared_tokens(run, other)
    for stretch in stretches:
        passing = [run for run in runs if any(stretch.index == passed.index for passed in paths[run])]
        assert stretch.n_runs == len(passing) and stretch.lead == passing[0]


@given(run=st.sampled_from(RELATED), other=st.sampled_from(RELATED), layout=LAYOUTS)
def test_two_runs_share_what_their_arrays_have_in_common(run: Run, other: Run, layout: Layout) -> None:
    expected = brute_force_shared_tokens(run, other)
    assert shared_tokens(run, other) == shared_tokens(other, run) == expected
    assert (trunk_key(run) == trunk_key(other)) == (expected > 0)
    if run != other:
        plan = make_plan([run, other], layout)
        assert sum(stretch.n_tokens for stretch in plan.stretches if stretch.n_runs == 2) == expected
    for tokens in update_edges(run.batch, run.n_tokens)[1:]:
        if tokens in update_edges(other.batch, other.n_tokens):
            assert (prefix_key(run, tokens) == prefix_key(other, tokens)) == (tokens <= expected)


@given(runs=st.lists(st.sampled_from(RELATED)), run=st.sampled_from(RELATED))
def test_marginal_cost_is_what_a_run_adds_to_the_plan(runs: list[Run], run: Run) -> None:
    layout = Layout(1, 128, 1)
    before, after = make_plan(runs, layout), make_plan([*runs, run], layout)
    assert marginal_cost(before, run) == marginal_cost(runs, run) == pytest.approx(after.flops - before.flops)
    done = set(keys(runs))
    retrained = 0.0 if run_key(run) in done else run_flops(run)
    assert marginal_cost(runs, run, done) == retrained


def test_budgets_a_decay_apart_cost_one_trunk_and_their_decays() -> None:
    budgets = [8_192, 16_384, 32_768]
    plan = make_plan(sweep.product(TRUNK, n_tokens=budgets), Layout(1, 64, 1))
    assert sum(stretch.n_tokens for stretch in plan.stretches) == budgets[-1] + 512 * (len(budgets) - 1)


def test_what_kept_two_runs_apart_is_named() -> None:
    relative = sweep.product({**TRUNK, "schedule": WarmupStableDecay(512, fraction(0.01))}, n_tokens=[81_920, 163_840])
    assert [str(item) for item in kept_apart(relative)] == ["warmup_tokens: 819 and 1,638 differ (1 % of each budget)"]
    cosine = sweep.product({**TRUNK, "schedule": WarmupCosine(256)}, n_tokens=[4_096, 8_192])
    assert [str(item) for item in kept_apart(cosine)] == ["n_tokens: 4,096 and 8,192 differ"]
    assert list(kept_apart(sweep.product(TRUNK, n_tokens=[4_096, 8_192]))) == []
    seeds = sweep.product({**TRUNK, "schedule": WarmupCosine(256)}, n_tokens=[4_096, 8_192], init_seed=[0, 1])
    assert [str(item) for item in kept_apart(seeds)] == 2 * ["n_tokens: 4,096 and 8,192 differ"]


@given(n_rows=st.integers(1, 64), target=st.integers(1, 10_000))
def test_micro_batch_is_the_largest_power_of_two_of_rows_that_divides_the_batch(n_rows: int, target: int) -> None:
    micro = micro_batch_tokens(n_rows * SEQ_LEN, SEQ_LEN, target)
    fitting = [2**k * SEQ_LEN for k in range(10) if 2**k * SEQ_LEN <= max(target, SEQ_LEN) and n_rows % 2**k == 0]
    assert micro == max(fitting)


@given(runs=st.lists(st.sampled_from(STUDY)), done=st.sets(st.sampled_from(keys(STUDY))), layout=LAYOUTS)
def test_runs_that_are_not_done_are_planned_once_each(runs: list[Run], done: set[str], layout: Layout) -> None:
    plan = make_plan(runs, layout, done)
    wanted = {run_key(run) for run in runs}
    assert keys(plan.runs) == sorted(wanted - done)
    assert plan.n_done == len(wanted & done)
    assert plan.flops_alone == pytest.approx(sum(map(run_flops, plan.runs)))
    assert plan.flops == pytest.approx(sum(stretch.flops for stretch in plan.stretches))


@settings(max_examples=20)
@given(layout=LAYOUTS)
def test_cohorts_hold_what_one_program_trains_the_longest_way_first(layout: Layout) -> None:
    plan = make_plan([*STUDY, *RELATED], layout)
    reach = tokens_reached(plan.stretches)
    for cohort in plan.cohorts:
        for stretch in cohort.stretches:
            assert stretch.program == cohort.program and stretch.program.model == stretch.lead.model
            for updates in stretch.updates:
                micro = micro_batch_tokens(updates.size, SEQ_LEN, layout.micro_batch_tokens)
                assert micro == cohort.program.micro_batch_tokens
        to_go = [reach[stretch.index] - stretch.first_tokens for stretch in cohort.stretches]
        assert to_go == sorted(to_go, reverse=True)


@settings(max_examples=20)
@given(layout=LAYOUTS)
def test_programs_are_at_most_shapes_times_buckets(layout: Layout) -> None:
    plan = make_plan(STUDY, layout)
    sizes = {run.batch.batch_size_tokens for run in STUDY}
    buckets = {micro_batch_tokens(size, SEQ_LEN, layout.micro_batch_tokens) for size in sizes}
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
    together = make_plan(RELATED, layout)
    for run in RELATED:
        alone = make_plan([run], layout)
        assert micro_batches(run, together) == micro_batches(run, alone)
    assert len({tuple(dict.fromkeys(micro_batches(run, together))) for run in RELATED}) > 2


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
