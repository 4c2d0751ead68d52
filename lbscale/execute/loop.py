"""The training loop: fill slots with groups of lanes, advance them all, measure at stops, write what finished."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass

import jax
import numpy as np

from lbscale import data
from lbscale.count import training_flops
from lbscale.execute.agenda import Agenda
from lbscale.execute.branches import Branches
from lbscale.execute.journal import Journal
from lbscale.execute.record import Reading, result_of
from lbscale.execute.slot import Slot, curve_rows, window
from lbscale.parallel import make_mesh
from lbscale.plan import Layout, Plan, Stretch
from lbscale.spec import Run
from lbscale.store import CurvePoint, Result, Store
from lbscale.train import LanePrograms, LaneState, lane_programs, measure
from lbscale.train.lanes import rows_on_device
from lbscale.train.step import RowBatch

Finished = list[tuple[Run, Result]]


@dataclass(frozen=True)
class Progress:
    """What a display may want to know after a call: tokens trained by all lanes, their FLOPs, the runs that ended."""

    n_tokens: int
    n_flops: float
    finished: tuple[tuple[Run, Result], ...]


@dataclass(frozen=True)
class Course:
    """How far the forest is grown: what may be seated next, the states to begin from, what was read on the way."""

    agenda: Agenda
    branches: Branches
    journal: Journal

    @classmethod
    def of(cls, plan: Plan) -> Course:
        """Before anything is trained."""
        return cls(Agenda(plan), Branches(plan.stretches), Journal(plan))


def execute(plan: Plan, layout: Layout, store: Store) -> Iterator[Progress]:
    """Train every stretch of the plan, its runs into the store, yielding progress as it goes."""
    mesh, course = make_mesh(layout), Course.of(plan)
    while (program := course.agenda.next_program()) is not None:
        yield from _train(lane_programs(program, layout, mesh), course, store)


def _train(lanes: LanePrograms, course: Course, store: Store) -> Iterator[Progress]:
    """Train what is ready for the program, and what becomes so, until nothing is."""
    layout, program = lanes.layout, lanes.program
    corpus = data.load(program.data)
    train, evaluation = (rows_on_device(rows, lanes.mesh) for rows in (corpus.train, corpus.evaluation))
    slots: list[Slot | None] = [None] * lanes.n_slots
    states = _seat(slots, lanes.empty(), lanes, course)
    while busy := [slot for slot in slots if slot is not None]:
        n_steps = min(layout.chunk_steps, *(slot.stops[0] - slot.position for slot in busy))
        now = window(slots, layout.group_size, layout.chunk_steps, n_steps, len(corpus.train), busy[0].controls[0])
        states = lanes.advance(states, train, now.apply_GS, now.hyper_GLS, now.index_GLSB, n_steps)
        for slot in busy:
            slot.position += n_steps
        finished = _stop(slots, states, evaluation, lanes, corpus, course)
        for run, result in finished:
            store.write(run, result)
        states = _seat(slots, states, lanes, course)
        n_tokens = n_steps * program.micro_batch_tokens * sum(len(slot.group.lanes) for slot in busy)
        yield Progress(n_tokens, training_flops(program.model, program.data.seq_len, n_tokens), tuple(finished))


def _seat(slots: list[Slot | None], states: LaneState, lanes: LanePrograms, course: Course) -> LaneState:
    """Put groups that are ready into empty slots, at initial values or at the state that they grow from."""
    fresh_G = np.zeros(len(slots), bool)
    seeds_GL = np.zeros((len(slots), lanes.layout.group_size), np.uint32)
    begins: dict[int, list[LaneState]] = {}
    for i, slot in enumerate(slots):
        group = course.agenda.take(lanes.program) if slot is None else None
        if group is None:
            continue
        slots[i] = Slot.of(group, set().union(*map(course.journal.tokens, group.lanes)))
        if group.lanes[0].parent is None:
            fresh_G[i] = True
            seeds_GL[i, : len(group.lanes)] = [stretch.lead.init_seed for stretch in group.lanes]
        else:
            begins[i] = [course.branches.take(stretch) for stretch in group.lanes]
    states = lanes.restart(states, seeds_GL, fresh_G) if fresh_G.any() else states
    return lanes.resume(states, begins) if begins else states


def _stop(
    slots: list[Slot | None],
    states: LaneState,
    evaluation: RowBatch,
    lanes: LanePrograms,
    corpus: data.PackedCorpus,
    course: Course,
) -> Finished:
    """Measure the slots that are at a stop, the others at no cost; empty those that have ended, and return the results
    of the runs that ended with them."""
    if not any(slot is not None and slot.at_stop for slot in slots):
        return []
    n_rows = len(corpus.evaluation)
    wanted_G = np.array([slot.rows_wanted(n_rows) if slot is not None else 0 for slot in slots], np.int32)
    sums_GLR = lanes.evaluate(states, evaluation, wanted_G) if wanted_G.any() else np.zeros((len(slots), 0, 0))
    sums_GLR, diverged_GL = jax.device_get((sums_GLR, states.diverged_at))
    ended: dict[int, Slot] = {}
    finished: Finished = []
    for i, slot in enumerate(slots):
        if slot is None or not slot.at_stop:
            continue
        _note(slot, sums_GLR[i], diverged_GL[i], corpus, course)
        if slot.at_end or np.all(diverged_GL[i, : len(slot.group.lanes)] >= 0):
            ended[i], slots[i] = slot, None
            seconds = time.perf_counter() - slot.began
            for lane, stretch in enumerate(slot.group.lanes):
                course.journal.end(stretch, seconds)
                sums_R = sums_GLR[i, lane, : wanted_G[i]] if wanted_G[i] else np.full(1, np.nan)
                finished += _results(stretch, sums_R, int(diverged_GL[i, lane]), lanes, corpus, course)
        else:
            slot.stops.pop(0)
    _branch(ended, states, lanes, course)
    return finished


def _note(slot: Slot, sums_LR: np.ndarray, diverged_L: np.ndarray, corpus: data.PackedCorpus, course: Course) -> None:
    """Add a point to the curves that are read here, of lanes that are not lost."""
    for lane, stretch in enumerate(slot.group.lanes):
        if slot.n_tokens in course.journal.tokens(stretch) and diverged_L[lane] < 0:
            sums_R = sums_LR[lane, : curve_rows(len(corpus.evaluation))]
            if np.isfinite(sums_R).all():  # a lane may be lost before its next update says so
                point = measure(sums_R, corpus.evaluation)
                course.journal.note(stretch, CurvePoint(slot.n_tokens, point.loss, point.loss_se))


def _results(
    stretch: Stretch,
    sums_R: np.ndarray,
    diverged_at: int,
    lanes: LanePrograms,
    corpus: data.PackedCorpus,
    course: Course,
) -> Finished:
    """The results of the runs that end with the stretch."""
    if not stretch.ends:
        return []
    journal, measurement = course.journal, measure(sums_R, corpus.evaluation)
    path, seconds = journal.path(stretch), journal.seconds(stretch)
    readings = [Reading(path, journal.curve(run, stretch), seconds, measurement, diverged_at) for run in stretch.ends]
    return [
        (run, result_of(run, reading, corpus, lanes.layout))
        for run, reading in zip(stretch.ends, readings, strict=True)
    ]


def _branch(ended: dict[int, Slot], states: LaneState, lanes: LanePrograms, course: Course) -> None:
    """Keep the states from which others grow, and make these ready."""
    if any(course.branches.wants(stretch) for slot in ended.values() for stretch in slot.group.lanes):
        every = lanes.at_update(states)
        for i, slot in ended.items():
            for lane, stretch in enumerate(slot.group.lanes):
                if course.branches.wants(stretch):
                    course.branches.keep(stretch, jax.tree.map(lambda leaf, at=(i, lane): leaf[at].copy(), every))
    for slot in ended.values():
        course.agenda.end(slot.group)
