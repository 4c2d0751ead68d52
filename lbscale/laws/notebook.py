"""Fits and comparisons as small HTML tables, which notebooks show."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape
from typing import TYPE_CHECKING

from lbscale.laws.compare_text import HEADER, comparison_rows
from lbscale.laws.text import bracket

if TYPE_CHECKING:
    from lbscale.laws.compare import Comparison
    from lbscale.laws.result import Fit


def fit_html(fit: Fit) -> str:
    """The fit's parameters with 95 % intervals and meanings, below its rows and loss, above its warnings."""
    rows = []
    for parameter in fit.law.parameters:
        known = fit.identified[parameter.name]
        value = f"{fit.params[parameter.name]:.6g}" if known else "not identified"
        interval = bracket(fit.interval[parameter.name]) if known else ""
        rows.append((parameter.name, value, interval, parameter.unit, parameter.meaning))
    caption = f"{fit.law.name}: {fit.n_rows} rows, {fit.loss} loss of {fit.residual} residuals"
    notes = [f"dropped {count}: {reason}" for reason, count in fit.n_dropped.items()] + fit.warnings
    return _table(caption, ("parameter", "value", "95 %", "unit", "meaning"), rows, notes)


def comparison_html(comparison: Comparison) -> str:
    """A row a law, best first, above what could not be ranked and warnings."""
    notes = [f"not ranked: {name}: {reason}" for name, reason in comparison.unranked.items()] + comparison.warnings
    return _table("laws by held-out error", HEADER, comparison_rows(comparison), notes)


def _table(caption: str, header: Sequence[str], rows: Iterable[Sequence[str]], notes: Iterable[str]) -> str:
    head = "".join(f"<th>{escape(cell)}</th>" for cell in header)
    body = "".join("<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in row) + "</tr>" for row in rows)
    below = "".join(f"<li>{escape(note)}</li>" for note in notes)
    listed = f"<ul>{below}</ul>" if below else ""
    return f"<table><caption>{escape(caption)}</caption><tr>{head}</tr>{body}</table>{listed}"
