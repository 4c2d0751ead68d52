"""What is left to train, against an account of every update of every run: none too few, none that is not needed."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Collection, Mapping

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lbscale import sweep
from lbscale.clock import curve_tokens, prefix_key, shared_tokens, trained_tokens, update_edges
from lbscale.plan import Layout, Stretch, make_plan
from lbscale.plan.forest import grow_forest
from lbscale.plan.remaining import remaining
from lbscale.spec import AdamW, Constant, ConstantBatch, Corpus, Decoder, RampedBatch, WarmupStableDecay, run_key

LAYOUT = Layout(lane=1, micro_batch_tokens=64, group_size=1)
BASE = {
    "model": Decoder(d_model=16, n_layers=1, n_heads=1, d_ff=40),
    "data": Corpus(name="text", fingerprint="f", seq_len=32),
    "optimizer": AdamW(),
    "schedule": WarmupStableDecay(decay_tokens=320, warmup_tokens=256),
    "batch": ConstantBatch(128),
    "learning_rate": 4e-3,
}
# A trunk of budgets, decay shapes, a run that ends on it, and ramps that leave it for other micro-batches; runs alone.
POOL = sweep.chain(
    sweep.product(BASE, n_tokens=[1_024, 1_280, 1_920, 2_560]),
    sweep.product(BASE, n_tokens=[1_280, 2_560], decay_shape=["sqrt"]),
    sweep.product(BASE, schedule=[Constant(warmup_tokens=256)], n_tokens=[1_280, 1_600]),
    sweep.product(BASE, n_tokens=[1_920, 2_560], batch=[RampedBatch((128, 160), (640,))]),
    sweep.product(BASE, n_tokens=[2_560], batch=[RampedBatch((128, 256), (1_280,)), RampedBatch((64, 128), (640,))]),
    sweep.product(BASE, n_tokens=[1_280], init_seed=[1, 2]),
)
SHARED = {pair: shared_tokens(*(POOL[i] for i in pair)) for pair in itertools.product(range(len(POOL)), repeat=2)}
ENDS = [update_edges(run.batch, run.n_tokens)[1:].tolist() for run in POOL]
NUMBER = {run_key(run): i for i, run in enumerate(POOL)}
NAMES = {(i, end): prefix_key(POOL[i], end) for i, ends in enumerate(ENDS) for end in ends}

State = tuple[int, int]  # the least number of the pool's runs that are in it, and its tokens
Kept = Mapping[State, frozenset[int]]  # where a curve was read on the way to it


def state(i: int, tokens: int) -> State:
    """The state of run `i` after `tokens`."""
    return min(j for j in range(len(POOL)) if SHARED[i, j] >= tokens), tokens


def needed(runs: Collection[int], kept: Kept) -> set[State]:
    """The updates that the runs need, each by the state at its end.

    A run begins after the last kept state before its end that is of use: to it and to every other that passes there.
    """

    def is_usable(at: State) -> bool:
        passing = [i for i in runs if SHARED[i, at[0]] >= at[1]]
        wanted = {tokens for i in passing for tokens in curve_tokens(POOL[i]) if tokens <= at[1]}
        return at in kept and wanted <= kept[at]

    found: set[State] = set()
    for i in runs:
        way = [state(i, end) for end in ENDS[i]]
        begin = max((n + 1 for n, at in enumerate(way[:-1]) if is_usable(at)), default=0)
        found.update(way[begin:])
    return found


@st.composite
def studies(draw: st.DrawFn) -> tuple[list[int], set[int], Kept]:
    """Runs in some order, those of them that are recorded, and states kept anywhere, some read at too few points."""
    runs = draw(st.permutations(range(len(POOL))))[: draw(st.integers(1, len(POOL)))]
    done = draw(st.sets(st.sampled_from(runs)))
    kept = {}
    for _ in range(draw(st.integers(0, 6))):
        i = draw(st.integers(0, len(POOL) - 1))
        at = state(i, draw(st.sampled_from(ENDS[i])))
        points = {tokens for j in range(len(POOL)) if SHARED[i, j] >= at[1] for tokens in curve_tokens(POOL[j])}
        points = {tokens for tokens in points if tokens <= at[1]}
        lacking = draw(st.sets(st.sampled_from(sorted(points)), max_size=2)) if points else set()
        kept[at] = frozenset(points - lacking)
    return list(runs), done, kept


def keys(kept: Kept) -> dict[tuple[int, str], frozenset[int]]:
    """The kept states as a plan gets them, beside one that is nobody's."""
    return {(at[1], NAMES[at]): points for at, points in kept.items()} | {(640, "nobody's"): frozenset(range(641))}


