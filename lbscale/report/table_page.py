"""The page of any run table: its design, the laws fitted to it, held-out error, the recommendation, methods."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from lbscale import laws
from lbscale.errors import check
from lbscale.laws import Comparison, Fit
from lbscale.laws.reading import select
from lbscale.laws.text import plain
from lbscale.report.blocks import Card, Cards, Page, Section, Table
from lbscale.report.design import design_section
from lbscale.report.exhibit import Column, Exhibit
from lbscale.report.fitting import fit_each
from lbscale.report.held_out import comparisons, held_out_section
from lbscale.report.law_section import law_section
from lbscale.report.ledger import LedgerRow, ledger_section
from lbscale.report.methods import methods_section
from lbscale.report.recommendation import answer, best_first, recommendation_of, recommendation_section, target_of
from lbscale.report.run_labels import NAMES, run_labels

HEADLINES = ("n_params", "n_tokens", "learning_rate", "batch_size_tokens", "loss", "loss_se", "status")


@dataclass(frozen=True)
class TableReport:
    """What laws say of a run table: the selected rows, the fits by law, why others are missing, the comparisons of
    held-out error and what has none, and the recommendation at its target (given, or chosen from the table)."""

    name: str
    n_rows: int
    table: pd.DataFrame
    where: str | None
    fits: Mapping[str, Fit]
    missing: Mapping[str, str]
    compared: Sequence[Comparison]
    not_compared: Mapping[str, str]
    target: Mapping[str, float]
    target_was_given: bool
    recommended: Mapping[str, Any] | str

    def document(self) -> dict[str, Any]:
        """The report as plain JSON values."""
        found: dict[str, Any] = plain(
            {
                "table": self.name,
                "n_rows": self.n_rows,
                "where": self.where,
                "laws": {name: fit.document() for name, fit in self.fits.items()},
                "missing": dict(self.missing),
                "held_out": [comparison.document() for comparison in self.compared],
                "without_held_out_error": dict(self.not_compared),
                "target": dict(self.target),
                "recommendation": self.recommended if isinstance(self.recommended, Mapping) else None,
                "no_recommendation": self.recommended if isinstance(self.recommended, str) else None,
            }
        )
        return found


def report_table(
    source: str | Path,
    names: Sequence[str],
    *,
    where: str | None = None,
    holdout: str | None = None,
    map: Mapping[str, str] | None = None,
    target: Mapping[str, float | None] | None = None,
    **options: Any,
) -> TableReport:
    """Fit the laws of these names to a table (CSV or parquet), judge them on held-out rows, ask what they recommend.

    Without `holdout`, laws are judged in windows by size. `target` has n_params and n_tokens, or flops; without it the
    budget is ten times that of the largest run. Further `options` are those of `laws.fit` that `laws.compare` has too.
    Raises InputError for bad input, and where no law can be fitted.
    """
    forms = {name: laws.get(name) for name in names}
    check(bool(forms), "laws", list(names), "at least one name of a law")
    whole = laws.read_table(source, map)
    table = whole[select(whole, where)]
    fits, missing = fit_each(table, forms, holdout=holdout, **options)
    reasons = "; ".join(f"{name}: {reason}" for name, reason in missing.items())
    check(bool(fits), "laws", list(forms), f"at least one that fits the table ({reasons})")
    of_compare = {name: value for name, value in options.items() if name != "bootstrap"}
    compared, rest = comparisons(table, [fit.law for fit in fits.values()], holdout=holdout, **of_compare)
    asked = {name: value for name, value in (target or {}).items() if value is not None}
    aim, ranked = target_of(fits, asked), best_first(fits, compared)
    return TableReport(
        name=str(source),
        n_rows=len(table),
        table=table,
        where=where,
        fits=fits,
        missing=missing,
        compared=compared,
        not_compared=rest,
        target=aim,
        target_was_given=bool(asked),
        recommended=answer(ranked, aim) if asked else recommendation_of(ranked, aim),
    )


def table_page(report: TableReport, ledger: Sequence[LedgerRow] = ()) -> Page:
    """The page of the report; `ledger` are predictions that were registered of the table's runs."""
    name = Path(report.name).name
    sections = [design_section(report.table)]
    sections += [law_section(law, fit) for law, fit in report.fits.items()]
    sections.append(held_out_section(report.compared, report.not_compared))
    sections.append(recommendation_section(report.recommended, report.target, report.target_was_given))
    if ledger:
        sections.append(ledger_section(ledger))
    facts = {"table": name, **({"rows used": report.where} if report.where else {})}
    sections.append(methods_section(report.table, report.fits, report.missing, facts))
    sections.append(Section("runs", "The runs", (Table(_runs(report.table), is_open=False),)))
    return Page(
        kicker=f"lbscale run table {name}",
        title=_title(report),
        background=(),
        lead=(Cards(tuple(_cards(report))),),
        sections=tuple(sections),
        runs=run_labels(report.table),
    )


def _title(report: TableReport) -> str:
    rows = "1 run" if report.n_rows == 1 else f"{report.n_rows:,} runs"
    return f"What {_listed(report.fits)} say{'s' if len(report.fits) == 1 else ''} of {rows}"


def _listed(names: Mapping[str, Any]) -> str:
    *first, last = names
    return f"{', '.join(first)} and {last}" if first else last


def _cards(report: TableReport) -> list[Card]:
    cards = []
    for comparison in report.compared:
        best = next(iter(comparison.fits))
        error = f"{100 * comparison.errors[best]:.2g} %"
        of_all = "" if len(comparison.fits) == 1 else f", the best of {len(comparison.fits)}"
        rows = comparison.held_out["n_rows"]
        cards.append(Card(error, f"mean error of {best}{of_all} on {rows} held-out rows"))
    if isinstance(report.recommended, Mapping):
        loss = report.recommended["loss"]
        if loss["value"] is not None:
            low, high = loss["interval"]
            interval = "" if low is None else f", 95 % from {low:.4g} to {high:.4g}"
            cards.append(Card(f"{loss['value']:.4g}", f"loss at the recommended point{interval}"))
    name, fit = next(iter(report.fits.items()))
    dropped = sum(fit.n_dropped.values())
    cards.append(
        Card(f"{fit.n_rows:,}", f"rows that {name} was fitted to" + (f"; {dropped:,} left out" if dropped else ""))
    )
    return cards


def _runs(table: pd.DataFrame) -> Exhibit:
    names = [name for name in NAMES if name in table][:1]
    shown = [*names, *(name for name in HEADLINES if name in table)]
    columns = tuple(Column(name, (name,), ".6g", name in (*names, "status")) for name in shown)
    return Exhibit("runs", "All runs", table[[*shown, *(c for c in table if c not in shown)]], columns)
