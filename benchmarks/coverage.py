"""How often 95 % intervals of predictions cover the truth, far outside the fitted data, over simulated tables.

Three laws, each with three kinds of errors:

    independent   of every run alone;
    shared        every order of the data is used by two trunks, of two sizes, each of which gives several annealed
                  runs at budgets of its own: orders are groups of rows that share nothing with the others;
    crossed       the same, annealed at one grid of budgets, which repeats each cell over trunks and orders and so
                  leaves three groups of rows that share nothing; what trunks and orders share outweighs what each run
                  has of its own.

The point predicted has four times the largest params and tokens. The rate at which an interval made for independent
least-squares rows covers stands beside.
"""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from measuring import parser

from lbscale import laws
from lbscale.laws import Law
from lbscale.laws.effects import Z975

BAR = (0.93, 0.97)
SIZES = 4e7 * 2.0 ** np.arange(6)
BUDGETS = 8e8 * 2.0 ** np.arange(6)
CROSSED_BUDGETS = 8e8 * 2.0 ** np.arange(0.0, 5.5, 0.5)  # a checkpoint annealed at each of them
KINDS = ("independent", "shared", "crossed")


class Errors(NamedTuple):
    """Standard deviations of ln loss: of each row, of each trunk, and of each order of the data."""

    row: float
    trunk: float
    order: float

    @property
    def run(self) -> float:
        """Of one more run, of a new trunk on a new order."""
        return float(np.sqrt(self.row**2 + self.trunk**2 + self.order**2))


SCATTER = {
    "independent": Errors(0.003, 0.0, 0.0),
    "shared": Errors(0.003, 0.003, 0.003),
    "crossed": Errors(0.001, 0.004, 0.004),
}


@dataclass(frozen=True)
class Case:
    """A law, its true parameters, and the settings that its rows are tried at, as factors of the best."""

    law: Law
    truth: tuple[float, ...]
    arms: tuple[tuple[float, ...], ...] = ((),)
    n_budgets: int = 3  # runs of a trunk, each with all the arms
    n_crossed_budgets: int = 11

    def point(self) -> dict[str, float]:
        """What is predicted, settings at their true best."""
        sizes = {"n_params": 4 * SIZES[-1], "n_tokens": 4 * BUDGETS[-1]}
        return {**sizes, **self.best(sizes)}

    def best(self, sizes: Mapping[str, Any]) -> dict[str, float]:
        """The best settings at sizes, for a law that has any."""
        if not self.law.tuned:
            return {}
        found = self.law.optimum(np.array(self.truth), **sizes)
        return {name: float(values[0]) for name, values in zip(self.law.tuned, found, strict=False)}

    def loss(self, columns: Any) -> np.ndarray:
        """The law's own loss."""
        return self.law.predict(np.array(self.truth), columns)


CENTRE = {"n_params": 2e8, "n_tokens": 4e9}
STAR = ((1, 1), (2.8, 1), (1 / 2.8, 1), (1, 4), (1, 1 / 4), (2.8, 4), (1 / 2.8, 1 / 4))
CASES = {
    "chinchilla": Case(laws.get("chinchilla"), (1.8, 480.0, 2100.0, 0.35, 0.37)),
    "kaplan": Case(laws.get("kaplan"), (11.5, 20.0, 0.076, 0.095)),
    "joint": Case(
        laws.get("joint").at(CENTRE),
        (1.8, 0.6, 0.5, 0.35, 0.37, 3e-3, -0.4, -0.1, 0.4, 3e5, 0.5, 0.06, 1.8, 0.02, 1.3),
        STAR,
        n_budgets=1,
        n_crossed_budgets=2,
    ),
}


def table(case: Case, rng: np.random.Generator, n_groups: int, kind: str) -> pd.DataFrame:
    """Runs of `n_groups` orders of the data on two trunks each, with errors of a kind."""
    crossed, scatter = kind == "crossed", SCATTER[kind]
    rows = []
    for order in range(n_groups):
        for trunk in range(2):
            n_params = SIZES[(2 * order + trunk) % SIZES.size]
            n_budgets = case.n_crossed_budgets if crossed else case.n_budgets
            for budget in rng.choice(CROSSED_BUDGETS if crossed else BUDGETS, n_budgets, replace=False):
                jitter = 1.0 if crossed else np.exp(rng.uniform(-0.3, 0.3))
                sizes = {"n_params": n_params, "n_tokens": budget * jitter}
                best = case.best(sizes)
                for arm in case.arms:
                    settings = {name: best[name] * factor for name, factor in zip(best, arm, strict=True)}
                    rows.append({**sizes, **settings, "trunk_key": f"{order}-{trunk}", "data_seed": order})
    frame = pd.DataFrame(rows)
    trunk = frame.groupby("trunk_key", sort=False).ngroup().to_numpy()
    error = scatter.row * rng.standard_normal(len(frame))
    error += scatter.trunk * rng.standard_normal(trunk.max() + 1)[trunk]
    error += scatter.order * rng.standard_normal(n_groups)[frame["data_seed"]]
    if kind == "independent":
        frame = frame.drop(columns=["trunk_key", "data_seed"])
    return frame.assign(loss=case.loss(frame) * np.exp(error))


