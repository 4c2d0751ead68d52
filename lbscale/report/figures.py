"""Figures of a joint fit (its bowls, its optimum, its surface), of a comparison, and of predictions and measurements.

Each draws on `ax`, one or an array of as many axes as it has panels, or on a new figure, and returns the axes, which a
user can draw on further. Learning rates are peaks, losses nats per token.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from numpy.typing import NDArray

from lbscale.laws import Comparison, Fit
from lbscale.report.panels import panels
from lbscale.report.style import ACCENT, INK, MUTED, WARM, colours, log_ticks, short, styled


def tuning(fit: Fit, ax: Any = None) -> NDArray[Any]:
    """Loss against learning rate, a panel a cell of size and tokens, a colour a batch size, with the fitted bowl.

    The axes are (budgets, sizes), both ascending.
    """
    rows = pd.DataFrame(fit.rows)
    sizes, budgets = sorted(rows["n_params"].unique()), sorted(rows["n_tokens"].unique())
    colour = colours(rows["batch_size_tokens"].unique())
    with styled():
        size = (2.6 * len(sizes) + 1, 2.2 * len(budgets))
        axes = panels(ax, len(budgets), len(sizes), figsize=size, sharex=True)
        limits = rows["learning_rate"].min() / 1.5, rows["learning_rate"].max() * 1.5
        rates = np.geomspace(*limits, 200)
        for i, budget in enumerate(budgets):
            for j, size in enumerate(sizes):
                cell = rows[(rows["n_params"] == size) & (rows["n_tokens"] == budget)]
                if cell.empty:  # of a study under way, or one that trains no such cell
                    axes[i, j].set_axis_off()
                    continue
                _draw_cell(axes[i, j], fit, cell, rates, colour)
                axes[i, j].set_title(f"{short(size)} params, {short(budget)} tokens")
        for axis in axes[-1]:
            axis.set_xlabel("peak learning rate")
        for axis in axes[:, 0]:
            axis.set_ylabel("loss")
        handles = [plt.Line2D([], [], marker="o", color=c, label=f"{b:,.0f}") for b, c in colour.items()]
        axes[0, -1].legend(handles=handles, title="batch, tokens", loc="upper left", bbox_to_anchor=(1.02, 1.0))
    return axes


def _draw_cell(axis: Any, fit: Fit, cell: pd.DataFrame, rates: np.ndarray, colour: Mapping[float, Any]) -> None:
    for batch in sorted(cell["batch_size_tokens"].unique()):
        points = cell[cell["batch_size_tokens"] == batch]
        row = {name: float(points[name].iloc[0]) for name in ("n_params", "n_tokens")}
        curve = fit.law.predict(
            fit.theta, {**row, "learning_rate": rates, "batch_size_tokens": np.full_like(rates, batch)}
        )
        axis.plot(rates, curve, color=colour[batch], alpha=0.75)
        seen = points[~points["censored"]]
        axis.plot(seen["learning_rate"], seen["loss"], "o", ms=4, color=colour[batch])
        lost = points[points["censored"]]
        axis.plot(lost["learning_rate"], lost["loss"], "^", ms=6, mfc="none", color=WARM)
    low, high = cell["loss"].min(), cell["loss"].max()
    margin = max(0.25 * (high - low), 0.02)
    axis.set_ylim(low - margin, high + margin)
    axis.set_xscale("log")
    log_ticks(axis.xaxis, counts=False)
    axis.xaxis.set_tick_params(labelrotation=45)


def optimum(fit: Fit, percent: float = 1.0, ax: Any = None) -> NDArray[Any]:
    """The best learning rate against params and the best batch against tokens, with their 95 % interval and the plateau
    of settings that give up at most `percent` of the loss; dots are the best runs of each cell. The axes are (2,)."""
    rows = pd.DataFrame(fit.rows)
    rows = rows[~rows["censored"]]
    best = rows.loc[rows.groupby(["n_params", "n_tokens"])["loss"].idxmin()]
    middle = {name: float(np.exp(np.log(rows[name]).mean())) for name in ("n_params", "n_tokens")}
    settings = (
        ("n_params", "learning_rate", "best peak learning rate"),
        ("n_tokens", "batch_size_tokens", "best batch, tokens"),
    )
    with styled():
        axes = panels(ax, 1, 2, figsize=(9, 3.6))[0]
        for axis, (along, setting, label) in zip(axes, settings, strict=True):
            across = "n_tokens" if along == "n_params" else "n_params"
            values = np.geomspace(rows[along].min(), 2 * rows[along].max(), 25)
            found = [fit.optimum(**{along: value, across: middle[across]})[setting] for value in values]
            flat = np.array([fit.plateau(percent, **{along: v, across: middle[across]})[setting] for v in values])
            interval = np.array([item["interval"] for item in found], float)
            axis.fill_between(
                values, interval[:, 0], interval[:, 1], color=ACCENT, alpha=0.35, lw=0, label="95 % interval"
            )
            axis.plot(values, [item["value"] for item in found], color=ACCENT, label="fitted optimum")
            axis.plot(values, flat[:, 0], "--", color=WARM, lw=1.1, label=f"gives up {percent:g} %")
            axis.plot(values, flat[:, 1], "--", color=WARM, lw=1.1)
            tone = colours(best[across].unique())
            for value in sorted(best[across].unique()):
                points = best[best[across] == value]
                axis.plot(points[along], points[setting], "o", ms=5, color=tone[value], mec="white", label=short(value))
            axis.set(
                xscale="log",
                yscale="log",
                xlabel=along.replace("n_", ""),
                title=f"{label}, at {short(middle[across])} {across[2:]}",
            )
            log_ticks(axis.xaxis)
            log_ticks(axis.yaxis, counts=setting == "batch_size_tokens")
            axis.legend(title=f"best runs by {across[2:]}", ncols=2, fontsize=7)
    return axes


def surface(fit: Fit, ax: Any = None) -> NDArray[Any]:
    """The tuned loss against tokens, a line a size: losses less their fitted tuning excess; below, the residuals. The
    axes are (2,)."""
    rows = pd.DataFrame(fit.rows)
    rows = rows[~rows["censored"]]
    tuned = fit.law.optimum(fit.theta, n_params=rows["n_params"].to_numpy(), n_tokens=rows["n_tokens"].to_numpy())[-1]
    rows = rows.assign(tuned=tuned, reduced=rows["loss"] - rows["predicted"] + tuned)
    colour = colours(rows["n_params"].unique())
    tokens = np.geomspace(rows["n_tokens"].min() / 1.3, rows["n_tokens"].max() * 1.3, 100)
    with styled():
        axes = panels(ax, 2, 1, figsize=(7, 5.2), sharex=True, height_ratios=(3, 1.3))[:, 0]
        upper, lower = axes
        for j, size in enumerate(sorted(rows["n_params"].unique())):
            points = rows[rows["n_params"] == size]
            shift = 1.04 ** (j - (len(colour) - 1) / 2)  # side by side where sizes share a budget
            line = fit.law.optimum(fit.theta, n_params=np.full_like(tokens, size), n_tokens=tokens)[-1]
            upper.plot(tokens, line, color=colour[size])
            upper.plot(
                points["n_tokens"] * shift,
                points["reduced"],
                "o",
                ms=4,
                alpha=0.7,
                color=colour[size],
                label=f"{short(size)} params",
            )
            lower.plot(
                points["n_tokens"] * shift,
                100 * (points["loss"] / points["predicted"] - 1),
                "o",
                ms=3.5,
                alpha=0.7,
                color=colour[size],
            )
        lower.axhline(0, color=MUTED, lw=1)
        upper.set(
            xscale="log",
            yscale="log",
            ylabel="loss, tuned",
            title="The loss surface: runs with the fitted tuning excess taken off",
        )
        lower.set(xscale="log", ylabel="measured / law - 1, %", xlabel="training tokens")
        for axis in axes:
            log_ticks(axis.xaxis)
        log_ticks(upper.yaxis, counts=False)
        upper.legend()
    return axes


def outcome(follow_up: Mapping[str, Any], law: str, ax: Axes | None = None) -> Axes:
    """What was predicted of each follow-up run, with both intervals, beside what was measured and the baselines."""
    items = [follow_up["recommended"], *follow_up["neighbours"]]
    with styled():
        axis: Axes = panels(ax, figsize=(7.6, 3.4))[0, 0]
        for i, item in enumerate(items):
            said, first = item["laws"][law], i == 0
            for which, width, alpha, words in (
                ("interval_new_run", 9, 0.16, "95 % of one new run"),
                ("interval_mean", 9, 0.35, "95 % of the law's mean"),
            ):
                if None not in said[which]:
                    axis.plot(
                        [i, i],
                        said[which],
                        color=ACCENT,
                        lw=width,
                        alpha=alpha,
                        solid_capstyle="butt",
                        label=words if first else None,
                    )
            axis.plot(i, said["value"], "_", ms=16, mew=2, color=ACCENT, label="predicted" if first else None)
            if item["measured"] is not None:
                axis.plot(i, item["measured"], "o", ms=6, color=INK, zorder=5, label="measured" if first else None)
        for (name, said), style in zip(follow_up["baselines"].items(), ("--", ":"), strict=False):
            if said["loss"] is not None:
                axis.axhline(said["loss"], ls=style, color=WARM, lw=1.2, label=f"baseline: {name.replace('_', ' ')}")
        axis.set_xticks(range(len(items)), [_settings(item, i) for i, item in enumerate(items)])
        axis.set(ylabel="held-out loss, nats per token", title="Predicted before training, against measured")
        axis.legend(loc="center left", bbox_to_anchor=(1.0, 0.5))
    return axis


def held_out(comparison: Comparison, ax: Axes | None = None) -> Axes:
    """How far each law was off on what it had not seen: the mean size of its relative error, a point a window in the
    order of the windows, a line a law, the best first in the legend with its mean over all rows."""
    tones, markers = (ACCENT, WARM, INK, MUTED), "osD^v"
    with styled():
        axis: Axes = panels(ax, figsize=(7, 3.6))[0, 0]
        for i, (name, rows) in enumerate(comparison.held.items()):
            error = 100 * rows["relative_error"].abs().groupby(rows["window"], sort=False).mean()
            label = f"{name}: {100 * comparison.errors[name]:.2g} %"
            tone, marker = tones[i % len(tones)], markers[i % len(markers)]
            axis.plot(range(len(error)), error, color=tone, marker=marker, ms=5, label=label)
        axis.set_xticks(range(len(error)), [_window(name) for name in error.index], fontsize=7.5)
        axis.set(yscale="log", ylabel="held-out error, %", title="Error on what was held out, window by window")
        log_ticks(axis.yaxis, counts=False)
        axis.legend(title="mean error")
    return axis


def _window(name: str) -> str:
    """A window's name on two lines, its params short."""
    found = re.sub(r"\d[\d.]*(e\+\d+)?", lambda number: _count(number[0]), name)
    return found.removeprefix("sizes ").replace("all sizes", "all").replace(", ", ",\n")


def _count(text: str) -> str:
    return short(float(text)) if float(text) < 1e15 else text  # more are FLOPs


def _settings(item: Mapping[str, Any], index: int) -> str:
    point = item["point"]
    name = "recommended\n" if index == 0 else ""
    return f"{name}lr {point['learning_rate']:.3g}\nbatch {point['batch_size_tokens']:.0f}"
