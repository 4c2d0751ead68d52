"""One figure for every law: its target against a column, coloured by a second one, and what the law leaves over."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from matplotlib import colormaps
from matplotlib.cm import ScalarMappable
from matplotlib.colors import ListedColormap, LogNorm
from numpy.typing import NDArray

from lbscale.laws import Fit
from lbscale.report.law_view import MOST_CURVES, fit_runs, main_columns, view, words
from lbscale.report.panels import panels
from lbscale.report.style import ACCENT, INK, MUTED, log_ticks, short, styled


def law_figure(fit: Fit, ax: Any = None, *, along: str | None = None, by: str | None = None) -> NDArray[Any]:
    """The runs and the law, a pair of panels a target: above, the target against the column `along`, coloured by the
    column `by`, with the law's curves and the 95 % band of its mean; below, the relative residuals.

    Runs that were held out are hollow, and unfinished ones, of which only a lower bound is known, are triangles. Where
    a law reads more than two columns, each run is moved, along the law, to the best setting of the tuned columns and
    the geometric mean of the others, for which the curves are drawn. `along` and `by` default to its main columns.
    Draws on `ax` where it is given: the axes of both panels, or one for each target, which leaves the residuals out.
    Returns the axes, ready to be drawn on: (2,) or (1,) for a law of one target, (2, targets) or (1, targets) of more.
    Raises InputError for a column that the law does not read, and for another number of axes.
    """
    law = fit.law
    along, by = main_columns(fit, along, by)
    runs = fit_runs(fit)
    with styled():
        n_targets = len(law.targets)
        n_rows = 1 if ax is not None and np.size(np.array(ax, dtype=object)) == n_targets else 2
        size = (6.4 * n_targets, 5.4)
        axes = panels(ax, n_rows, n_targets, figsize=size, sharex="col", height_ratios=(3, 1.2))
        colour = _Colour(runs[by] if by else None)
        for k, target in enumerate(law.targets):
            _draw_target(axes[:, k], fit, runs, (k, target), along, by, colour)
        if by and colour.continuous:
            mappable = ScalarMappable(colour.norm, colour.map)
            bar = axes[0, 0].figure.colorbar(mappable, ax=list(axes.ravel()), pad=0.02, aspect=40, label=words(by))
            log_ticks(bar.ax.yaxis)
    return axes[:, 0] if n_targets == 1 else axes


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


def _draw_target(
    axes: Any, fit: Fit, runs: pd.DataFrame, which: tuple[int, str], along: str, by: str | None, colour: _Colour
) -> None:
    upper, lower = axes[0], axes[1] if len(axes) > 1 else None
    k, target = which
    seen = view(fit, runs, k, along, by)
    runs = seen.runs.assign(tone=list(colour(runs[by])) if by else ACCENT)
    for curve in seen.curves:
        tone = colour(curve.value) if by else ACCENT
        if np.isfinite(curve.low).all():
            upper.fill_between(curve.x, curve.low, curve.high, color=tone, alpha=0.2, lw=0)
        label = f"{short(curve.value)} {words(by)}" if by and curve.value and not colour.continuous else None
        upper.plot(curve.x, curve.mean, color=tone, label=label)
    low, high = runs[along].min(), runs[along].max()
    _draw_runs(upper, lower, runs, along)
    wide = runs["height"].max() > 10 * runs["height"].min()
    if wide:
        upper.set_yscale("log")
        log_ticks(upper.yaxis, counts=False)
    else:
        room = 0.08 * (runs["height"].max() - runs["height"].min()) or 0.05 * runs["height"].max()
        upper.set_ylim(runs["height"].min() - room, runs["height"].max() + room)
    if high > 3 * low:
        for axis in axes:
            axis.set_xscale("log")
            log_ticks(axis.xaxis)
    unit = fit.law.target_units[k]
    said = target.replace("_", " ")
    upper.set(ylabel=said if unit == "1" else f"{said}, {unit}", title=_title(fit))
    axes[-1].set_xlabel(words(along))
    if lower is not None:
        lower.axhline(0, color=MUTED, lw=1)
        lower.set_ylabel("measured / law - 1, %")
    if upper.get_legend_handles_labels()[1]:
        upper.legend(loc="best")


def _draw_runs(upper: Any, lower: Any, runs: pd.DataFrame, along: str) -> None:
    """Runs as points on both panels, or the upper one, and a legend of what is hollow."""
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
        if marker != "^" and lower is not None:  # a lower bound has no residual
            lower.scatter(part[along], part["rest"], s=size, marker=marker, zorder=3, **style)


def _title(fit: Fit) -> str:
    band = ", band: 95 % of the mean" if len(fit.draws) > 1 else ""
    return f"{fit.law.name}: {fit.n_rows} runs{band}"
