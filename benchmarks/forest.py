"""What shared prefixes spare: warmup-stable-decay runs at 8 token budgets spaced by sqrt 2, each decaying over its last
15 %, at two peak learning rates.

The peer is the same program without sharing: every run from its initial values, as lanes over the same devices, in the
same process. Both arms are compiled before they are timed, take turns, and measure the same losses. Beside them, how
far a run's loss moves when it is trained under another layout, and when it is begun from another seed.
"""

from __future__ import annotations

import dataclasses
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from measuring import Row, bar, interleaved, machine, note, parser, show, summary

from lbscale import sweep
from lbscale.count import count_params, decoder_of_size
from lbscale.data import corpus_spec
from lbscale.execute import execute
from lbscale.parallel import machine_layout, one_device_per_core
from lbscale.plan import Cohort, Layout, Plan, make_plan
from lbscale.spec import AdamW, Run, WarmupStableDecay, fraction, run_key
from lbscale.store import Store

SIZE = 14e3
N_BUDGETS, SPACING, DECAY = 8, 2**0.5, 0.15
RATES = (4e-3, 8e-3)


def study(shortest: int) -> list[Run]:
    """The runs; warm-up in tokens, decay as a share of each budget."""
    base = {
        "model": decoder_of_size(SIZE),
        "data": corpus_spec(seq_len=64),
        "optimizer": AdamW(),
        "schedule": WarmupStableDecay(decay_tokens=fraction(DECAY), warmup_tokens=8_192),
    }
    budgets = [round(shortest * SPACING**i) for i in range(N_BUDGETS)]
    return sweep.product(base, learning_rate=RATES, n_tokens=budgets, batch_size_tokens=[256])


def unshared(runs: list[Run], layout: Layout) -> Plan:
    """The plan in which every run is a tree of its own; all of them have one program."""
    alone = {run_key(run): run for run in sorted(runs, key=lambda run: -run.n_tokens)}
    stretches = tuple(
        dataclasses.replace(make_plan([run], layout).stretches[0], index=i, tree=key)
        for i, (key, run) in enumerate(alone.items())
    )
    trees = {key: (run,) for key, run in alone.items()}
    return Plan((Cohort(stretches[0].program, stretches),), stretches, 0, trees)


class Arm:
    """A plan, and the function that carries it out into a store of its own."""

    def __init__(self, name: str, plan: Plan, layout: Layout) -> None:
        self.name, self.plan, self.layout = name, plan, layout
        self.losses: dict[str, float | None] = {}

    def train(self) -> float:
        """Seconds of training all runs; their losses are kept."""
        began = time.perf_counter()
        with tempfile.TemporaryDirectory() as folder:
            for progress in execute(self.plan, self.layout, Store(Path(folder))):
                self.losses |= {run_key(run): result.loss for run, result in progress.finished}
        return time.perf_counter() - began

    def row(self, seconds: np.ndarray) -> Row:
        """The arm's costs."""
        return {
            "arm": self.name,
            "n_runs": len(self.plan.runs),
            "n_params": count_params(self.plan.runs[0].model).non_embedding,
            "n_tokens_longest": max(run.n_tokens for run in self.plan.runs),
            "flops": self.plan.flops,
            **summary(seconds, "seconds"),
            "median_loss": float(np.median([np.nan if loss is None else loss for loss in self.losses.values()])),
        }


def measure(shortest: int, repeats: int) -> tuple[list[Row], list[Row]]:
    """Rows of both arms, and the bars."""
    runs, layout = study(shortest), machine_layout()
    forest, alone = Arm("forest", make_plan(runs, layout), layout), Arm("alone", unshared(runs, layout), layout)
    note(f"{len(runs)} runs, {shortest:,} tokens and more: compiling")
    Arm("warm-up", make_plan(study(8_192), layout), layout).train()
    turns: list[Callable[[], float]] = [forest.train, alone.train]
    seconds = interleaved(turns, repeats)
    rows = [arm.row(taken) for arm, taken in zip((forest, alone), seconds, strict=True)]
    n_equal = sum(forest.losses[key] == alone.losses[key] for key in map(run_key, runs))
    same = "share of runs whose loss is the same to the last bit"
    return rows, [
        bar("FLOPs alone over FLOPs of the forest", alone.plan.flops / forest.plan.flops, 2.0),
        bar("seconds alone over seconds of the forest", float(np.median(seconds[1]) / np.median(seconds[0])), 1.0),
        bar(same, n_equal / len(runs), 1.0),
    ]


def spreads(shortest: int, layout: Layout) -> list[Row]:
    """How far losses move, in nats per token, under other layouts and from another seed."""
    runs = study(shortest)
    here = losses(runs, layout)
    others = {
        "2 lanes a group": dataclasses.replace(layout, group_size=2),
        "1 device": dataclasses.replace(layout, lane=1),
        "micro-batch doubled": dataclasses.replace(layout, micro_batch_tokens=2 * layout.micro_batch_tokens),
    }
    there = {name: losses(runs, other) for name, other in others.items()}
    there["another seed"] = losses([dataclasses.replace(run, init_seed=1) for run in runs], layout)
    found = []
    for name, moved in there.items():
        off = np.abs(np.subtract(here, moved))
        found.append(
            {"moved by": name, "n_runs": len(runs), "median": float(np.median(off)), "largest": float(off.max())}
        )
    return found


def losses(runs: list[Run], layout: Layout) -> list[float]:
    """The runs' losses, in order."""
    arm = Arm("spread", make_plan(runs, layout), layout)
    arm.train()
    return [arm.losses[run_key(run)] or np.nan for run in runs]


def line(row: Row) -> str:
    """A row as text."""
    if "moved by" in row:
        return (
            f"losses under {row['moved by']}: {row['median']:.2g} nats off in the median, {row['largest']:.2g} at most"
        )
    low, high = row["spread"]
    return (
        f"{row['arm']:>8}: {row['n_runs']} runs of {row['n_params']:,} params, to {row['n_tokens_longest']:,} tokens: "
        f"{row['flops']:.3g} FLOPs, {row['seconds']:.1f} s ({low:.1f} to {high:.1f}), "
        f"median loss {row['median_loss']:.4f}"
    )


def main() -> None:
    """Measure, and print a table or one JSON document."""
    options = parser(__doc__, "half the tokens, one turn").parse_args()
    one_device_per_core()
    rows, bars = measure(*((16_384, 1) if options.quick else (32_768, 3)))
    rows += spreads(16_384, machine_layout())
    show(machine(peer="lbscale without sharing"), rows, bars, line, options.json)


if __name__ == "__main__":
    main()
