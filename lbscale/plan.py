"""From runs to cohorts of lanes, with what they will cost. Pure: no device is touched.

Runs that one compiled program can train form a cohort; runs of a cohort whose updates fall on the same micro-steps can
be vectorised together, as lanes of a group.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Collection, Iterable
from dataclasses import dataclass

from lbscale.clock import trained_tokens
from lbscale.count import count_params, training_flops
from lbscale.errors import check_choice
from lbscale.spec import Batch, Corpus, Model, Optimizer, Run, run_key
from lbscale.spec.coerce import as_int

UpdateRule = tuple[str, tuple[tuple[str, bool], ...]]
PartitionRules = tuple[tuple[str, tuple[str | None, ...]], ...]


REMAT_POLICIES = ("none", "dots", "full")
LARGE_MODEL_PARAMS = 150_000  # from here on a layout's larger micro-batch is used


@dataclass(frozen=True)
class Layout:
    """How a machine runs lanes: the mesh, the micro-batch it likes, lanes vectorised together, micro-steps a call.

    The mesh has `lane` x `data` x `fsdp` x `tensor` devices: lanes are dealt to `lane`, rows of a micro-batch to `data`
    and `fsdp`, parameters to `fsdp` and `tensor` as `partition_rules` say (None: the decoder's own). Models of at least
    `LARGE_MODEL_PARAMS` take `large_micro_batch_tokens`, where it is given. `remat` says what a layer keeps for its
    backward pass: all that is read there (none), products with weights (dots), or its input alone (full); the rest is
    computed again. A layout is part of no run: it changes how fast numbers appear, and them only by rounding.
    """

    lane: int
    micro_batch_tokens: int
    group_size: int
    chunk_steps: int = 512
    data: int = 1
    fsdp: int = 1
    tensor: int = 1
    partition_rules: PartitionRules | None = None
    large_micro_batch_tokens: int | None = None
    remat: str = "none"

    def __post_init__(self) -> None:
        for name in ("lane", "micro_batch_tokens", "group_size", "chunk_steps", "data", "fsdp", "tensor"):
            as_int(self, name, lowest=1)
        if self.large_micro_batch_tokens is not None:
            as_int(self, "large_micro_batch_tokens", lowest=1)
        check_choice("remat", self.remat, REMAT_POLICIES)

    def micro_batch_target(self, model: Model) -> int:
        """The micro-batch that the machine likes for a model, in tokens."""
        is_large = count_params(model).non_embedding >= LARGE_MODEL_PARAMS
        return (is_large and self.large_micro_batch_tokens) or self.micro_batch_tokens

    @property
    def n_devices(self) -> int:
        """Devices of the mesh."""
        return self.lane * self.data * self.fsdp * self.tensor

    @property
    def shards_runs(self) -> bool:
        """Whether one run is spread over several devices."""
        return self.n_devices > self.lane


@dataclass(frozen=True)
class Program:
    """What a compiled program depends on: equal programs are compiled once."""

    model: Model
    data: Corpus
    rule: UpdateRule
    micro_batch_tokens: int


@dataclass(frozen=True)
class Group:
    """Runs that are vectorised together: one batch schedule, one budget."""

    runs: tuple[Run, ...]

    @property
    def n_tokens(self) -> int:
        """Row positions that each run of the group trains on."""
        return trained_tokens(self.runs[0])


@dataclass(frozen=True)
class Cohort:
    """All runs of one program, as groups, the longest first."""

    program: Program
    groups: tuple[Group, ...]

    @property
    def runs(self) -> tuple[Run, ...]:
        """Every run of the cohort."""
        return tuple(run for group in self.groups for run in group.runs)

    @property
    def flops(self) -> float:
        """Exact training FLOPs."""
        return sum(run_flops(run) for run in self.runs)


@dataclass(frozen=True)
class Plan:
    """Cohorts still to train, the cheapest program first, and how many runs were already there."""

    cohorts: tuple[Cohort, ...]
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


def run_flops(run: Run) -> float:
    """Exact training FLOPs of one run."""
    return training_flops(run.model, run.data.seq_len, trained_tokens(run))


def update_rule(optimizer: Optimizer) -> UpdateRule:
    """What of an optimizer is structure rather than a number: its kind, and its switches by name."""
    switches = [(field.name, getattr(optimizer, field.name)) for field in dataclasses.fields(optimizer)]
    return optimizer.kind, tuple((name, value) for name, value in switches if isinstance(value, bool))


def micro_batch_tokens(batch: Batch, seq_len: int, target: int) -> int:
    """The largest power-of-two number of rows, in tokens, that divides every batch size and stays within `target`."""
    rows = math.gcd(*(size // seq_len for size in batch.sizes_tokens))
    largest = max(1, min(rows, target // seq_len))
    return seq_len * max(2**k for k in range(largest.bit_length()) if rows % 2**k == 0 and 2**k <= largest)


def make_plan(runs: Iterable[Run], layout: Layout, done: Collection[str] = ()) -> Plan:
    """Arrange the runs whose keys are not in `done`."""
    by_key = {run_key(run): run for run in runs}
    programs: dict[Program, dict[tuple[int, Batch], list[Run]]] = {}
    for key, run in by_key.items():
        if key in done:
            continue
        micro = micro_batch_tokens(run.batch, run.data.seq_len, layout.micro_batch_target(run.model))
        program = Program(run.model, run.data, update_rule(run.optimizer), micro)
        programs.setdefault(program, {}).setdefault((run.n_tokens, run.batch), []).append(run)
    cohorts = [Cohort(program, _groups(similar, layout.group_size)) for program, similar in programs.items()]
    cohorts.sort(key=lambda cohort: cohort.flops / sum(group.n_tokens for group in cohort.groups))
    return Plan(tuple(cohorts), sum(key in done for key in by_key))


def _groups(similar: dict[tuple[int, Batch], list[Run]], group_size: int) -> tuple[Group, ...]:
    groups = [
        Group(tuple(runs[first : first + group_size]))
        for runs in similar.values()
        for first in range(0, len(runs), group_size)
    ]
    # The longest first, so that no device is left with a long run when the others have finished.
    return tuple(sorted(groups, key=lambda group: -group.n_tokens))