def trained(stretch: Stretch) -> list[State]:
    """The updates of a stretch."""
    i = NUMBER[run_key(stretch.lead)]
    return [state(i, end) for end in ENDS[i] if stretch.first_tokens < end <= stretch.last_tokens]


@given(studies())
@settings(max_examples=100)
def test_what_is_left_is_what_is_needed(study: tuple[list[int], set[int], Kept]) -> None:
    runs, done, kept = study
    undone = [i for i in runs if i not in done]
    stretches = remaining(grow_forest([POOL[i] for i in runs], LAYOUT), {run_key(POOL[i]) for i in done}, keys(kept))
    counts = Counter(at for stretch in stretches for at in trained(stretch))
    assert counts.keys() == needed(undone, kept)
    assert set(counts.values()) <= {1}
    plan = make_plan([POOL[i] for i in runs], LAYOUT, {run_key(POOL[i]) for i in done}, keys(kept))
    assert {at for stretch in plan.stretches for at in trained(stretch)} == counts.keys()
    assert set(plan.runs) == {POOL[i] for i in undone} and plan.n_done == len(done)
    assert plan.trees.keys() == {stretch.tree for stretch in stretches}


@given(studies())
@settings(max_examples=100)
def test_every_run_that_is_left_has_a_whole_way_to_its_end(study: tuple[list[int], set[int], Kept]) -> None:
    runs, done, kept = study
    undone = {i for i in runs if i not in done}
    stretches = remaining(grow_forest([POOL[i] for i in runs], LAYOUT), {run_key(POOL[i]) for i in done}, keys(kept))
    ended = [NUMBER[run_key(run)] for stretch in stretches for run in stretch.ends]
    assert sorted(ended) == sorted(undone)
    for index, stretch in enumerate(stretches):
        assert stretch.index == index and stretch.first_tokens < stretch.last_tokens
        lead = NUMBER[run_key(stretch.lead)]
        assert stretch.n_runs == sum(SHARED[lead, i] >= stretch.last_tokens for i in undone) >= 1
        assert all(trained_tokens(run) == stretch.last_tokens for run in stretch.ends)
        parent = None if stretch.parent is None else stretches[stretch.parent]
        assert (parent is None) or (parent.index < index and stretch.begins_from is None)
        if parent is not None:
            assert parent.last_tokens == stretch.first_tokens and parent.tree == stretch.tree
            assert SHARED[NUMBER[run_key(parent.lead)], lead] >= parent.last_tokens
        elif stretch.begins_from is None:
            assert stretch.first_tokens == 0
        else:
            begin = state(lead, stretch.first_tokens)
            assert stretch.begins_from == NAMES[begin] and begin in kept
    for stretch in stretches:
        for run in stretch.ends:
            assert read_on_the_way(stretch, stretches, kept) >= set(curve_tokens(run))


def read_on_the_way(stretch: Stretch, stretches: tuple[Stretch, ...], kept: Kept) -> set[int]:
    """Where a curve is read up to a stretch's end, or can be."""
    here = set(range(stretch.first_tokens + 1, stretch.last_tokens + 1))
    if stretch.parent is not None:
        return here | read_on_the_way(stretches[stretch.parent], stretches, kept)
    if stretch.begins_from is None:
        return here
    return here | kept[state(NUMBER[run_key(stretch.lead)], stretch.first_tokens)]


def test_a_state_that_lacks_a_point_of_one_run_serves_the_others_that_leave_before() -> None:
    """The run that needs the point passes the state again; a run on another branch goes on from its own."""
    runs = [0, 3]
    on_branch, on_trunk = state(3, 2_048), state(0, 640)
    points = frozenset(curve_tokens(POOL[3]))
    assert needed(runs, {on_branch: points}) == {state(0, end) for end in ENDS[0]} | {
        state(3, end) for end in ENDS[3] if end > 2_048
    }
    lacking = frozenset(at for at in curve_tokens(POOL[3]) if at != 512)
    for kept in ({on_trunk: lacking}, {}):
        stretches = remaining(grow_forest([POOL[i] for i in runs], LAYOUT), (), keys(kept))
        assert {at for one in stretches for at in trained(one)} == needed(runs, kept) == needed(runs, {})


@pytest.mark.parametrize("done", [(), (0,), (0, 1, 2, 3)])
def test_without_states_the_forest_of_what_is_left_is_trained_whole(done: tuple[int, ...]) -> None:
    forest = grow_forest(POOL, LAYOUT)
    left = remaining(forest, {run_key(POOL[i]) for i in done}, {})
    if not done:
        assert left == forest
    assert {at for one in left for at in trained(one)} == needed(set(range(len(POOL))) - set(done), {})
