"""Fits and comparisons as notebooks show them: a small table, and of a fit a small plot below it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape
from typing import TYPE_CHECKING

from lbscale.laws.compare_text import HEADER, comparison_rows
from lbscale.laws.residual_plot import residual_plot
from lbscale.laws.text import bracket

if TYPE_CHECKING:
    from lbscale.laws.compare import Comparison
    from lbscale.laws.result import Fit


def fit_html(fit: Fit) -> str:
    """The fit's parameters with 95 % intervals and meanings below its rows, loss and convention, above its residuals as
    a plot and what the text of the fit says besides."""
    rows = []
    for parameter in fit.law.parameters:
        name = parameter.name
        known, held = fit.identified[name], name in fit.fixed
        value = f"{fit.params[name]:.6g}" if known or held else "not identified"
        interval = "held" if held else bracket(fit.interval[name]) if known else ""
        rows.append((name, value, interval, parameter.unit, parameter.meaning))
    counted = f", {fit.convention['params']} params" if "n_params" in fit.range else ""
    caption = f"{fit.law.name}: {fit.n_rows} rows, {fit.loss} loss of {fit.residual} residuals{counted}"
    return _table(caption, ("parameter", "value", "95 %", "unit", "meaning"), rows, residual_plot(fit), _notes(fit))


def _notes(fit: Fit) -> list[str]:
    where = ", ".join(f"{name} = {value:.4g}" for name, value in (fit.law.reference or {}).items())
    notes = [f"coefficients are stated at {where}"] if where else []
    if fit.holdout:
        error = 100 * fit.holdout["mean_relative_error"]
        notes.append(f"held out: {fit.holdout['n_rows']} rows, mean relative error {error:.3g} %")
    if fit.n_censored:
        notes.append(f"{fit.n_censored} unfinished runs entered as lower bounds")
    return notes + [f"dropped {count}: {reason}" for reason, count in fit.n_dropped.items()] + fit.warnings


def comparison_html(comparison: Comparison) -> str:
    """A row a law, best first, above what could not be ranked and warnings."""
    notes = [f"not ranked: {name}: {reason}" for name, reason in comparison.unranked.items()] + comparison.warnings
    return _table("laws by held-out error", HEADER, comparison_rows(comparison), "", notes)


def _table(caption: str, header: Sequence[str], rows: Iterable[Sequence[str]], plot: str, notes: Iterable[str]) -> str:
    head = "".join(f"<th>{escape(cell)}</th>" for cell in header)
    body = "".join("<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in row) + "</tr>" for row in rows)
    below = "".join(f"<li>{escape(note)}</li>" for note in notes)
    listed = f"<ul>{below}</ul>" if below else ""
    return f"<table><caption>{escape(caption)}</caption><tr>{head}</tr>{body}</table>{plot}{listed}"
