"""Chosen runs over those that are there: in params and tokens, and in learning rate and batch where these are tuned."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from lbscale.laws import NextRuns
from lbscale.report.panels import figure_of, panels
from lbscale.report.style import INK, MUTED, WARM, log_ticks, styled

PANELS = (("n_params", "n_tokens"), ("batch_size_tokens", "learning_rate"))
WORDS = {
    "n_params": "params",
    "n_tokens": "training tokens",
    "batch_size_tokens": "batch size, tokens",
    "learning_rate": "learning rate",
}
FEW, MANY = 30.0, 130.0  # areas of points for one run and for as many as any place has


def next_figure(chosen: NextRuns, ax: Any = None) -> NDArray[Any]:
    """Existing runs in grey, chosen ones in colour, larger where several share a place, and the target as a star.

    Draws on `ax` where it is given: one axes for each pair of columns. Returns the axes, ready to be drawn on.
    """
    law = chosen.fit.law
    pairs = [pair for pair in PANELS if set(pair) <= set(law.columns)]
    best = chosen.fit.law.optimum(chosen.fit.theta, **_free(chosen)) if law.tuned else ()
    point = {**{name: float(values[0]) for name, values in zip(law.tuned, best, strict=False)}, **chosen.target}
    with styled():
        axes = panels(ax, 1, len(pairs), figsize=(5.0 * len(pairs), 4.4))[0]
        for k, (axis, pair) in enumerate(zip(axes, pairs, strict=True)):
            _draw(axis, pd.DataFrame(chosen.fit.rows), chosen.runs, point, pair, settings=k > 0)
        if ax is None:
            figure_of(axes).suptitle(_title(chosen), fontsize=10, color=INK)
        axes[0].legend(loc="best")
    return axes


def _free(chosen: NextRuns) -> dict[str, float]:
    return {name: value for name, value in chosen.target.items() if name not in chosen.fit.law.tuned}


def _draw(
    axis: Any, rows: pd.DataFrame, runs: pd.DataFrame, point: dict[str, float], pair: tuple[str, str], settings: bool
) -> None:
    x, y = pair
    there = rows.drop_duplicates([x, y])
    axis.scatter(there[x], there[y], s=14, c=MUTED, alpha=0.6, linewidths=0, label=f"trained ({len(rows)})")
    if len(runs):
        places = runs.groupby([x, y]).size().reset_index(name="n")
        size = FEW + (MANY - FEW) * (places["n"] - 1) / max(float(places["n"].max()) - 1.0, 1.0)
        axis.scatter(
            places[x], places[y], s=size, c=WARM, alpha=0.75, edgecolors="white", linewidths=0.6,
            label=f"chosen ({len(runs)})", zorder=3,
        )  # fmt: skip
    label = "best at the target, by the fit" if settings else "target"
    axis.scatter(point[x], point[y], s=110, c=INK, marker="*", linewidths=0, label=label, zorder=4)
    if settings:
        axis.legend(loc="best")
    axis.set(xscale="log", yscale="log", xlabel=WORDS[x], ylabel=WORDS[y])
    log_ticks(axis.xaxis)
    log_ticks(axis.yaxis)
    axis.tick_params(axis="x", labelrotation=35)


def _title(chosen: NextRuns) -> str:
    """The cost, and what it does to each interval's width."""
    said = []
    for name, answer in chosen.answers.items():
        (low, high), value = answer["interval_after"], answer["value"]
        after = f"within {50 * np.log(high / low):.2g} %" if low is not None and high is not None else "unknown"
        before = answer["interval_before"]
        was = f"{50 * np.log(before[1] / before[0]):.2g} %" if before[0] else "unknown"
        said.append(f"{name.replace('_', ' ')} {value:.3g} {after} (was {was})")
    return f"{chosen.spent:.2g} FLOPs: {'; '.join(said)}"
