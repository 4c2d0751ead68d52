"""What share of a full grid's FLOPs reaches its interval, where `lbscale.next_runs` chooses the runs.

Each replay begins with a small seed design and pretends that nothing else is trained. Round by round, runs worth a
share of the full grid's FLOPs are chosen, their rows come in and the law is refitted, until its 95 % interval is as
narrow as that of the full grid. Beside it, runs drawn at random from the same grid, as many FLOPs of them.

    trunks          a simulated loss surface; sizes x budgets x two seeds, budgets branching from trunks, with errors of
                    trunks and of runs; the loss at four times the size and the tokens. The truth is known: how often
                    the interval reached holds it.
    step_law_loss   the public table of Li et al. 2025, where LBSCALE_TABLES names its folder: the loss of the largest
    step_law_best   size at the most tokens; and its best learning rate and batch. Costs are 6ND.
"""

from __future__ import annotations

import os
import platform
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from measuring import Row, bar, note, parser, show

from lbscale import laws

BAR = 0.25
COVERAGE = 0.9  # of 95 % intervals: what stopping at a narrow one may cost
FIRST_ROUND = 0.02  # share of the full grid's FLOPs; each further round may cost half as much as all before
N_NARROW = 2  # rounds running
GIVEN_UP = 0.35  # share of the full grid's FLOPs
MOST_RUNS = 40  # of a round
DRAWS = 4
Found = dict[str, tuple[float, float, float]]


@dataclass(frozen=True)
class Question:
    """A law, a target, and what is located there (nothing: the loss)."""

    law: str
    target: dict[str, float]
    locate: tuple[str, ...] = ()

    def ask(self, table: pd.DataFrame) -> Found:
        """Quantity -> its value and the ends of its 95 % interval, of a fit to the table."""
        fit = laws.fit(table, self.law, bootstrap=0)
        if not self.locate:
            found = fit.predict(**self.target)
            return {"loss": (found.value, *_ends(found.interval_mean))}
        best = fit.optimum(**self.target)
        return {name: (best[name]["value"], *_ends(best[name]["interval"])) for name in self.locate}

    def next(self, table: pd.DataFrame, grid: pd.DataFrame, budget: float, **options: Any) -> pd.DataFrame:
        """Rows of `grid` to train, with their trunks and costs."""
        chosen = laws.next_runs(
            table, self.law, budget=budget, target=self.target, locate=self.locate, candidates=grid,
            draws=DRAWS, max_runs=MOST_RUNS, **options,
        ).runs  # fmt: skip
        return grid.iloc[chosen["candidate"]].assign(trunk=chosen["trunk"].to_numpy(), cost=chosen["cost"].to_numpy())


def _ends(interval: list[float | None]) -> tuple[float, float]:
    low, high = interval
    return (0.0, np.inf) if low is None or high is None else (low, high)


def log_width(found: Found) -> float:
    """The mean ln ratio of the intervals' ends; infinite where one is unknown."""
    return float(np.mean([np.log(high / low) if low > 0 else np.inf for _, low, high in found.values()]))


LARGEST = {"n_params": 2.0**30, "n_tokens": 1e11}  # each is in the public table, both together are not
PUBLIC = {
    "step_law_loss": Question("joint", LARGEST),
    "step_law_best": Question("joint", LARGEST, ("learning_rate", "batch_size_tokens")),
}


class Public:
    """The grids of Li et al. 2025: 17 cells of some 110 settings each, every one of which may be trained once."""

    def __init__(self, name: str, folder: str) -> None:
        self.question = PUBLIC[name]
        columns = ["n_params", "n_tokens", "learning_rate", "batch_size_tokens", "loss"]
        self.full = pd.read_csv(Path(folder) / "steplaw_dense.csv")[columns].astype(float)
        self.full["cost"] = 6.0 * self.full["n_params"] * self.full["n_tokens"]
        self.cost = float(self.full["cost"].sum())

    def begin(self, rng: np.random.Generator) -> tuple[pd.DataFrame, pd.DataFrame]:
        """What is trained first, 8 settings at random of each of the six cheapest cells; and the other rows."""
        cells = self.full.groupby(["n_params", "n_tokens"])["cost"].mean().nsmallest(6).index
        here = self.full[pd.MultiIndex.from_frame(self.full[["n_params", "n_tokens"]]).isin(cells)]
        first = here.groupby(["n_params", "n_tokens"]).sample(8, random_state=rng)
        return first, self.full.drop(index=first.index)

    def grow(
        self, table: pd.DataFrame, rest: pd.DataFrame, budget: float, rng: np.random.Generator
    ) -> tuple[pd.DataFrame, pd.DataFrame]:
        """The table and the other rows after a round, with runs that gain little where none gains much."""
        added = self.question.next(table, rest, budget)
        if added.empty:
            added = self.question.next(table, rest, budget, least_gain=0.0)
        return pd.concat([table, self.full.loc[added.index]]), rest.drop(index=added.index)

    def random(self, first: pd.DataFrame, rest: pd.DataFrame, cost: float, rng: np.random.Generator) -> pd.DataFrame:
        """The first rows and others at random that cost as much together."""
        order = rest.iloc[rng.permutation(len(rest))]
        return pd.concat([first, order[order["cost"].cumsum() <= cost - first["cost"].sum()]])


