"""Compute-optimal sizes read off the runs themselves: approaches 1 and 2 of Hoffmann et al. 2022
(https://arxiv.org/abs/2203.15556, sections 3.1 and 3.2). Approach 3 is the law `chinchilla`.

`envelope` takes the best run in each narrow range of FLOPs. `isoflop` takes runs in groups of equal FLOPs and finds
each group's size of least loss, by a parabola of loss in ln N or by Akima's interpolation (Akima 1970,
https://doi.org/10.1145/321607.321609) of the runs, which needs no shape but follows their noise. Both then draw
straight lines of ln N* and ln D* against ln C. A parabola is biased where the surface is lopsided about its valley
or runs lie far from it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from lbscale.errors import check, check_choice
from lbscale.laws.chinchilla import CHINCHILLA
from lbscale.laws.form import positive
from lbscale.laws.prediction import around
from lbscale.laws.reading import read_table, select
from lbscale.laws.table import prepare

Z975 = 1.959963984540054
FLOPS = "train_flops"
MIN_SIZES = 4
GRID = 400


@dataclass(frozen=True)
class Allocation:
    """Compute-optimal sizes, a budget at a time and as power laws of FLOPs. Intervals are 95 %, [low, high].

    Attributes:
        budgets: per budget "flops", "n_params", "n_tokens" (each of these two {"value", "interval"}), "loss", "n_rows".
        exponents: {"n_params", "n_tokens"} -> {"value", "interval"} of N* ~ C^a and D* ~ C^b.
        levels: {"n_params", "n_tokens"} -> ln of its value at `centre` FLOPs.
        warnings: what was left out, and why.
    """

    method: str
    budgets: list[dict[str, Any]]
    exponents: dict[str, dict[str, Any]]
    levels: dict[str, float]
    centre: float
    warnings: list[str]

    def at(self, flops: float) -> dict[str, float]:
        """n_params and n_tokens that the power laws give for `flops`."""
        x = np.log(positive("flops", flops) / self.centre)
        return {name: float(np.exp(self.levels[name] + x * self.exponents[name]["value"])) for name in self.levels}


def isoflop(
    table: pd.DataFrame | str | Path,
    *,
    where: str | None = None,
    method: str = "parabola",
    budgets: Sequence[float] | None = None,
    tolerance: float = 0.1,
    draws: int = 500,
    seed: int = 0,
) -> Allocation:
    """Approach 2. A budget is a group of runs whose FLOPs lie within `tolerance` of each other, or of `budgets`.

    FLOPs are the table's `train_flops`, else 6ND. Budgets with fewer than four sizes, or without an interior
    minimum, are left out with a warning. Intervals come from losses redrawn about each group's parabola with its
    scatter, and for the exponents from the scatter of the optima about their line where that is wider. Raises
    InputError unless three budgets are left.
    """
    check_choice("method", method, ("parabola", "akima"))
    tolerance = positive("tolerance", tolerance)
    rows = _rows(table, where)
    rng = np.random.default_rng(seed)
    found: list[dict[str, Any]] = []
    optima: list[tuple[NDArray[Any], NDArray[Any]]] = []
    warnings: list[str] = []
    for flops, group in _groups(rows, budgets, tolerance):
        log_n = np.log(group["n_params"].to_numpy(float))
        n_sizes = np.unique(log_n).size
        if n_sizes < MIN_SIZES:
            if n_sizes > 1:
                warnings.append(f"{flops:.3g} FLOPs: {n_sizes} sizes, fewer than {MIN_SIZES}")
            continue
        loss = group["loss"].to_numpy(float)
        best, least = _minima(log_n, _redrawn(log_n, loss, draws, rng), method)
        if not np.isfinite(best[0]):
            warnings.append(f"{flops:.3g} FLOPs: the losses have no interior minimum, so no optimum is read off them")
            continue
        missed = int(np.isnan(best[1:]).sum())
        if missed > 0.05 * draws:
            warnings.append(f"{flops:.3g} FLOPs: {missed} of {draws} redrawn tables have no interior minimum")
        along = np.polyfit(log_n, np.log(group["n_tokens"].to_numpy(float)), 1)  # slope -1 where FLOPs are 6ND
        optima.append((best, np.polyval(along, best)))
        found.append({"flops": flops, "loss": float(least[0]), "n_rows": len(group)})
    return _allocation(f"isoflop, {method}", found, optima, warnings)


def envelope(
    table: pd.DataFrame | str | Path,
    *,
    where: str | None = None,
    bins_per_decade: int = 4,
    draws: int = 500,
    seed: int = 0,
) -> Allocation:
    """Approach 1: the run of least loss in each of `bins_per_decade` equal ranges of ln FLOPs.

    Intervals come from runs resampled within each range, and from the scatter about the line. Raises InputError
    unless three ranges hold two runs or more.
    """
    check(bins_per_decade >= 1, "bins_per_decade", bins_per_decade, "1 or more")
    rows = _rows(table, where)
    rng = np.random.default_rng(seed)
    found: list[dict[str, Any]] = []
    optima: list[tuple[NDArray[Any], NDArray[Any]]] = []
    lonely = 0
    for _, group in rows.groupby(np.floor(np.log10(rows["flops"]) * bins_per_decade)):
        if len(group) < 2:
            lonely += 1
            continue
        log_n, log_d, log_c = (np.log(group[name].to_numpy(float)) for name in ("n_params", "n_tokens", "flops"))
        loss = group["loss"].to_numpy(float)
        taken = np.vstack([np.arange(len(group)), rng.integers(0, len(group), (draws, len(group)))])
        winner = np.take_along_axis(taken, np.argmin(loss[taken], axis=1)[:, None], axis=1)[:, 0]
        best = winner[0]
        # Moved to the first winner's FLOPs along the line of equal tokens per param.
        moved = 0.5 * (log_c[winner] - log_c[best])
        optima.append((log_n[winner] - moved, log_d[winner] - moved))
        found.append({"flops": float(np.exp(log_c[best])), "loss": float(loss[best]), "n_rows": len(group)})
    warnings = [f"{lonely} ranges of FLOPs hold a single run and were left out"] if lonely else []
    return _allocation("envelope", found, optima, warnings)


def _allocation(
    method: str,
    found: list[dict[str, Any]],
    optima: list[tuple[NDArray[Any], NDArray[Any]]],
    warnings: list[str],
) -> Allocation:
    """Power laws through the optima: per budget ln N* and ln D*, of the runs and then of the draws, each (1 + k,)."""
    check(len(found) >= 3, "table", f"{len(found)} usable budgets", f"at least 3 are needed; {'; '.join(warnings)}")
    log_c = np.log([budget["flops"] for budget in found])
    log_n, log_d = (np.stack(values, axis=1) for values in zip(*optima, strict=True))  # (1 + k, budgets)
    log_n, log_d = (np.where(np.isnan(values), values[:1], values) for values in (log_n, log_d))
    centre = float(log_c.mean())
    x = log_c - centre
    from scipy.special import stdtrit

    t = float(stdtrit(len(found) - 2, 0.975))
    exponents, levels = {}, {}
    for name, values in (("n_params", log_n), ("n_tokens", log_d)):
        slopes = values @ x / (x @ x)
        rest = values[0] - values[0].mean() - slopes[0] * x
        of_line = float(np.sqrt(rest @ rest / (len(found) - 2) / (x @ x)))
        sd = max(_sd(slopes[1:]), of_line * t / Z975)
        exponents[name] = {"value": float(slopes[0]), "interval": around(float(slopes[0]), sd, log=False)}
        levels[name] = float(values[0].mean())
        for k, budget in enumerate(found):
            budget[name] = {
                "value": float(np.exp(values[0, k])),
                "interval": around(float(np.exp(values[0, k])), _sd(values[1:, k])),
            }
    return Allocation(method, found, exponents, levels, float(np.exp(centre)), warnings)


def _rows(table: pd.DataFrame | str | Path, where: str | None) -> pd.DataFrame:
    """n_params, n_tokens, loss and flops of the usable rows."""
    frame = read_table(table)
    frame = frame[select(frame, where)].reset_index(drop=True)
    rows = prepare(frame, CHINCHILLA)
    kept = frame.loc[rows.index]
    six = 6.0 * rows.columns["n_params"] * rows.columns["n_tokens"]
    flops = pd.to_numeric(kept[FLOPS], errors="coerce").to_numpy(float) if FLOPS in kept else six
    flops = np.where(np.isfinite(flops) & (flops > 0), flops, six)
    return pd.DataFrame({**rows.columns, "loss": pd.to_numeric(kept["loss"]).to_numpy(float), "flops": flops})


def _groups(rows: pd.DataFrame, budgets: Sequence[float] | None, tolerance: float) -> list[tuple[float, pd.DataFrame]]:
    """FLOPs and rows of each budget, in rising order."""
    if budgets is not None:
        centres = sorted(positive("budgets", budget) for budget in budgets)
        near = [np.abs(np.log(rows["flops"] / centre)) <= np.log1p(tolerance) for centre in centres]
        return [(centre, rows[close]) for centre, close in zip(centres, near, strict=True) if close.any()]
    ordered = rows.sort_values("flops")
    code, first = [], 0.0
    for flops in ordered["flops"]:
        if flops > first * (1.0 + tolerance):
            first = flops
        code.append(first)
    return [(float(np.exp(np.log(group["flops"]).mean())), group) for _, group in ordered.groupby(np.array(code))]


def _redrawn(log_n: NDArray[Any], loss: NDArray[Any], draws: int, rng: np.random.Generator) -> NDArray[Any]:
    """The losses, then losses redrawn about their parabola, (1 + draws, n)."""
    powers = np.vander(log_n - log_n.mean(), 3)
    fitted = powers @ np.linalg.lstsq(powers, loss, rcond=None)[0]
    scatter = float(np.sqrt(np.square(loss - fitted).sum() / max(1, loss.size - 3)))
    return np.vstack([loss, fitted + scatter * rng.standard_normal((draws, loss.size))])


def _minima(log_n: NDArray[Any], losses: NDArray[Any], method: str) -> tuple[NDArray[Any], NDArray[Any]]:
    """ln N of least loss and that loss, each (k,), of losses (k, n); NaN where the minimum is not interior."""
    middle = log_n.mean()
    x = log_n - middle
    if method == "parabola":
        a, b, c = np.linalg.pinv(np.vander(x, 3)) @ losses.T
        bend = np.where(a > 0, a, np.nan)
        best = -0.5 * b / bend
        least = c + 0.5 * b * best
        inside = (best > x.min()) & (best < x.max())
        return np.where(inside, best + middle, np.nan), least
    from scipy.interpolate import Akima1DInterpolator

    sizes, which = np.unique(x, return_inverse=True)
    counts = np.bincount(which)
    means = np.stack([np.bincount(which, weights=row) for row in losses]) / counts
    grid = np.linspace(sizes[0], sizes[-1], GRID)
    curve = Akima1DInterpolator(sizes, means.T)(grid)
    k = np.argmin(curve, axis=0)
    interior = (k > 0) & (k < GRID - 1)
    return np.where(interior, grid[k] + middle, np.nan), curve[k, np.arange(len(losses))]


def _sd(draws: NDArray[Any]) -> float:
    return float(np.std(draws)) if draws.size > 1 else float("nan")
