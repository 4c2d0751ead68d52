"""Seat groups in slots: at initial values, or at the states that they grow from."""

from __future__ import annotations

import numpy as np

from lbscale.execute.branches import Standing
from lbscale.execute.course import Course
from lbscale.execute.slot import Slot
from lbscale.plan import Stretch
from lbscale.store import History
from lbscale.train import LanePrograms, LaneState


def seat(slots: list[Slot | None], states: LaneState, lanes: LanePrograms, course: Course) -> LaneState:
    """Put groups that are ready into the empty slots; the states with their lanes where they begin."""
    fresh_G = np.zeros(len(slots), bool)
    seeds_GL = np.zeros((len(slots), lanes.layout.group_size), np.uint32)
    empty = [g for g, slot in enumerate(slots) if slot is None]
    for n_before, g in enumerate(empty):
        group = course.agenda.take(lanes.program, len(empty) - n_before)
        if group is None:
            break
        histories = [History()] * len(group.lanes)
        if group.lanes[0].first_tokens:
            begins = [_begin(stretch, lanes, course) for stretch in group.lanes]
            histories = [begin.history for begin in begins]
            states = lanes.resume(states, g, [begin.state for begin in begins])
        else:
            fresh_G[g] = True
            seeds_GL[g, : len(group.lanes)] = [stretch.lead.init_seed for stretch in group.lanes]
        slots[g] = Slot.of(group, histories, set().union(*map(course.readings.tokens, group.lanes)))
    return lanes.restart(states, seeds_GL, fresh_G) if fresh_G.any() else states


def _begin(stretch: Stretch, lanes: LanePrograms, course: Course) -> Standing:
    """Where the stretch begins: on disk, or at its parent's end."""
    return course.keeper.load(stretch, lanes) if stretch.begins_from is not None else course.branches.take(stretch)
