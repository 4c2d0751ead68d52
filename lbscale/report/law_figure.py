"""One figure for every law: its target against a column, coloured by a second one, and what the law leaves over."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from matplotlib import colormaps
from matplotlib import pyplot as plt
from matplotlib.cm import ScalarMappable
from matplotlib.colors import ListedColormap, LogNorm
from matplotlib.figure import Figure, SubFigure

from lbscale.errors import check_choice
from lbscale.laws import Fit
from lbscale.laws.many import predict_many
from lbscale.report.style import ACCENT, INK, MUTED, log_ticks, short, styled

MAIN = ("n_tokens", "loss", "batch_size_tokens", "n_params")  # what is drawn along, the first that the law reads
MOST_CURVES = 6
WORDS = {"n_params": "params", "n_tokens": "training tokens", "batch_size_tokens": "batch size, tokens"}


def law_figure(
    fit: Fit, figure: Figure | SubFigure | None = None, *, along: str | None = None, by: str | None = None
) -> Figure | SubFigure:
    """The runs and the law, a pair of panels a target: above, the target against the column `along`, coloured by the
    column `by`, with the law's curves and the 95 % band of its mean; below, the relative residuals.

    Runs that were held out are hollow, and unfinished ones, of which only a lower bound is known, are triangles. Where
    a law reads more than two columns, each run is moved, along the law, to the best setting of the tuned columns and
    the geometric mean of the others, for which the curves are drawn. `along` and `by` default to its main columns.
    Draws on `figure` where one is given; the axes of the returned figure, two a target, are ready to be drawn on.
    Raises InputError for a column that the law does not read.
    """
    law = fit.law
    along = along or next((name for name in MAIN if name in law.columns), law.columns[0])
    check_choice("along", along, law.columns)
    others = [name for name in law.columns if name != along]
    if by is None and others:
        by = next((name for name in others if name not in law.tuned), others[0])
    if by is not None:
        check_choice("by", by, others)
    runs = _runs(fit)
    with styled():
        if figure is None:
            figure = plt.figure(figsize=(6.4 * len(law.targets), 5.4), layout="constrained")
        axes = figure.subplots(2, len(law.targets), sharex="col", height_ratios=(3, 1.2), squeeze=False)
        colour = _Colour(runs[by] if by else None)
        for k, target in enumerate(law.targets):
            _draw_target(axes[:, k], fit, runs, (k, target), along, by, colour)
        if by and colour.continuous:
            mappable = ScalarMappable(colour.norm, colour.map)
            bar = figure.colorbar(mappable, ax=list(axes.ravel()), pad=0.02, aspect=40, label=_words(by))
            log_ticks(bar.ax.yaxis)
    return figure


class _Colour:
    """A colour for each value of a column, light to dark: a few by name, more along a scale."""

    def __init__(self, values: pd.Series | None) -> None:
        self.values = np.unique(values) if values is not None else np.array([1.0])
        self.continuous = self.values.size > MOST_CURVES
        self.map = ListedColormap(colormaps["viridis_r"](np.linspace(0.12, 0.95, 256)))
        low, high = self.values[0], self.values[-1]
        self.norm = LogNorm(low, high if high > low else 2.0 * low)

    def __call__(self, values: Any) -> Any:
        return self.map(self.norm(np.asarray(values, float)))

    def curves(self) -> np.ndarray:
        """The values that curves are drawn for: all, or some from the smallest to the largest."""
        if not self.continuous:
            return self.values
        wanted = np.geomspace(self.values[0], self.values[-1], MOST_CURVES)
        nearest = [np.abs(np.log(self.values / value)).argmin() for value in wanted]
        return self.values[np.unique(nearest)]


def _runs(fit: Fit) -> pd.DataFrame:
    """Fitted and held-out runs, with the columns of the law, its targets, `censored` and `held`."""
    fitted = pd.DataFrame(fit.rows)[[*fit.law.columns, *fit.law.targets, "censored"]].assign(held=False)
    if not fit.holdout or not fit.holdout.get("rows"):
        return fitted
    rows = pd.DataFrame(fit.holdout["rows"])
    parts = [rows[rows["target"] == target] if "target" in rows else rows for target in fit.law.targets]
    held = parts[0][list(fit.law.columns)].reset_index(drop=True)
    measured = {target: part["measured"].to_numpy() for target, part in zip(fit.law.targets, parts, strict=True)}
    return pd.concat([fitted, held.assign(**measured, censored=False, held=True)], ignore_index=True)


def _at_curve(
    fit: Fit, columns: Mapping[str, Any], shown: tuple[str | None, ...], runs: pd.DataFrame
) -> dict[str, Any]:
    """The law's columns with those not `shown` set to their best, where tuned, else to the runs' geometric mean."""
    law = fit.law
    n = len(next(iter(columns.values())))
    filled = {name: np.asarray(columns[name], float) for name in law.columns if name in shown}
    for name in law.columns:
        if name not in shown and name not in law.tuned:
            filled[name] = np.full(n, np.exp(np.log(runs[name]).mean()))
    missing = [name for name in law.tuned if name not in shown]
    if missing:
        free = {name: values for name, values in filled.items() if name not in law.tuned}
        best = dict(zip(law.tuned, law.optimum(fit.theta, **free), strict=False))
        filled |= {name: best[name] for name in missing}
    return filled


def _draw_target(
    axes: Any, fit: Fit, runs: pd.DataFrame, which: tuple[int, str], along: str, by: str | None, colour: _Colour
) -> None:
    upper, lower = axes
    k, target = which
    own = {name: runs[name].to_numpy(float) for name in fit.law.columns}
    predicted = fit.law.predict(fit.theta, own).reshape(len(fit.law.targets), -1)[k]
    shown = (along, by)
    moved = predict_many(fit, _at_curve(fit, own, shown, runs))[0, k] / predicted
    runs = runs.assign(
        height=runs[target] * moved,
        rest=100 * (runs[target] / predicted - 1),
        tone=list(colour(runs[by])) if by else ACCENT,
    )
    low, high = runs[along].min(), runs[along].max()
    x = np.geomspace(low * (low / high) ** 0.05, high * (high / low) ** 0.05, 120)
    for value in colour.curves():
        columns = _at_curve(fit, {along: x, **({by: np.full_like(x, value)} if by else {})}, shown, runs)
        mean, below, above = predict_many(fit, columns)[:, k]
        tone = colour(value) if by else ACCENT
        if np.isfinite(below).all():
            upper.fill_between(x, below, above, color=tone, alpha=0.2, lw=0)
        label = f"{short(value)} {_words(by)}" if by and not colour.continuous else None
        upper.plot(x, mean, color=tone, label=label)
    _draw_runs(upper, lower, runs, along)
    lower.axhline(0, color=MUTED, lw=1)
    wide = runs["height"].max() > 10 * runs["height"].min()
    if wide:
        upper.set_yscale("log")
        log_ticks(upper.yaxis, counts=False)
    else:
        room = 0.08 * (runs["height"].max() - runs["height"].min()) or 0.05 * runs["height"].max()
        upper.set_ylim(runs["height"].min() - room, runs["height"].max() + room)
    if high > 3 * low:
        upper.set_xscale("log")
        log_ticks(lower.xaxis)
    unit = fit.law.target_units[k]
    said = target.replace("_", " ")
    upper.set(ylabel=said if unit == "1" else f"{said}, {unit}", title=_title(fit))
    lower.set(ylabel="measured / law - 1, %", xlabel=_words(along))
    if upper.get_legend_handles_labels()[1]:
        upper.legend(loc="best")


def _draw_runs(upper: Any, lower: Any, runs: pd.DataFrame, along: str) -> None:
    """Runs as points on both panels, and a legend of what is hollow."""
    size = 16 if len(runs) < 1000 else 4
    kinds = (
        (~runs["held"] & ~runs["censored"], "o", None),
        (runs["held"], "o", "held out"),
        (~runs["held"] & runs["censored"], "^", "unfinished: at least this"),
    )
    for here, marker, label in kinds:
        part = runs[here]
        if part.empty:
            continue
        tone = list(part["tone"])
        style = {"facecolors": "none", "edgecolors": tone, "linewidths": 1.1} if label else {"c": tone, "linewidths": 0}
        upper.scatter(part[along], part["height"], s=size, marker=marker, zorder=3, **style)
        if label:
            upper.plot([], [], marker, mfc="none", mec=INK, label=f"{label} ({len(part)})")
        if marker != "^":  # a lower bound has no residual
            lower.scatter(part[along], part["rest"], s=size, marker=marker, zorder=3, **style)


def _title(fit: Fit) -> str:
    band = ", band: 95 % of the mean" if len(fit.draws) > 1 else ""
    return f"{fit.law.name}: {fit.n_rows} runs{band}"


def _words(column: str) -> str:
    return WORDS.get(column, column.replace("_", " "))
