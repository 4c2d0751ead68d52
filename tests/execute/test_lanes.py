"""Lanes: each is the run it would be alone, and none of them can disturb another."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from lbscale import sweep
from lbscale.conduct import checked_plan
from lbscale.data import corpus_spec, load
from lbscale.errors import InputError
from lbscale.execute import execute, work
from lbscale.parallel import make_mesh
from lbscale.plan import Layout, make_plan
from lbscale.spec import SGD, Decoder, RampedBatch, Run, run_key
from lbscale.store import Result, Store
from lbscale.train import LanePrograms
from lbscale.train.lanes import rows_on_device

Train = Callable[[list[Run], Layout], dict[str, Result]]
ALONE = Layout(lane=1, micro_batch_tokens=64, group_size=1)
MAPPED = Layout(lane=2, micro_batch_tokens=64, group_size=1)
VECTORISED = Layout(lane=2, micro_batch_tokens=64, group_size=3)


def numbers(result: Result) -> list[float]:
    """Every loss that the run measured."""
    assert result.loss is not None
    return [point.loss for point in result.curve] + [result.loss]


def exact(result: Result) -> tuple[Any, ...]:
    """All that training decides, to the bit."""
    return (result.status, result.loss, result.loss_se, result.n_tokens, result.diverged_tokens, result.curve)


@pytest.mark.parametrize("layout", [MAPPED, VECTORISED], ids=["mapped", "vectorised"])
def test_a_lane_is_the_run_alone(base: dict[str, Any], train: Train, layout: Layout) -> None:
    runs = sweep.product(
        base, learning_rate=[1e-3, 8e-3], batch_size_tokens=[128, 256], init_seed=[0, 1], data_seed=[3]
    )
    together = train(runs, layout)
    for run in (runs[0], runs[3], runs[6]):
        alone = train([run], ALONE)[run_key(run)]
        assert numbers(together[run_key(run)]) == pytest.approx(numbers(alone), rel=1e-5)


def test_runs_of_different_hyperparameters_differ(base: dict[str, Any], train: Train) -> None:
    """The comparison above would also hold if lanes ignored their own numbers."""
    axes: dict[str, list[Any]] = {
        "learning_rate": [1e-3, 2e-3],
        "init_seed": [0, 1],
        "data_seed": [0, 1],
        "beta2": [0.9, 0.99],
    }
    results = train(sweep.product(base, batch_size_tokens=[128], **axes), VECTORISED)
    assert len({result.loss for result in results.values()}) == 16


def test_micro_steps_add_up_to_one_large_batch(base: dict[str, Any], train: Train) -> None:
    run = sweep.product(base, learning_rate=[4e-3], batch_size_tokens=[640])[0]
    losses = [numbers(train([run], Layout(1, micro, 1))[run_key(run)]) for micro in (64, 128)]
    ramp = sweep.product({**base, "batch": RampedBatch((128, 640), (2_560,))}, learning_rate=[4e-3])[0]
    ramped = [numbers(train([ramp], Layout(1, micro, 1))[run_key(ramp)]) for micro in (64, 128)]
    assert losses[0] == pytest.approx(losses[1], rel=1e-5)
    assert ramped[0] == pytest.approx(ramped[1], rel=1e-5)
    assert ramped[0] != pytest.approx(losses[0], rel=1e-4)


@pytest.mark.parametrize("layout", [MAPPED, VECTORISED], ids=["mapped", "vectorised"])
def test_a_lane_that_turns_nan_changes_no_bit_of_the_others(base: dict[str, Any], train: Train, layout: Layout) -> None:
    healthy, other = sweep.product(base, learning_rate=[4e-3, 1e-3], batch_size_tokens=[128])
    sick = sweep.product(base, learning_rate=[1e30], batch_size_tokens=[128])[0]
    beside_sick, beside_other = train([healthy, sick], layout), train([healthy, other], layout)
    assert exact(beside_sick[run_key(healthy)]) == exact(beside_other[run_key(healthy)])
    result = beside_sick[run_key(sick)]
    assert (result.status, result.loss) == ("diverged", None)
    assert result.diverged_tokens is not None and 128 < result.diverged_tokens <= 6_400
    assert result.diverged_tokens % 128 == 0


def test_chunks_and_padding_leave_no_trace(base: dict[str, Any], train: Train) -> None:
    runs = sweep.product(base, learning_rate=[4e-3, 2e-3, 1e-3], batch_size_tokens=[128])
    results = [train(runs, Layout(2, 64, group_size=2, chunk_steps=steps)) for steps in (7, 100)]
    for run in runs:
        assert exact(results[0][run_key(run)]) == exact(results[1][run_key(run)])


def test_a_study_compiles_what_its_plan_says(
    base: dict[str, Any], tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    shapes = [base["model"], Decoder(d_model=24, n_layers=1, n_heads=1, d_ff=64)]
    runs = sweep.product(
        base, model=shapes, learning_rate=[1e-3, 4e-3], batch_size_tokens=[64, 128, 256], init_seed=[0, 1]
    )
    layout = Layout(lane=2, micro_batch_tokens=128, group_size=2)
    made: list[LanePrograms] = []

    def remember(*arguments: Any) -> LanePrograms:
        made.append(LanePrograms(*arguments))
        return made[-1]

    monkeypatch.setattr(work, "lane_programs", remember)
    plan = make_plan(runs, layout)
    for _ in execute(plan, layout, Store(tmp_path)):
        pass
    assert plan.n_compilations == 4  # two shapes, and micro-batches of 64 and 128 tokens
    assert [programs.n_compilations for programs in made] == [1] * 4


def test_sgd_trains_too(base: dict[str, Any], train: Train) -> None:
    runs = sweep.product({**base, "optimizer": SGD(nesterov=True)}, learning_rate=[0.1], batch_size_tokens=[128])
    assert numbers(train(runs, MAPPED)[run_key(runs[0])])[-1] < 5.0


def test_a_diverged_run_keeps_its_budget_in_every_layout(base: dict[str, Any], train: Train) -> None:
    """A group whose lanes are all lost ends early, but its rows belong to the cell they were planned for."""
    runs = sweep.product(base, learning_rate=[1e30, 1e-3], batch_size_tokens=[128])
    for layout in (MAPPED, VECTORISED):
        result = train(runs, layout)[run_key(runs[0])]
        assert (result.status, result.n_tokens) == ("diverged", 6_400)


def test_every_wanted_row_is_measured_however_rows_fall_into_blocks(base: dict[str, Any]) -> None:
    """85 of 682 rows of 96 tokens are no whole number of blocks; a row left out would read as a loss of zero."""
    odd = {**base, "data": corpus_spec(seq_len=96), "n_tokens": 9_600}
    runs = sweep.product(odd, learning_rate=[1e-4], batch_size_tokens=[96])
    layout = Layout(1, 96, 1)
    lanes = LanePrograms(make_plan(runs, layout).cohorts[0].program, layout, make_mesh(layout))
    states = lanes.restart(lanes.empty(), np.zeros((1, 1), np.uint32), np.ones(1, bool))
    rows = rows_on_device(load(runs[0].data).evaluation, lanes.mesh)
    for wanted in (1, 85, len(rows.tokens_BT)):
        sums_R = np.asarray(lanes.evaluate(states, rows, np.array([wanted], np.int32)))[0, 0]
        assert np.all(sums_R[:wanted] > 96 * 4.0)


def test_a_vocabulary_smaller_than_the_corpus_is_refused_before_training(base: dict[str, Any], tmp_path: Any) -> None:
    small = Decoder(d_model=16, n_layers=1, n_heads=1, d_ff=40, vocab_size=100)
    runs = sweep.product(base, model=[small], learning_rate=[1e-3], batch_size_tokens=[128])
    with pytest.raises(InputError, match="vocab_size: 100 cannot be used; at least the 257 tokens"):
        checked_plan(runs, MAPPED, Store(tmp_path))
