"""Two recipes: their loss against compute, and below it the compute that one needs over the other."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.ticker import FuncFormatter, MaxNLocator
from numpy.typing import NDArray

from lbscale.laws.multiplier import Multipliers, multipliers
from lbscale.laws.scaling_path import ALLOCATIONS
from lbscale.laws.versus import Versus
from lbscale.report.panels import panels
from lbscale.report.style import ACCENT, INK, MUTED, WARM, styled

N_PLACES = 81
WIDEST = 4.0  # the multiplier's axis ends at this factor beyond its values


def versus_figure(found: Versus, ax: Any = None) -> NDArray[Any]:
    """Above, the runs and laws of both recipes against FLOPs, with 95 % bands; below, the multiplier along scale.

    The multiplier is what the recipe that is worse at the target needs over the other. Runs are moved, along their
    law, to the tokens per param (or best allocation) and settings for which the curves are drawn. The target is a
    dotted line, and where the laws cross inside what is drawn, a dashed one. Draws on the two axes `ax` where they are
    given; returns the axes (2,), upper and lower, ready to be drawn on.
    """
    low, high = found.scales[0], found.scales[-1]
    room = 0.03 * (high - low)
    places = np.linspace(low - room, high + room, N_PLACES)
    with styled():
        axes = panels(ax, 2, 1, figsize=(6.4, 6.0), sharex=True, height_ratios=(3, 2))[:, 0]
        upper, lower = axes
        for which, tone in enumerate((ACCENT, WARM)):
            _draw_recipe(upper, found, which, places, tone)
        _draw_multiplier(lower, found, places)
        for axis in (upper, lower):
            axis.axvline(np.exp(found.log_flops), color=INK, lw=1, ls=":", zorder=1)
            if found.crossing and places[0] <= found.crossing.log_flops <= places[-1]:
                axis.axvline(np.exp(found.crossing.log_flops), color=MUTED, lw=1, ls="--", zorder=1)
        lower.set_xscale("log")
        upper.set(ylabel="loss, nats per token", title=_title(found))
        lower.set_xlabel(f"training FLOPs as 6ND, {ALLOCATIONS[found.allocation]}")
        upper.legend(loc="lower left")
    return axes


def _draw_recipe(axis: Any, found: Versus, which: int, places: np.ndarray, tone: str) -> None:
    log_loss, reach = found.two.band(which, places)
    known = np.isfinite(reach)
    flops = np.exp(places)
    axis.fill_between(
        flops[known], np.exp(log_loss - reach)[known], np.exp(log_loss + reach)[known], color=tone, alpha=0.2, lw=0
    )
    axis.plot(flops, np.exp(log_loss), color=tone, label=f"{found.recipes[which]}: {found.fits[which].n_rows} runs")
    spent, height = _runs(found, which)
    axis.scatter(spent, height, s=12, color=tone, linewidths=0, zorder=3, alpha=0.8)
    heights = np.concatenate([height, np.exp(log_loss)])
    slack = 0.06 * (heights.max() - heights.min())
    bottom, top = axis.get_ylim() if which else (np.inf, -np.inf)
    axis.set_ylim(min(bottom, heights.min() - slack), max(top, heights.max() + slack))


def _runs(found: Versus, which: int) -> tuple[np.ndarray, np.ndarray]:
    """FLOPs (n,) of a recipe's finished runs, and their losses moved along the law to the curve."""
    rows = found.fits[which].rows
    kept = ~np.asarray(rows["censored"], bool)
    spent = 6.0 * np.asarray(rows["n_params"])[kept] * np.asarray(rows["n_tokens"])[kept]
    measured = np.asarray(rows["loss"])[kept] / np.asarray(rows["predicted"])[kept]
    return spent, measured * np.exp(found.two.log_loss(which, np.log(spent)))


def _draw_multiplier(axis: Any, found: Versus, places: np.ndarray) -> None:
    many, target = multipliers(found.two, places), found.multiplier
    better, worse = found.recipes
    if found.first_is_worse:
        many, target, better, worse = many.inverse(), target.inverse(), worse, better
    flops = np.exp(places)
    shown = np.isfinite(many.value) & (many.value > 0)
    seen = np.concatenate([many.value[shown], target.value, target.low, target.high, [1.0]])
    seen = seen[np.isfinite(seen) & (seen > 0)]
    core = np.concatenate([many.value[shown], [1.0]])
    bottom = max(seen.min(), core.min() / WIDEST)
    top = min(seen.max(), core.max() * WIDEST)
    room = 0.08 * np.log(top / bottom) + 0.01
    bottom, top = bottom * np.exp(-room), top * np.exp(room)
    known = ~(np.isnan(many.low) | np.isnan(many.high))
    ends = np.clip([many.low[known], many.high[known]], bottom / 10, top * 10)
    axis.fill_between(flops[known], ends[0], ends[1], color=INK, alpha=0.15, lw=0)
    axis.plot(flops[shown], many.value[shown], color=INK)
    axis.axhline(1.0, color=MUTED, lw=1)
    _draw_target(axis, found, target, top)
    axis.set_yscale("log")
    axis.set_ylim(bottom, top)
    axis.yaxis.set_major_locator(MaxNLocator(6, steps=[1, 2, 2.5, 5, 10]))
    axis.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axis.yaxis.set_minor_locator(MaxNLocator(1))
    axis.yaxis.set_minor_formatter(FuncFormatter(lambda value, _: ""))
    axis.set_ylabel(f"compute of {worse}\nover {better}'s, same loss")


def _draw_target(axis: Any, found: Versus, target: Multipliers, top: float) -> None:
    """The multiplier at the target with its interval; what is unbounded ends at the axis."""
    value, low, high = (float(part[0]) for part in target[:3])
    if not (np.isfinite(value) and value > 0):
        return
    if np.isfinite(low):
        flops = np.exp(found.log_flops)
        axis.plot([flops, flops], [max(low, 1e-9), min(high, 10 * top)], color=INK, lw=2.5, solid_capstyle="butt")
    axis.plot([np.exp(found.log_flops)], [value], "o", color=INK, ms=5)


def _title(found: Versus) -> str:
    one, other = found.recipes
    verdict = "" if found.distinguishable else "; not distinguishable at the target"
    return f"{one} against {other}\n{found.fits[0].law.name}, bands 95 %{verdict}"