class Trunks:
    """A simulated surface: eight sizes, eight budgets and two seeds, whose budgets branch from a trunk a seed."""

    truth = np.array([1.8, 480.0, 2100.0, 0.35, 0.37])
    sizes, budgets = 1e7 * 2.0 ** np.arange(8), 2e8 * 2.0 ** np.arange(8)
    n_seeds, decay_share = 2, 0.2
    trunk_sd, run_sd = 0.002, 0.0015  # of ln loss
    question = Question("chinchilla", {"n_params": 4 * sizes[-1], "n_tokens": 4 * budgets[-1]})

    def __init__(self, rng: np.random.Generator) -> None:
        self.grid = pd.DataFrame([(n, d) for n in self.sizes for d in self.budgets], columns=["n_params", "n_tokens"])
        every = pd.concat([self.grid.assign(trunk=f"{seed}") for seed in range(self.n_seeds)])
        every["trunk"] = every["trunk"] + every["n_params"].astype(str)
        self.full = self.train(every, rng)
        self.cost = float(self.full["cost"].sum())

    @property
    def answer(self) -> float:
        """The true loss at the target."""
        point = {name: np.array([value]) for name, value in self.question.target.items()}
        return float(laws.CHINCHILLA.predict(self.truth, point)[0])

    def train(self, runs: pd.DataFrame, rng: np.random.Generator) -> pd.DataFrame:
        """The runs with losses, and the cost of each: that of its decay, and the stable stretch of each trunk's
        longest."""
        code = runs.groupby("trunk", sort=False).ngroup().to_numpy()
        error = self.trunk_sd * rng.standard_normal(code.max() + 1)[code]
        error = error + self.run_sd * rng.standard_normal(len(runs))
        longest = runs["n_tokens"] == runs.groupby("trunk")["n_tokens"].transform("max")
        share = self.decay_share + (1.0 - self.decay_share) * longest
        return runs.assign(
            loss=laws.CHINCHILLA.predict(self.truth, runs) * np.exp(error),
            trunk_key=rng.integers(2**60, size=code.max() + 1)[code].astype(str),
            cost=6.0 * runs["n_params"] * runs["n_tokens"] * share,
        )

    def begin(self, rng: np.random.Generator) -> tuple[pd.DataFrame, pd.DataFrame]:
        """What is trained first, a trunk of each of the six smallest sizes to the three smallest budgets; the grid."""
        small = self.grid.query("n_params <= @self.sizes[5] and n_tokens <= @self.budgets[2]")
        return self.train(small.assign(trunk=small["n_params"]), rng), self.grid

    def grow(
        self, table: pd.DataFrame, grid: pd.DataFrame, budget: float, rng: np.random.Generator
    ) -> tuple[pd.DataFrame, pd.DataFrame]:
        """The table after a round, whose trunks are new, and the grid."""
        added = self.question.next(table, grid, budget, decay_share=self.decay_share, repeats=3)
        if added.empty:
            return table, grid
        return pd.concat([table, self.train(added, rng)], ignore_index=True), grid

    def random(self, first: pd.DataFrame, rest: pd.DataFrame, cost: float, rng: np.random.Generator) -> pd.DataFrame:
        """The first runs and others of the full grid, on its trunks, at random, that cost as much together."""
        order, left = self.full.iloc[rng.permutation(len(self.full))], cost - first["cost"].sum()
        for n in range(len(order), 0, -1):
            runs = self.train(order.iloc[:n], rng)
            if runs["cost"].sum() <= left:
                return pd.concat([first, runs], ignore_index=True)
        return first


