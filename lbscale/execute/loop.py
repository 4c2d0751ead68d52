"""The training loop: fill slots with groups of lanes, advance them all, measure at stops, write what finished."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass

import jax
import numpy as np

from lbscale import data
from lbscale.count import training_flops
from lbscale.execute.record import result_of
from lbscale.execute.slot import Slot, window
from lbscale.parallel import make_mesh
from lbscale.plan import Cohort, Group, Layout, Plan
from lbscale.spec import Run
from lbscale.store import CurvePoint, Result, Store
from lbscale.train import LanePrograms, LaneState, lane_programs, measure
from lbscale.train.lanes import rows_on_device
from lbscale.train.step import RowBatch


@dataclass(frozen=True)
class Progress:
    """What a display may want to know after a call: tokens trained by all lanes, their FLOPs, the runs that ended."""

    n_tokens: int
    n_flops: float
    finished: tuple[tuple[Run, Result], ...]


def execute(plan: Plan, layout: Layout, store: Store) -> Iterator[Progress]:
    """Train every cohort of the plan into the store, yielding progress as it goes."""
    mesh = make_mesh(layout)
    for cohort in plan.cohorts:
        yield from _train_cohort(cohort, lane_programs(cohort.program, layout, mesh), store)


def _train_cohort(cohort: Cohort, lanes: LanePrograms, store: Store) -> Iterator[Progress]:
    layout, micro_batch = lanes.layout, cohort.program.micro_batch_tokens
    corpus = data.load(cohort.program.data)
    train, evaluation = (rows_on_device(rows, lanes.mesh) for rows in (corpus.train, corpus.evaluation))
    waiting = deque(cohort.groups)
    slots: list[Slot | None] = [None] * lanes.n_slots
    states = lanes.empty()
    while waiting or any(slots):
        states = _seat(slots, waiting, states, lanes)
        busy = [slot for slot in slots if slot is not None]
        n_steps = min(layout.chunk_steps, *(slot.stops[0] - slot.position for slot in busy))
        now = window(slots, layout.group_size, layout.chunk_steps, n_steps, len(corpus.train), busy[0].controls[0])
        states = lanes.advance(states, train, now.apply_GS, now.hyper_GLS, now.index_GLSB, n_steps)
        for slot in busy:
            slot.position += n_steps
        finished = _measure(slots, states, evaluation, lanes, corpus) if any(slot.at_stop for slot in busy) else []
        for run, result in finished:
            store.write(run, result)
        n_tokens = n_steps * micro_batch * sum(len(slot.group.runs) for slot in busy)
        flops = training_flops(cohort.program.model, cohort.program.data.seq_len, n_tokens)
        yield Progress(n_tokens, flops, tuple(finished))


def _seat(slots: list[Slot | None], waiting: deque[Group], states: LaneState, lanes: LanePrograms) -> LaneState:
    """Put waiting groups into empty slots and initialise their lanes."""
    fresh_G = np.zeros(len(slots), bool)
    seeds_GL = np.zeros((len(slots), lanes.layout.group_size), np.uint32)
    for i, slot in enumerate(slots):
        if slot is None and waiting:
            seated = Slot.of(waiting.popleft(), lanes.program.micro_batch_tokens)
            slots[i], fresh_G[i] = seated, True
            seeds_GL[i, : len(seated.group.runs)] = [run.init_seed for run in seated.group.runs]
    return lanes.restart(states, seeds_GL, fresh_G) if fresh_G.any() else states


def _measure(
    slots: list[Slot | None], states: LaneState, evaluation: RowBatch, lanes: LanePrograms, corpus: data.PackedCorpus
) -> list[tuple[Run, Result]]:
    """Measure every slot that is at a stop, the others at no cost; empty the slots that have ended, and return their
    results."""
    n_rows = len(corpus.evaluation)
    wanted_G = [slot.rows_wanted(n_rows) if slot is not None and slot.at_stop else 0 for slot in slots]
    sums_GLR = lanes.evaluate(states, evaluation, np.array(wanted_G, np.int32))
    sums_GLR, diverged_GL = jax.device_get((sums_GLR, states.diverged_at))
    finished: list[tuple[Run, Result]] = []
    for i, slot in enumerate(slots):
        if slot is None or not slot.at_stop:
            continue
        sums_LR, diverged_L = sums_GLR[i, :, : wanted_G[i]], diverged_GL[i, : len(slot.group.runs)]
        if len(slot.stops) == 1 or np.all(diverged_L >= 0):
            finished += _results(slot, sums_LR, diverged_L, corpus, lanes.layout)
            slots[i] = None
        else:
            _note(slot, sums_LR, corpus)
    return finished


def _note(slot: Slot, sums_LR: np.ndarray, corpus: data.PackedCorpus) -> None:
    """Add a point to the group's curves and pass the stop."""
    for curve, sums_R in zip(slot.curves, sums_LR, strict=False):
        if np.isfinite(sums_R).all():  # a lane may be lost before its next update says so
            point = measure(sums_R, corpus.evaluation)
            curve.append(CurvePoint(slot.n_tokens, point.loss, point.loss_se))
    slot.stops.pop(0)


def _results(
    slot: Slot, sums_LR: np.ndarray, diverged_L: np.ndarray, corpus: data.PackedCorpus, layout: Layout
) -> list[tuple[Run, Result]]:
    return [
        (run, result_of(slot, lane, measure(sums_LR[lane], corpus.evaluation), int(diverged_L[lane]), corpus, layout))
        for lane, run in enumerate(slot.group.runs)
    ]
