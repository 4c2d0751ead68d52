"""The training loop: fill slots with groups of lanes, advance them all, measure at stops, write what finished."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from lbscale import data
from lbscale.count import training_flops
from lbscale.execute.course import Course
from lbscale.execute.slot import Slot, window
from lbscale.execute.stop import stop
from lbscale.parallel import make_mesh
from lbscale.plan import Layout, Plan
from lbscale.spec import Run
from lbscale.store import Result, Store
from lbscale.train import LanePrograms, LaneState, lane_programs
from lbscale.train.lanes import rows_on_device


@dataclass(frozen=True)
class Progress:
    """What a display may want to know after a call: tokens trained by all lanes, their FLOPs, the runs that ended."""

    n_tokens: int
    n_flops: float
    finished: tuple[tuple[Run, Result], ...]


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
        finished = stop(slots, states, evaluation, lanes, corpus, course)
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
