"""One look for all figures."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import matplotlib
from matplotlib import colormaps, ticker

INK, MUTED, ACCENT, WARM = "#1c2733", "#8a96a3", "#1f6f8b", "#c8553d"

_STYLE: dict[Any, Any] = {
    "axes.edgecolor": MUTED,
    "axes.grid": True,
    "axes.labelcolor": INK,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.titlesize": 10,
    "axes.titlecolor": INK,
    "figure.dpi": 110,
    "figure.facecolor": "white",
    "font.size": 9,
    "grid.color": "#e6eaee",
    "grid.linewidth": 0.7,
    "legend.frameon": False,
    "legend.fontsize": 8,
    "lines.linewidth": 1.4,
    "savefig.bbox": "tight",
    "svg.fonttype": "path",
    "svg.hashsalt": "lbscale",
    "text.color": INK,
    "xtick.color": INK,
    "ytick.color": INK,
}


@contextmanager
def styled() -> Iterator[None]:
    """Within it, figures are drawn in the project's style and the user's own settings stay as they were."""
    with matplotlib.rc_context(_STYLE):
        yield


def colours(values: Iterable[Any]) -> dict[Any, Any]:
    """A colour a value, light to dark in their order."""
    ordered = sorted(set(values))
    scale = colormaps["viridis"]
    return {value: scale(0.9 - 0.8 * i / max(len(ordered) - 1, 1)) for i, value in enumerate(ordered)}


def short(value: float) -> str:
    """A count in a few characters: 83 k, 1.18 M."""
    for size, unit in ((1e9, "B"), (1e6, "M"), (1e3, "k")):
        if value >= size:
            return f"{value / size:.3g} {unit}"
    return f"{value:.3g}"


def log_ticks(axis: Any, counts: bool = True) -> None:
    """Plain, sparse labels on a logarithmic axis, minor ones included, since a range may hold no power of ten; as many
    as its present range has room for."""
    label = ticker.FuncFormatter(lambda value, _: short(value) if counts else f"{value:g}")
    low, high = axis.get_view_interval()
    spanned = high / low if low > 0 else 1.0
    digits = (1.0, 2.0, 5.0) if spanned < 100 else (1.0, 3.0) if spanned < 1e4 else (1.0,)
    axis.set_major_locator(ticker.LogLocator(base=10, subs=digits, numticks=12 if len(digits) > 1 else 5))
    axis.set_major_formatter(label)
    axis.set_minor_locator(ticker.NullLocator())
