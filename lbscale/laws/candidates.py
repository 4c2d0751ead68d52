"""Runs that could be trained next: the table's own ladders of sizes, budgets and settings, each longer by a step.

What a run costs beside others on its trunk follows warmup-stable-decay (Hu et al. 2024,
https://arxiv.org/abs/2404.06395): the stable stretch is trained once, and each budget has a decay of its own.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from lbscale.errors import check
from lbscale.laws.choosing import Cost
from lbscale.laws.form import Law
from lbscale.laws.grid import snap

MOST_LEVELS = 12  # of one column; a table with more values of it gets as many at equal ratios
MOST_STEPS = 12  # beyond the table's own, where the caller allows more
RATIO_REACH = 2.0  # factor beyond the tokens per param of table and target
MOST_EXCESS = 0.02  # share of the best loss that settings may give up: farther off no bowl describes a run
SAME = 1.01


@dataclass(frozen=True)
class Limits:
    """What can be trained: FLOPs of one run, and params; None allows one step beyond the table."""

    max_flops_per_run: float
    max_n_params: float | None = None


def ladder(values: NDArray[Any], highest: float | None = None) -> NDArray[Any]:
    """Levels (m,) of positive values (n,): their distinct ones, or `MOST_LEVELS` at equal ratios where there are more,
    and a step further at either end; up to `highest`, and by as many steps, where it is given."""
    levels = np.unique(snap(np.asarray(values, float)))
    if levels.size > MOST_LEVELS:
        levels = np.geomspace(levels[0], levels[-1], MOST_LEVELS)
    step = float(np.exp(np.median(np.diff(np.log(levels))))) if levels.size > 1 else 2.0
    n_above = 1 if highest is None else MOST_STEPS
    above = levels[-1] * step ** np.arange(1, n_above + 1)
    found = np.concatenate([[levels[0] / step], levels, above])
    return found if highest is None else found[found <= highest * (1 + 1e-9)]


def candidate_runs(
    law: Law, columns: Mapping[str, NDArray[Any]], target: Mapping[str, float], limits: Limits
) -> pd.DataFrame:
    """The product of the columns' ladders as a frame of the law's columns, within the limits and, in tokens per param,
    within a factor of the table and the target. Raises InputError where nothing is left."""
    highest = {"n_params": limits.max_n_params}
    rungs = {name: ladder(columns[name], highest.get(name)) for name in law.columns}
    grids = np.meshgrid(*rungs.values(), indexing="ij")
    frame = pd.DataFrame({name: grid.ravel() for name, grid in zip(rungs, grids, strict=True)})
    ratio = frame["n_tokens"] / frame["n_params"]
    known = np.append(columns["n_tokens"] / columns["n_params"], target["n_tokens"] / target["n_params"])
    near = ratio.between(known.min() / RATIO_REACH, known.max() * RATIO_REACH)
    cost = 6.0 * frame["n_params"] * frame["n_tokens"]
    cheap = cost <= limits.max_flops_per_run * (1 + 1e-9)
    if near.any() and not (near & cheap).any():
        check(False, "budget", limits.max_flops_per_run, f"the cheapest run costs {cost[near].min():.3g} FLOPs")
    return frame[near & cheap].reset_index(drop=True)


def near_optimum(law: Law, theta: NDArray[Any], frame: pd.DataFrame) -> NDArray[Any]:
    """Which runs, (n,) of bool, a law of tuned settings expects within `MOST_EXCESS` of the best loss at their size."""
    if not law.tuned:
        return np.ones(len(frame), bool)
    free = {name: frame[name].to_numpy() for name in law.columns if name not in law.tuned}
    expected = law.predict(theta, {name: frame[name].to_numpy() for name in law.columns})
    return np.asarray(expected <= (1.0 + MOST_EXCESS) * law.optimum(theta, **free)[-1])


def six_n_d_cost(frame: pd.DataFrame, decay_share: float | None) -> Cost:
    """6ND of the runs of `frame` that share a trunk, each decayed over its last `decay_share`; None: all are trained
    whole."""
    n_params, n_tokens = frame["n_params"].to_numpy(), frame["n_tokens"].to_numpy()

    def cost(members: tuple[int, ...]) -> float:
        tokens = n_tokens[list(members)]
        if decay_share is None:
            return float(6.0 * n_params[members[0]] * tokens.sum())
        trained = (1.0 - decay_share) * tokens.max() + decay_share * tokens.sum()
        return float(6.0 * n_params[members[0]] * trained)

    return cost


def lines(frame: pd.DataFrame) -> NDArray[Any]:
    """The number (n,) of each run's line: runs that differ in their tokens alone."""
    others = [name for name in frame.columns if name != "n_tokens"]
    return frame.groupby(others, sort=False).ngroup().to_numpy()
