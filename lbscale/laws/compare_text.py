"""A comparison of laws as the table that people read."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from lbscale.laws.holdout import summarise

if TYPE_CHECKING:
    from lbscale.laws.compare import Comparison

HEADER = ("rank", "law", "error %", "median %", "bias %", "in 95 %", "error less the best law's, in %")


def summarise_comparison(comparison: Comparison) -> str:
    """A line a law, best first, then those not ranked, what choosing by inner windows gives, and warnings."""
    held = comparison.held_out
    by = f"windows by {held['windows']}" if held["query"] is None else held["query"]
    flops = f", FLOPs {held['flops']}" if held["flops"] else ""
    lines = [f"held out: {by}{flops}; {held['n_rows']} rows of {held['n_sizes']} sizes"]
    lines += aligned([HEADER, *comparison_rows(comparison)], left=(1, 6))
    lines += [f"not ranked: {name}: {reason}" for name, reason in comparison.unranked.items()]
    left = [window for window in comparison.windows if window["left_out"]]
    lines += [f"left out for all: {window['name']}: {window['left_out']}" for window in left]
    if comparison.nested:
        lines.append(_choice(comparison.nested))
    return "\n".join([*lines, *(f"warning: {warning}" for warning in comparison.warnings)])


def comparison_rows(comparison: Comparison) -> list[tuple[str, ...]]:
    """The cells below `HEADER`, a row a ranked law."""
    return [_row(comparison, name, rank) for rank, name in enumerate(comparison.fits, 1)]


def aligned(rows: Sequence[Sequence[str]], left: Sequence[int] = ()) -> list[str]:
    """Lines with the cells of each column under one another, to the right except for the columns of `left`."""
    widths = [max(len(row[j]) for row in rows) for j in range(len(rows[0]))]
    cells = lambda row: (
        cell.ljust(width) if j in left else cell.rjust(width)
        for j, (cell, width) in enumerate(zip(row, widths, strict=True))
    )
    return ["  ".join(cells(row)).rstrip() for row in rows]


def _row(comparison: Comparison, name: str, rank: int) -> tuple[str, ...]:
    said = summarise(comparison.held[name])
    covered = "-" if said["covered"] is None else f"{100 * said['covered']:.0f}"
    error, median = (f"{100 * said[f'{kind}_relative_error']:.3g}" for kind in ("mean", "median"))
    return (
        str(rank),
        name,
        error,
        median,
        f"{100 * said['bias']:+.2g}",
        covered,
        _against(comparison.against_best(name)),
    )


def _against(pair: dict[str, Any] | None) -> str:
    if pair is None:
        return ""
    if pair["interval"] is None:
        return f"{100 * pair['difference']:+.2g} (no interval)"
    low, high = pair["interval"]
    return f"{100 * pair['difference']:+.2g} [{100 * low:+.2g}, {100 * high:+.2g}]  {pair['verdict']}"


def _choice(nested: dict[str, Any]) -> str:
    n_windows = len(nested["windows"])
    counts = ", ".join(f"{name} in {count}" for name, count in nested["chosen"].items())
    return (
        f"chosen on inner windows ({nested['inner_windows']}): {counts} of {n_windows} outer windows;"
        f" error there {100 * nested['mean_relative_error']:.3g} % ({nested['n_rows']} rows)"
    )
