"""Held-out error: how laws predict rows that they were not fitted to, ranked where there are several."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from lbscale import laws
from lbscale.errors import InputError
from lbscale.laws import Comparison, Fit, Law
from lbscale.laws.compare_text import HEADER, comparison_rows
from lbscale.report.axis import around
from lbscale.report.blocks import Block, Notes, Panels, Section, Table, Text
from lbscale.report.exhibit import Column, Exhibit
from lbscale.report.law_view import words
from lbscale.report.panel import Line, Panel, Point


def comparisons(table: pd.DataFrame, forms: Iterable[Law], **options: Any) -> tuple[list[Comparison], dict[str, str]]:
    """A comparison for each set of laws that predict the same quantities, and law -> why it has none. `options` are
    those of `laws.compare`."""
    by_target: dict[tuple[str, ...], list[Law]] = {}
    for law in forms:
        by_target.setdefault(law.targets, []).append(law)
    found: list[Comparison] = []
    missing: dict[str, str] = {}
    for group in by_target.values():
        try:
            found.append(laws.compare(table, group, bootstrap=0, **options))
        except InputError as error:
            missing |= dict.fromkeys((law.name for law in group), str(error))
    return found, missing


def held_out_section(found: Sequence[Comparison], missing: Mapping[str, str]) -> Section:
    """The tables of the comparisons, the errors row by row, and what has no held-out error."""
    blocks: list[Block] = []
    for number, comparison in enumerate(found, 1):
        suffix = f"-{number}" if len(found) > 1 else ""
        blocks.append(Text(_held(comparison)))
        blocks.append(Table(_exhibit(comparison, f"held-out{suffix}")))
        panel = _panel(comparison)
        caption = "Held-out rows: the law's error against how far the row lies outside the rows it was fitted to."
        blocks.append(Panels(f"held-out-errors{suffix}", (panel,), caption))
        notes = [f"not ranked: {name}: {reason}" for name, reason in comparison.unranked.items()]
        notes += [*comparison.warnings, *_choice(comparison)]
        blocks += [Notes("What to know of this comparison", tuple(notes))] if notes else []
    blocks += [Text(f"{name} has no held-out error: {reason}.", small=True) for name, reason in missing.items()]
    return Section("held-out", "Held-out error", tuple(blocks))


def _held(comparison: Comparison) -> str:
    held = comparison.held_out
    by = f"the rows with {held['query']}" if held["query"] else f"windows by {held['windows']}"
    sizes = "1 size" if held["n_sizes"] == 1 else f"{held['n_sizes']} sizes"
    return f"Held out: {by}; {held['n_rows']} rows of {sizes}, the same for every law."


def _exhibit(comparison: Comparison, name: str) -> Exhibit:
    frame = pd.DataFrame(comparison_rows(comparison), columns=list(HEADER))
    text = ("law", HEADER[-1])
    columns = tuple(Column(column, (column,), is_text=column in text) for column in HEADER)
    shown = tuple(column for column in columns if (frame[column.words] != "").any())
    return Exhibit(name, "Laws by their error on held-out rows", frame, shown)


def _choice(comparison: Comparison) -> list[str]:
    nested = comparison.nested
    if not nested or len(comparison.fits) < 2:
        return []
    error = 100 * nested["mean_relative_error"]
    return [
        f"chosen on inner windows, a law errs by {error:.3g} % on {nested['n_rows']} rows that had no say in the choice"
    ]


def _panel(comparison: Comparison) -> Panel:
    """Error against the factor of the column in which rows lie furthest outside, a colour a law."""
    factors = [str(name) for name in next(iter(comparison.held.values())) if str(name).startswith("factor_")]
    furthest = max(factors, key=lambda name: max(rows[name].max() for rows in comparison.held.values()))
    colour = {name: round(i * 7 / max(len(comparison.held) - 1, 1)) for i, name in enumerate(comparison.held)}
    points = tuple(
        Point(row[furthest], 100 * row["relative_error"], _row_name(law, row), _lines(name, row), colour[name], "held")
        for name, rows in comparison.held.items()
        for law in [comparison.fits[name]]
        for row in rows.to_dict("records")
    )
    x = around(f"factor outside the fitted {words(furthest.removeprefix('factor_'))}", [p.x for p in points])
    return Panel(
        title="error of held-out rows",
        x=x,
        y=around("law over measured, less 1, %", [0.0, *(point.y for point in points)]),
        points=points,
        lines=(Line([x.low, x.high], [0.0, 0.0], dashed=True),),
        legend=tuple((colour[name], name) for name in comparison.held) if len(colour) > 1 else (),
    )


def _row_name(fit: Fit, row: Mapping[Any, Any]) -> str:
    if fit.law.reduce is None:
        return str(row["row"])
    return ", ".join(f"{words(name)} {row[name]:.4g}" for name in fit.law.columns)


def _lines(law: str, row: Mapping[Any, Any]) -> tuple[str, ...]:
    inside = "" if row["covered"] is None or not np.isfinite(row["low"]) else "inside" if row["covered"] else "outside"
    said = f"{law} {row['predicted']:.4g}, measured {row['measured']:.4g}"
    interval = f"95 % of a new run: {row['low']:.4g} to {row['high']:.4g}, {inside}" if inside else ""
    return tuple(filter(None, (said, interval)))
