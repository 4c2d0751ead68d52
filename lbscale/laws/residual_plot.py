"""A fit as a small picture for notebooks: what the law leaves over, against what it says.

Drawn as SVG by hand, so that showing a fit loads no plotting library; `lbscale.report` has the figures to draw on.
"""

from __future__ import annotations

from collections.abc import Mapping
from html import escape
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from lbscale.laws.result import Fit

WIDTH, HEIGHT = 480, 180
LEFT, RIGHT, TOP, BOTTOM = 48, 8, 20, 36
MOST_POINTS = 1000
LIGHT, DARK, GREY = (127, 205, 187), (64, 67, 171), "#8a96a3"
LEAST_ROOM = 1e-6  # per cent: residuals smaller than these are drawn on the line


def residual_plot(fit: Fit) -> str:
    """Residuals in per cent against the law's value, a panel a target, as SVG elements. Points are light to dark in the
    law's first column; rows that were held out are hollow. Of many rows, some at equal distances are drawn."""
    return "".join(_panel(fit, target, j) for j, target in enumerate(fit.law.targets))


def _panel(fit: Fit, target: str, which: int) -> str:
    suffix = "" if which == 0 else f"_{target}"
    column = fit.law.columns[0]
    seen = ~np.array(fit.rows["censored"], bool)
    fitted = [np.array(fit.rows[name], float)[seen] for name in (column, f"predicted{suffix}", target)]
    held = _held_out(fit, target, column)
    tone, predicted, measured = np.concatenate([np.array(fitted), held], axis=1)
    hollow = np.arange(predicted.size) >= fitted[0].size
    rest = 100.0 * (measured / predicted - 1.0)
    usable = np.isfinite(rest) & (predicted > 0)
    if not usable.any():
        return ""
    tone, predicted, rest, hollow = (values[usable] for values in (tone, predicted, rest, hollow))
    some = np.unique(np.linspace(0, rest.size - 1, min(rest.size, MOST_POINTS)).round().astype(int))
    reach = max(float(np.abs(rest).max()), LEAST_ROOM)
    x, y, shade = _across(np.log(predicted)), 0.5 - 0.46 * rest / reach, _across(np.log(tone))
    points = "".join(_point(x[i], y[i], shade[i], bool(hollow[i])) for i in some)
    unit = fit.law.target_units[which]
    said = target.replace("_", " ") + ("" if unit == "1" else f", {unit}")
    note = f"measured / law - 1, %; light to dark: {column} {tone.min():.3g} to {tone.max():.3g}"
    note += "; hollow: held out" if hollow.any() else ""
    note += f"; {len(some)} of {rest.size} runs" if len(some) < rest.size else ""
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{HEIGHT}" viewBox="0 0 {WIDTH} {HEIGHT}"'
        ' role="img" font-family="sans-serif" font-size="10" fill="currentColor">'
        f'<text x="{LEFT}" y="{TOP - 8}">{escape(note)}</text>' + _frame(predicted, reach, said) + points + "</svg>"
    )


def _held_out(fit: Fit, target: str, column: str) -> NDArray[Any]:
    """The column, what was predicted and what was measured of the rows kept out, (3, n)."""
    rows: list[Mapping[str, Any]] = (fit.holdout or {}).get("rows") or []
    own = [row for row in rows if row.get("target", target) == target]
    kept = [[row[name] for name in (column, "predicted", "measured")] for row in own]
    return np.array(kept, dtype=object).astype(float).reshape(-1, 3).T


def _across(values: NDArray[Any]) -> NDArray[Any]:
    """Values laid onto 0 to 1; a half where they are all one."""
    low, high = values.min(), values.max()
    return (values - low) / (high - low) if high > low else np.full(values.shape, 0.5)


def _point(x: float, y: float, shade: float, hollow: bool) -> str:
    colour = "rgb({},{},{})".format(*(round(a + shade * (b - a)) for a, b in zip(LIGHT, DARK, strict=True)))
    place = f'cx="{_right(x):.1f}" cy="{_down(y):.1f}" r="2.6"'
    return f'<circle {place} fill="none" stroke="{colour}"/>' if hollow else f'<circle {place} fill="{colour}"/>'


def _frame(predicted: NDArray[Any], reach: float, said: str) -> str:
    """Axes, labels and the line of no residual."""
    low, high = float(predicted.min()), float(predicted.max())
    ends = [(_right(0.0), low, "start"), (_right(1.0), high, "end")] if high > low else [(_right(0.5), low, "middle")]
    below, middle = HEIGHT - BOTTOM, _right(0.5)
    lines = [f'<line x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{_down(0.5)}" y2="{_down(0.5)}" stroke="{GREY}"/>']
    lines += [f'<path d="M{LEFT} {TOP}V{below}H{WIDTH - RIGHT}" fill="none" stroke="{GREY}"/>']
    lines += [
        f'<text x="{x:.1f}" y="{below + 13}" text-anchor="{anchor}">{value:.3g}</text>' for x, value, anchor in ends
    ]
    lines += [
        f'<text x="{LEFT - 4}" y="{_down(0.5 - 0.46 * share) + 3:.1f}" text-anchor="end">{share * reach:+.2g}</text>'
        for share in (1.0, -1.0)
    ]
    lines += [f'<text x="{LEFT - 4}" y="{_down(0.5) + 3:.1f}" text-anchor="end">0</text>']
    lines += [f'<text x="{middle:.1f}" y="{below + 28}" text-anchor="middle">{escape(said)}, by the law</text>']
    return "".join(lines)


def _right(x: float) -> float:
    return LEFT + (WIDTH - LEFT - RIGHT) * (0.03 + 0.94 * x)


def _down(y: float) -> float:
    return TOP + (HEIGHT - TOP - BOTTOM) * y
