"""From the forest to cohorts: stretches that one compiled program trains, in groups that are vectorised together."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass

from lbscale.clock import trained_tokens
from lbscale.count import training_flops, training_flops_per_token
from lbscale.plan.forest import Stretch, grow_forest
from lbscale.plan.layout import Layout, Program
from lbscale.spec import Run, run_key


@dataclass(frozen=True)
class Group:
    """Stretches that are vectorised together: their updates fall on the same tokens."""

    lanes: tuple[Stretch, ...]

    @property
    def n_tokens(self) -> int:
        """Row positions that each lane trains."""
        return self.lanes[0].n_tokens


@dataclass(frozen=True)
class Cohort:
    """All stretches of one program, as groups: those with the longest way still before them first."""

    program: Program
    groups: tuple[Group, ...]

    @property
    def runs(self) -> tuple[Run, ...]:
        """Every run that ends in the cohort."""
        return tuple(run for group in self.groups for stretch in group.lanes for run in stretch.ends)

    @property
    def flops(self) -> float:
        """Exact training FLOPs."""
        return sum(stretch.flops for group in self.groups for stretch in group.lanes)


@dataclass(frozen=True)
class Plan:
    """Cohorts still to train, the cheapest program first; the forest they are made of; how many runs are there."""

    cohorts: tuple[Cohort, ...]
    stretches: tuple[Stretch, ...]
    n_done: int

    @property
    def runs(self) -> tuple[Run, ...]:
        """Every run still to train."""
        return tuple(run for cohort in self.cohorts for run in cohort.runs)

    @property
    def n_compilations(self) -> int:
        """Training programs to compile: at most shapes x buckets of micro-batch size."""
        return len(self.cohorts)

    @property
    def flops(self) -> float:
        """Exact training FLOPs still to spend."""
        return sum(cohort.flops for cohort in self.cohorts)

    @property
    def flops_alone(self) -> float:
        """What the same runs would cost if each were trained alone."""
        return sum(run_flops(run) for run in self.runs)


def run_flops(run: Run) -> float:
    """Exact training FLOPs of one run on its own."""
    return training_flops(run.model, run.data.seq_len, trained_tokens(run))


def make_plan(runs: Iterable[Run], layout: Layout, done: Collection[str] = ()) -> Plan:
    """Arrange the runs whose keys are not in `done`."""
    by_key = {run_key(run): run for run in runs}
    kept = set(done)
    stretches = grow_forest([run for key, run in by_key.items() if key not in kept], layout)
    reach = tokens_reached(stretches)
    programs: dict[Program, list[Stretch]] = {}
    for stretch in stretches:
        programs.setdefault(stretch.program, []).append(stretch)
    cohorts = [Cohort(program, _groups(members, reach, layout)) for program, members in programs.items()]
    cohorts.sort(key=lambda cohort: training_flops_per_token(cohort.program.model, cohort.program.data.seq_len))
    return Plan(tuple(cohorts), stretches, sum(key in kept for key in by_key))


def tokens_reached(stretches: tuple[Stretch, ...]) -> list[int]:
    """For each stretch, the token count at which the longest run that passes through it ends."""
    reach = [stretch.last_tokens for stretch in stretches]
    for stretch in reversed(stretches):
        if stretch.parent is not None:
            reach[stretch.parent] = max(reach[stretch.parent], reach[stretch.index])
    return reach


def _groups(members: list[Stretch], reach: list[int], layout: Layout) -> tuple[Group, ...]:
    # What has the longest way before it comes first, so that trunks are ready when their branches are wanted, and no
    # device is left with a long run when the others have finished.
    to_go = lambda stretch: reach[stretch.index] - stretch.first_tokens
    alike: dict[object, list[Stretch]] = {}
    for stretch in sorted(members, key=to_go, reverse=True):
        alike.setdefault(stretch.updates, []).append(stretch)
    size = layout.group_size
    groups = [Group(tuple(same[i : i + size])) for same in alike.values() for i in range(0, len(same), size)]
    return tuple(sorted(groups, key=lambda group: to_go(group.lanes[0]), reverse=True))