def cover(name: str, n_groups: int, kind: str, n_tables: int, first: int) -> dict[str, Any]:
    """How many of the tables' intervals hold the truth: of the mean, of one new run, and of independent rows."""
    case = CASES[name]
    point = case.point()
    truth = float(case.loss({column: np.array([value]) for column, value in point.items()})[0])
    inside = {"mean": 0, "new_run": 0, "naive": 0}
    widths = []
    for k in range(first, first + n_tables):
        rng = np.random.default_rng([k, n_groups, KINDS.index(kind)])
        fit = laws.fit(table(case, rng, n_groups, kind), case.law, bootstrap=0)
        prediction = fit.predict(**point)
        run = truth * np.exp(SCATTER[kind].run * rng.standard_normal())
        low, high = prediction.interval_mean
        inside["mean"] += low is not None and low <= truth <= high
        widths.append(np.inf if low is None else np.log(high / low))
        low, high = prediction.interval_new_run
        inside["new_run"] += low is not None and low <= run <= high
        inside["naive"] += abs(np.log(prediction.value / truth)) <= Z975 * naive_sd(fit, point)
    shares = {what: hits / n_tables for what, hits in inside.items()}
    rates = {f"{what}_coverage": share for what, share in shares.items()}
    errors = {f"{what}_error": float(np.sqrt(share * (1 - share) / n_tables)) for what, share in shares.items()}
    return {
        "law": name, "errors": kind, "groups": n_groups, "tables": n_tables,
        **rates, **errors, "median_width": float(np.median(widths)),
    }  # fmt: skip


def naive_sd(fit: laws.Fit, point: Mapping[str, float]) -> float:
    """What the prediction's standard deviation would be if rows were independent and alike."""
    columns = {name: np.array([value]) for name, value in point.items()}
    gradient = fit.law.gradient(fit.theta, lambda theta: np.log(fit.law.predict(theta, columns)[..., 0]))
    gradient = fit.effects.shift.T @ gradient
    rows = fit.effects.spreads[fit.effects.names.index("run")]
    return float(np.sqrt(fit.effects.variances.sum() * gradient @ rows @ gradient))


def main() -> None:
    options = parser(__doc__, "20 tables of each kind instead of 1000")
    options.add_argument("--tables", type=int, help="tables of each kind")
    options.add_argument("--first", type=int, default=0, help="number of the first table, to split a long run")
    options.add_argument("--laws", nargs="+", choices=CASES, default=list(CASES), help="default: all")
    options.add_argument("--errors", nargs="+", choices=KINDS, default=list(KINDS), help="default: all")
    options.add_argument("--groups", nargs="+", type=int, default=[24, 12], help="orders of the data (default 24, 12)")
    options = options.parse_args()
    n_tables = options.tables or (20 if options.quick else 1000)
    rows = []
    for n_groups in options.groups:
        for name in options.laws:
            for kind in options.errors:
                rows.append(cover(name, n_groups, kind, n_tables, options.first))
                if not options.json:
                    print(said(rows[-1]), flush=True)
    bars = [
        {
            "name": f"{what} coverage of {row['law']}, {row['errors']} errors, {row['groups']} groups",
            "value": row[f"{what}_coverage"],
            "bar": list(BAR),
            "met": BAR[0] <= row[f"{what}_coverage"] <= BAR[1],
        }
        for row in rows
        for what in ("mean", "new_run")
        if row["groups"] >= 20
    ]
    machine = {"system": platform.platform(), "python": platform.python_version(), "cores": os.cpu_count()}
    if options.json:
        print(json.dumps({"machine": machine, "rows": rows, "bars": bars}))
    else:
        print(f"{sum(bar['met'] for bar in bars)} of {len(bars)} within {BAR[0]:.0%} to {BAR[1]:.0%}")


def said(row: dict[str, Any]) -> str:
    parts = (
        f"{what} {100 * row[f'{what}_coverage']:.1f} +- {100 * row[f'{what}_error']:.1f} %"
        for what in ("mean", "new_run", "naive")
    )
    kind = f"{row['law']}, {row['errors']} errors, {row['groups']} groups, {row['tables']} tables"
    return f"{kind}: {', '.join(parts)}; width {row['median_width']:.3g}"


if __name__ == "__main__":
    main()
