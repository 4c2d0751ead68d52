"""Which group of stretches may be seated next: every one of its lanes must have a state to begin from."""

from __future__ import annotations

import heapq
from collections import defaultdict

from lbscale.plan import Group, Plan, Program


class Agenda:
    """A plan's groups, each ready once the stretches that its lanes grow from have ended."""

    def __init__(self, plan: Plan) -> None:
        self._groups = [(cohort.program, group) for cohort in plan.cohorts for group in cohort.groups]
        self._ready: dict[Program, list[int]] = {cohort.program: [] for cohort in plan.cohorts}
        self._missing = [0] * len(self._groups)
        self._waiting: defaultdict[int, list[int]] = defaultdict(list)
        for i, (program, group) in enumerate(self._groups):
            for stretch in group.lanes:
                if stretch.parent is not None:
                    self._missing[i] += 1
                    self._waiting[stretch.parent].append(i)
            if not self._missing[i]:
                heapq.heappush(self._ready[program], i)

    def next_program(self) -> Program | None:
        """The first program, in the plan's order, that has something to train; None when all is trained."""
        return next((program for program, ready in self._ready.items() if ready), None)

    def take(self, program: Program) -> Group | None:
        """The program's next group, in the plan's order, or None where none is ready."""
        ready = self._ready[program]
        return self._groups[heapq.heappop(ready)][1] if ready else None

    def end(self, group: Group) -> None:
        """Make ready what waited for the group alone."""
        for stretch in group.lanes:
            for i in self._waiting.pop(stretch.index, ()):
                self._missing[i] -= 1
                if not self._missing[i]:
                    heapq.heappush(self._ready[self._groups[i][0]], i)
