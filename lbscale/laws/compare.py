"""Which law predicts best what it has not seen: ranked by held-out error, with intervals of the differences."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from lbscale.errors import InputError, check
from lbscale.laws.compare_text import summarise_comparison
from lbscale.laws.conventions import count_params
from lbscale.laws.form import Law
from lbscale.laws.holdout import summarise
from lbscale.laws.judging import Judge, mean_error
from lbscale.laws.notebook import comparison_html
from lbscale.laws.paired import difference
from lbscale.laws.reading import read_table, select
from lbscale.laws.registry import get
from lbscale.laws.result import Fit
from lbscale.laws.text import plain
from lbscale.laws.windows import Plan, Window, plan

INNER = "size"  # the windows that a form is chosen on where none are asked for


@dataclass(frozen=True, repr=False)
class Comparison:
    """Laws ranked by their error on rows that none of them was fitted to.

    Attributes:
        fits: law -> its fit to all rows that are not held out by a query, best first.
        held: law -> its held-out rows (`holdout.judge`), with `window` and `size`; the same rows for each law.
        errors: law -> mean relative error of those.
        pairs: the differences of error between laws, with intervals (`paired.difference`).
        unranked: law -> why it could not be fitted or judged.
        windows: each {"name", "n_fitted", "n_held", "left_out"}, the last the reason why it does not count, or None.
        nested: what choosing a form on inner windows would have cost on the outer ones; None where there are too few.
        held_out: {"query", "windows", "flops", "n_rows", "n_sizes"}.
    """

    fits: dict[str, Fit]
    held: dict[str, pd.DataFrame]
    errors: dict[str, float]
    pairs: list[dict[str, Any]]
    unranked: dict[str, str]
    windows: list[dict[str, Any]]
    nested: dict[str, Any] | None
    held_out: dict[str, Any]
    warnings: list[str]

    def document(self) -> dict[str, Any]:
        """The comparison as plain JSON values; `laws` are the documents of the fits, best first."""
        return plain(
            {
                "ranked_by": "mean relative error of held-out rows",
                "held_out": self.held_out,
                "laws": [self._law(name, rank) for rank, name in enumerate(self.fits, 1)],
                "pairs": self.pairs,
                "unranked": [{"law": name, "reason": reason} for name, reason in self.unranked.items()],
                "windows": self.windows,
                "nested": self.nested,
                "warnings": self.warnings,
            }
        )

    def against_best(self, name: str) -> dict[str, Any] | None:
        """How the law's error differs from the best law's; None for the best itself."""
        best = next(iter(self.fits))
        return next((pair for pair in self.pairs if (pair["law"], pair["than"]) == (name, best)), None)

    def _law(self, name: str, rank: int) -> dict[str, Any]:
        rows = self.held[name]
        parts = rows.groupby("window", sort=False)["relative_error"]
        by_window = [{"window": window, **mean_error(error)} for window, error in parts]
        report = {**summarise(rows), "by_window": by_window, "rows": rows.to_dict("records")}
        return {
            **self.fits[name].document(),
            "holdout": report,
            "rank": rank,
            "against_best": self.against_best(name),
        }

    def __repr__(self) -> str:
        return self.summary()

    def _repr_html_(self) -> str:
        return comparison_html(self)

    def summary(self) -> str:
        """The comparison as a table of text."""
        return summarise_comparison(self)


def compare(
    table: str | Path | pd.DataFrame,
    laws: Sequence[str | Law],
    *,
    holdout: str | None = None,
    windows: str | None = None,
    where: str | None = None,
    map: Mapping[str, str] | None = None,
    params_convention: str | None = None,
    flops: str | None = None,
    **options: Any,
) -> Comparison:
    """Rank `laws` by how they predict rows of the table that they were not fitted to.

    The rows are those of the query `holdout`, or, without one, those that `windows` (`windows.plan`: "size",
    "leave-one-size-out", "compute") hold out one after another. Laws are judged on the same rows: a row, or window,
    that some ranked law cannot use is left out for all. A law that fails where it has the most rows is not ranked.

    The error of a law that was chosen for being best is too good, so the choice is judged as well (`nested`): in each
    outer window, a form is chosen by its error on windows within the rows fitted to there, and its error reported on
    the outer ones. With `holdout`, its rows are the outer window and `windows` (default: size) are the inner ones.

    Further `options` are those of `fit`: loss, delta, residual, bootstrap, seed. Raises InputError for bad input, laws
    of different targets among it.
    """
    forms = _forms(laws)
    frame = read_table(table, map)
    frame = frame[select(frame, where)]
    frame = frame if frame.index.is_unique else frame.reset_index(drop=True)
    if any("n_params" in law.columns for law in forms.values()):
        frame, params_convention = count_params(frame, params_convention)
    least_rows = 1 + max(len(law.parameters) for law in forms.values())
    bench = Judge(frame, forms, {"params_convention": params_convention, **options})
    inner: Plan | None
    if holdout is None:
        inner = plan(frame, windows or INNER, flops)
        outer = inner.windows(least_rows=least_rows)
        check(bool(outer), "windows", inner.kind, f"at least one window with {least_rows} rows to fit to")
        whole = np.ones(len(frame), bool)
    else:
        mask = select(frame, holdout, "holdout").to_numpy()
        check(bool(mask.any()), "holdout", holdout, "a query that some rows satisfy")
        outer, whole = [Window(holdout, ~mask, mask)], ~mask
        try:
            inner = plan(frame[~mask], windows or INNER, flops)
            inner = replace(inner, values=_spread(inner.values, ~mask))
        except InputError:
            if windows is not None:
                raise
            inner = None
    judged = bench.judge(outer)
    fits = {name: bench.fit(name, whole, where) for name in judged.order}
    rows = judged.rows
    n_sizes = int(rows[judged.order[0]]["size"].nunique())
    warnings = [] if n_sizes > 1 else ["one held-out size: no interval of a difference can be given"]
    return Comparison(
        fits=fits,
        held=rows,
        errors={name: mean_error(rows[name]["relative_error"])["mean_relative_error"] for name in judged.order},
        pairs=[
            {"law": one, "than": other, **_difference(rows[one], rows[other], len(judged.order) - 1)}
            for i, other in enumerate(judged.order)
            for one in judged.order[i + 1 :]
        ],
        unranked=judged.unranked,
        windows=judged.windows,
        nested=bench.nested(outer, inner, judged.order, least_rows) if inner else None,
        held_out={
            "query": holdout,
            "windows": inner.kind if inner and holdout is None else None,
            "flops": inner.flops if inner else None,
            "n_rows": len(rows[judged.order[0]]),
            "n_sizes": n_sizes,
        },
        warnings=warnings,
    )


def _forms(laws: Sequence[str | Law]) -> dict[str, Law]:
    forms = [get(law) if isinstance(law, str) else law for law in ([laws] if isinstance(laws, (str, Law)) else laws)]
    names = [law.name for law in forms]
    check(bool(names), "laws", names, "at least one law")
    check(len(set(names)) == len(names), "laws", names, "each law once")
    targets = {law.name: list(law.targets) for law in forms}
    same = len({tuple(target) for target in targets.values()}) == 1
    check(same, "laws", targets, "laws that predict the same quantities")
    return dict(zip(names, forms, strict=True))


def _spread(values: NDArray[Any], mask: NDArray[Any]) -> NDArray[Any]:
    """`values` of the rows of `mask`, and -1 for the others, (n,)."""
    whole = np.full(len(mask), -1, values.dtype)
    whole[mask] = values
    return whole


def _difference(one: pd.DataFrame, other: pd.DataFrame, n_compared: int) -> dict[str, Any]:
    """How the sizes of the relative errors on the same rows differ, rows of one size together."""
    sizes = [rows["relative_error"].abs().to_numpy() for rows in (one, other)]
    return difference(sizes[0], sizes[1], one["size"], n_compared)
