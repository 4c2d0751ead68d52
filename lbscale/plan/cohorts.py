"""From the forest to cohorts: stretches that one compiled program trains."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

from lbscale.clock import origin, trained_tokens
from lbscale.count import training_flops, training_flops_per_token
from lbscale.plan.forest import Stretch, grow_forest
from lbscale.plan.layout import Layout, Program
from lbscale.plan.remaining import Kept, remaining
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
    """All stretches of one program: those with the longest way still before them first, so that trunks are ready when
    their branches are wanted, and no device is left with a long run when the others have finished."""

    program: Program
    stretches: tuple[Stretch, ...]

    @property
    def runs(self) -> tuple[Run, ...]:
        """Every run that ends in the cohort."""
        return tuple(run for stretch in self.stretches for run in stretch.ends)

    @property
    def flops(self) -> float:
        """Exact training FLOPs."""
        return sum(stretch.flops for stretch in self.stretches)


@dataclass(frozen=True)
class Plan:
    """Cohorts still to train, the cheapest program first; the forest they are made of; how many runs are there.

    `trees` are all runs, recorded or not, by `Stretch.tree`, of the trees in which something is left to train.
    """

    cohorts: tuple[Cohort, ...]
    stretches: tuple[Stretch, ...]
    n_done: int
    trees: Mapping[str, tuple[Run, ...]]

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


def make_plan(runs: Iterable[Run], layout: Layout, done: Collection[str] = (), kept: Kept | None = None) -> Plan:
    """Arrange the runs whose keys are not in `done`, each from the last state on its way that is `kept`.

    The forest is that of all runs, so that a study that goes on trains what it would have trained at once.
    """
    by_key = {run_key(run): run for run in runs}
    recorded = set(done)
    to_do = {origin(run) for key, run in by_key.items() if key not in recorded}
    forest = grow_forest([run for run in by_key.values() if origin(run) in to_do], layout)
    stretches = remaining(forest, recorded, kept or {})
    left = {stretch.tree for stretch in stretches}
    trees: dict[str, list[Run]] = {}
    for stretch in forest:
        if stretch.tree in left:
            trees.setdefault(stretch.tree, []).extend(stretch.ends)
    n_done = sum(key in recorded for key in by_key)
    return Plan(_cohorts(stretches), stretches, n_done, {tree: tuple(members) for tree, members in trees.items()})


def _cohorts(stretches: tuple[Stretch, ...]) -> tuple[Cohort, ...]:
    reach = tokens_reached(stretches)
    programs: dict[Program, list[Stretch]] = {}
    for stretch in stretches:
        programs.setdefault(stretch.program, []).append(stretch)
    to_go = lambda stretch: reach[stretch.index] - stretch.first_tokens
    cohorts = [
        Cohort(program, tuple(sorted(members, key=to_go, reverse=True))) for program, members in programs.items()
    ]
    return tuple(sorted(cohorts, key=lambda c: training_flops_per_token(c.program.model, c.program.data.seq_len)))


def tokens_reached(stretches: Sequence[Stretch]) -> list[int]:
    """For each stretch, the token count at which the longest run that passes through it ends."""
    reach = [stretch.last_tokens for stretch in stretches]
    for stretch in reversed(stretches):
        if stretch.parent is not None:
            reach[stretch.parent] = max(reach[stretch.parent], reach[stretch.index])
    return reach


def next_ends(stretches: Sequence[Stretch]) -> list[int]:
    """For each stretch, the token count at which the shortest run that passes through it ends."""
    ends = [stretch.last_tokens if stretch.ends else None for stretch in stretches]
    for stretch in reversed(stretches):
        below, above = ends[stretch.index], stretch.parent
        if above is not None and below is not None:
            ends[above] = min(below, ends[above] or below)
    return [end or stretch.last_tokens for end, stretch in zip(ends, stretches, strict=True)]
