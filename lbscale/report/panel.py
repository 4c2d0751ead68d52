"""A panel of a figure, drawn as SVG by hand: runs as points, laws as curves with their bands, a legend.

The drawing is whole without a script. What `page.js` needs to zoom it and to say what a point is stands in `data-`
attributes: the ranges of the axes on the panel, the run on each point.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lbscale.report.axis import Axis

N_COLOURS = 8  # as the style sheet has them, c0 to c7, away from the background
LEFT, RIGHT, TOP, BOTTOM = 62, 10, 10, 40
Values = Sequence[float] | NDArray[Any]
TRIANGLE = "M-4.2 3.4 0 -4.4 4.2 3.4Z"


@dataclass(frozen=True)
class Point:
    """A run on a panel, in the axes' units.

    `colour` is one of `N_COLOURS`, None for ink; `kind` is "run", "held" (not fitted to), "bound" (a lower bound: a
    triangle) or "best". `bar` reaches from its first to its second value. `name` is a run that the page describes, or
    what the point is called; `lines` are what else there is to say of it.
    """

    x: float
    y: float
    name: str
    lines: tuple[str, ...] = ()
    colour: int | None = None
    kind: str = "run"
    bar: tuple[float, float] | None = None


@dataclass(frozen=True)
class Line:
    """A curve in the axes' units, with a band where its bounds are known."""

    x: Values
    y: Values
    band: tuple[Values, Values] | None = None
    colour: int | None = None
    dashed: bool = False


@dataclass(frozen=True)
class Panel:
    """One pair of axes. `legend` pairs what stands for something (a colour's number, or a kind of point or line) with
    words."""

    title: str
    x: Axis
    y: Axis
    points: tuple[Point, ...] = ()
    lines: tuple[Line, ...] = ()
    legend: tuple[tuple[int | str, str], ...] = ()
    size: tuple[int, int] = (460, 310)

    @property
    def most_ticks(self) -> int:
        """How many ticks an axis has room for."""
        return 7 if self.size[0] > 400 else 4


def colour_of(values: Iterable[float]) -> dict[float, int]:
    """A colour's number for each value, in their order; of more values than colours, neighbours share one."""
    found = sorted(set(values))
    if len(found) == 1:
        return {found[0]: N_COLOURS // 2}
    return {value: round(i * (N_COLOURS - 1) / (len(found) - 1)) for i, value in enumerate(found)}


def panel_svg(panel: Panel, name: str) -> str:
    """The panel as an SVG element; `name` is unique on the page."""
    width, height = panel.size
    inner = (LEFT, TOP, width - LEFT - RIGHT, height - TOP - BOTTOM)
    draw = _Drawing(panel, inner)
    described = json.dumps({"box": inner, "x": _range(panel.x), "y": _range(panel.y), "most": panel.most_ticks})
    number = f"{len(panel.points)} points" if panel.points else "no points"
    said = escape(f"{panel.title}: {panel.y.label} against {panel.x.label}, {number}. Arrow keys go through them.")
    left, top, wide, high = inner
    middle, side = f"{left + wide / 2:g}", f"{top + high / 2:g}"
    return "".join(
        [
            f'<svg class="panel" viewBox="0 0 {width} {height}" tabindex="0" role="group" aria-label="{said}" ',
            f"data-axes='{described}'><clipPath id=\"{name}\">",
            f'<rect x="{left - 1}" y="{top - 1}" width="{wide + 2}" height="{high + 2}"/></clipPath>',
            f'<rect class="ground" x="{left}" y="{top}" width="{wide}" height="{high}"/>',
            f'<g class="ticks">{draw.ticks()}</g>',
            f'<g clip-path="url(#{name})"><g class="lines">{draw.lines()}{draw.bars()}</g>{draw.points()}</g>',
            f'<text class="label" x="{middle}" y="{height - 6}" text-anchor="middle">{escape(panel.x.label)}</text>',
            f'<text class="label" transform="translate(12 {side}) rotate(-90)" text-anchor="middle">',
            f"{escape(panel.y.label)}</text></svg>",
        ]
    )


def _range(axis: Axis) -> dict[str, float | bool]:
    return {"low": axis.low, "high": axis.high, "log": axis.log, "counts": axis.counts}


class _Drawing:
    """The parts of a panel in the units of its SVG."""

    def __init__(self, panel: Panel, inner: tuple[int, int, int, int]) -> None:
        self._panel = panel
        self._left, self._top, self._wide, self._high = inner

    def _across(self, values: Any) -> NDArray[Any]:
        return self._left + self._wide * np.atleast_1d(self._panel.x.at(values))

    def _down(self, values: Any) -> NDArray[Any]:
        # Far outside the panel a curve may be anything, and a browser draws no number of a thousand digits.
        share = np.clip(np.atleast_1d(self._panel.y.at(values)), -20.0, 20.0)
        return self._top + self._high * (1.0 - share)

    def ticks(self) -> str:
        bottom, right = self._top + self._high, self._left + self._wide
        parts = []
        for share, text in self._panel.x.ticks(self._panel.most_ticks):
            x = f"{self._left + self._wide * share:.1f}"
            parts.append(f'<path d="M{x} {self._top}V{bottom}"/>')
            parts.append(f'<text x="{x}" y="{bottom + 15}" text-anchor="middle">{text}</text>')
        for share, text in self._panel.y.ticks(self._panel.most_ticks):
            y = self._top + self._high * (1.0 - share)
            parts.append(f'<path d="M{self._left} {y:.1f}H{right}"/>')
            parts.append(f'<text x="{self._left - 6}" y="{y + 4:.1f}" text-anchor="end">{text}</text>')
        return "".join(parts)

    def lines(self) -> str:
        parts = []
        for line in self._panel.lines:
            x, tone = self._across(line.x), _tone(line.colour)
            if line.band is not None:
                low, high = (self._down(ends) for ends in line.band)
                known = np.isfinite(low) & np.isfinite(high)
                ring = [*zip(x[known], low[known], strict=True), *zip(x[known][::-1], high[known][::-1], strict=True)]
                parts.append(f'<path class="band{tone}" d="{_path(ring)}Z"/>' if ring else "")
            y = self._down(line.y)
            known = np.isfinite(y)
            dash = " dashed" if line.dashed else ""
            parts.append(f'<path class="line{dash}{tone}" d="{_path(zip(x[known], y[known], strict=True))}"/>')
        return "".join(parts)

    def bars(self) -> str:
        barred = [point for point in self._panel.points if point.bar is not None]
        ends = [(float(self._across(p.x)[0]), *map(float, self._down(p.bar)), _tone(p.colour)) for p in barred]
        return "".join(f'<path class="bar{tone}" d="M{x:.1f} {low:.1f}V{high:.1f}"/>' for x, low, high, tone in ends)

    def points(self) -> str:
        parts = []
        for point in self._panel.points:
            x, y = float(self._across(point.x)[0]), float(self._down(point.y)[0])
            shape = f'path d="{TRIANGLE}"' if point.kind == "bound" else 'circle r="3.6"'
            note = f' data-note="{escape(chr(10).join(point.lines))}"' if point.lines else ""
            parts.append(
                f'<{shape} class="point {point.kind}{_tone(point.colour)}" data-run="{escape(point.name)}"{note} '
                f'transform="translate({x:.1f} {y:.1f})"/>'
            )
        return "".join(parts)


def _tone(colour: int | None) -> str:
    return "" if colour is None else f" c{colour}"


def _path(corners: Iterable[tuple[float, float]]) -> str:
    return "M" + "L".join(f"{x:.1f} {y:.1f}" for x, y in corners)