def replay(world: Any, rng: np.random.Generator) -> Row:
    """One replay: the share of the full grid's FLOPs at which its interval is reached in two rounds running, since one
    may be narrow by luck; infinite where that needs over `GIVEN_UP` of it, or no further run narrows the interval."""
    aim = world.question.ask(world.full)
    first, rest = world.begin(rng)
    table, left = first, rest
    found, n_rounds, n_narrow, spent = world.question.ask(table), 0, 0, float(first["cost"].sum())
    while n_narrow < N_NARROW:
        before, budget = len(table), max(FIRST_ROUND * world.cost, 0.5 * spent)
        table, left = world.grow(table, left, budget, rng)
        spent = float(table["cost"].sum())
        if len(table) == before or spent > GIVEN_UP * world.cost:
            break
        found, n_rounds = world.question.ask(table), n_rounds + 1
        n_narrow = n_narrow + 1 if log_width(found) <= log_width(aim) else 0
    by_chance = world.question.ask(world.random(first, rest, spent, rng))
    return {
        "fraction": spent / world.cost if n_narrow == N_NARROW else float("inf"), "spent": spent / world.cost,
        "rounds": n_rounds, "rows": len(table), "full_rows": len(world.full),
        "width": log_width(found), "full_width": log_width(aim), "random_width": log_width(by_chance),
        "found": found, "full": aim,
    }  # fmt: skip


def summarise(name: str, rows: list[Row]) -> Row:
    """Medians over replays, and how many were within the bar."""
    fractions = np.array([row["fraction"] for row in rows])
    middle = {key: float(np.median([row[key] for row in rows])) for key in ("width", "full_width", "random_width")}
    return {
        "replay": name,
        "replays": len(rows),
        "fraction": float(np.median(fractions)) if np.isfinite(np.median(fractions)) else None,
        "fractions": [float(value) if np.isfinite(value) else None for value in np.sort(fractions)],
        "within_bar": float((fractions <= BAR).mean()),
        "rows": float(np.median([row["rows"] for row in rows])),
        "full_rows": rows[0]["full_rows"],
        **{key: value if np.isfinite(value) else None for key, value in middle.items()},
    }


def coverage(worlds: list[Trunks], rows: list[Row]) -> Row:
    """How many of the intervals reached, and of the full grids', hold the truth."""
    found = {}
    for key in ("found", "full"):
        ends = [row[key]["loss"][1:] for row in rows]
        inside = [low <= world.answer <= high for world, (low, high) in zip(worlds, ends, strict=True)]
        found[f"{key}_coverage"] = float(np.mean(inside))
    return found


def apart(rows: list[Row]) -> Row:
    """Per quantity, the median factor between what the chosen runs say and what the full grid says."""
    return {
        f"{name}_over_full": float(np.median([row["found"][name][0] / row["full"][name][0] for row in rows]))
        for name in rows[0]["found"]
    }


def said(row: Row) -> str:
    rest = ", ".join(f"{key} {value:.3g}" for key, value in row.items() if isinstance(value, float))
    return f"{row['replay']}, {row['replays']} replays: {rest}"


def main() -> None:
    options = parser(__doc__, "4 simulated worlds and one replay of the public table instead of 60 and 5")
    options.add_argument("--worlds", type=int, help="simulated worlds")
    options.add_argument("--first", type=int, default=0, help="number of the first world, to split a long run")
    options.add_argument("--replays", type=int, help="replays of the public table, each from a first design of its own")
    options.add_argument("--only", nargs="+", choices=("trunks", *PUBLIC), help="default: all")
    options = options.parse_args()
    only = options.only or ["trunks", *PUBLIC]
    folder = os.environ.get("LBSCALE_TABLES")
    summaries = []
    if "trunks" in only:
        n_worlds = options.worlds or (4 if options.quick else 60)
        rngs = [np.random.default_rng(k) for k in range(options.first, options.first + n_worlds)]
        worlds = [Trunks(rng) for rng in rngs]
        rows = [replay(world, rng) for world, rng in zip(worlds, rngs, strict=True)]
        summaries.append({**summarise("trunks", rows), **coverage(worlds, rows)})
    for name in PUBLIC:
        if name in only and folder:
            world = Public(name, folder)
            n_replays = options.replays or (1 if options.quick else 5)
            rows = [replay(world, np.random.default_rng(k)) for k in range(n_replays)]
            summaries.append({**summarise(name, rows), **apart(rows)})
        elif name in only:
            note(f"{name} is left out: LBSCALE_TABLES does not name the folder of public tables")
    show(
        {"system": platform.platform(), "python": platform.python_version(), "cores": os.cpu_count()},
        summaries, bars_of(summaries), said, options.json,
    )  # fmt: skip


def bars_of(summaries: list[Row]) -> list[Row]:
    """The median fraction of each replay, and the coverage where the truth is known."""
    bars = [
        {
            "name": f"{row['replay']}: median fraction of the full grid's FLOPs (at most)",
            "value": row["fraction"] if row["fraction"] is not None else 1.0,
            "bar": BAR,
            "met": row["fraction"] is not None and row["fraction"] <= BAR,
        }
        for row in summaries
    ]
    covered = [row for row in summaries if "found_coverage" in row]
    return bars + [bar(f"{row['replay']}: coverage of 95 %", row["found_coverage"], COVERAGE) for row in covered]


if __name__ == "__main__":
    main()
