"""What happens at a stop: read curves and last losses, end runs, and keep the states that others grow from."""

from __future__ import annotations

import time

import jax
import numpy as np

from lbscale.data import PackedCorpus
from lbscale.execute.course import Course
from lbscale.execute.record import Reading, result_of
from lbscale.execute.slot import Slot, curve_rows
from lbscale.plan import Stretch
from lbscale.spec import Run
from lbscale.store import CurvePoint, Result
from lbscale.train import LanePrograms, LaneState, measure
from lbscale.train.step import RowBatch

Finished = list[tuple[Run, Result]]


def stop(
    slots: list[Slot | None],
    states: LaneState,
    evaluation: RowBatch,
    lanes: LanePrograms,
    corpus: PackedCorpus,
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


def _note(slot: Slot, sums_LR: np.ndarray, diverged_L: np.ndarray, corpus: PackedCorpus, course: Course) -> None:
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
    corpus: PackedCorpus,
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
