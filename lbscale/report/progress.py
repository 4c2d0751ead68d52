"""How far a study is: what is done, what runs, what diverged or was stopped, and what is left with its cost."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pandas as pd

from lbscale.count import count_params, training_flops
from lbscale.report.blocks import Bar, Block, Section, Table, Text
from lbscale.report.exhibit import Column, Exhibit
from lbscale.report.style import short
from lbscale.spec import Run, from_json, run_key

if TYPE_CHECKING:
    from lbscale.conduct import Conducted


@dataclass(frozen=True)
class Progress:
    """Counts of a study's runs, the follow-up's among them once it is decided; `left_flops` of those that are not
    recorded, each counted as if it were trained alone from its first token."""

    n_finished: int
    n_diverged: int
    n_stopped: int
    n_running: int
    n_waiting: int
    done_flops: float
    left_flops: float
    left: Mapping[tuple[float, int], tuple[int, float]]

    @property
    def is_complete(self) -> bool:
        """Whether every run is recorded."""
        return self.n_running + self.n_waiting == 0

    def document(self) -> dict[str, float]:
        """The counts as plain JSON values."""
        return {
            "n_finished": self.n_finished,
            "n_diverged": self.n_diverged,
            "n_stopped": self.n_stopped,
            "n_running": self.n_running,
            "n_waiting": self.n_waiting,
            "done_flops": self.done_flops,
            "left_flops": self.left_flops,
        }


def progress_of(conducted: Conducted, running: Collection[str] = ()) -> Progress:
    """The progress of what is recorded; `running` are the keys of runs that a worker has claimed."""
    tables = [table for table in (conducted.table, conducted.follow_up_table) if len(table)]
    recorded = {key for table in tables for key in table["key"]}
    runs = [*conducted.study.runs, *_decided(conducted)]
    left = {run_key(run): run for run in runs if run_key(run) not in recorded}
    status = Counter(status for table in tables for status in table["status"])
    n_running = sum(key in left for key in running)
    costs = {key: training_flops(run.model, run.data.seq_len, run.n_tokens) for key, run in left.items()}
    return Progress(
        n_finished=status["finished"],
        n_diverged=status["diverged"],
        n_stopped=status["stopped"],
        n_running=n_running,
        n_waiting=len(left) - n_running,
        done_flops=float(sum(table["train_flops"].sum() for table in tables)),
        left_flops=float(sum(costs.values())),
        left=_by_cell(left, costs),
    )


def _decided(conducted: Conducted) -> list[Run]:
    registered = conducted.registered
    return [] if registered is None else [from_json(document) for document in registered["runs"]]


def _by_cell(left: Mapping[str, Run], costs: Mapping[str, float]) -> dict[tuple[float, int], tuple[int, float]]:
    found: dict[tuple[float, int], tuple[int, float]] = {}
    for key, run in left.items():
        cell = float(count_params(run.model).non_embedding), run.n_tokens
        number, flops = found.get(cell, (0, 0.0))
        found[cell] = number + 1, flops + costs[key]
    return dict(sorted(found.items()))


def progress_section(progress: Progress) -> Section:
    """A bar, a sentence, and what is left by size and budget."""
    parts = (
        ("finished", progress.n_finished),
        ("diverged", progress.n_diverged),
        ("stopped", progress.n_stopped),
        ("running", progress.n_running),
        ("left", progress.n_waiting),
    )
    done = f"{progress.done_flops:.3g} FLOPs are recorded"
    left = f"; {progress.left_flops:.3g} are left, each run counted as if trained alone: shared beginnings cost less"
    blocks: list[Block] = [Bar(parts), Text(done + ("." if progress.is_complete else f"{left}."), small=True)]
    if not progress.is_complete:
        blocks.append(Table(_exhibit(progress)))
    return Section("progress", "Progress", tuple(blocks))


def _exhibit(progress: Progress) -> Exhibit:
    rows = [
        {
            "n_params": size,
            "n_tokens": tokens,
            "params": short(size),
            "tokens": short(tokens),
            "runs": n,
            "flops": flops,
        }
        for (size, tokens), (n, flops) in progress.left.items()
    ]
    columns = (
        Column("params", ("params",)),
        Column("tokens", ("tokens",)),
        Column("runs left", ("runs",)),
        Column("FLOPs", ("flops",), ".3g"),
    )
    return Exhibit("left-to-train", "What is left to train", pd.DataFrame(rows), columns)
