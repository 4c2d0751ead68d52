"""Several laws tried on the same held-out rows of one table, each fit made once."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from lbscale.errors import InputError, check
from lbscale.laws.fit import fit
from lbscale.laws.form import Law
from lbscale.laws.holdout import judge
from lbscale.laws.result import Fit
from lbscale.laws.windows import Plan, Window, levels


@dataclass(frozen=True)
class Judged:
    """Laws on the same held-out rows: law -> rows, in the `order` of their error."""

    order: list[str]
    rows: dict[str, pd.DataFrame]
    unranked: dict[str, str]
    windows: list[dict[str, Any]]


class Judge:
    """Fits of several laws to parts of one table, each made once."""

    def __init__(self, frame: pd.DataFrame, forms: Mapping[str, Law], options: Mapping[str, Any]) -> None:
        self.frame, self.forms, self.options = frame, forms, dict(options)
        self._made: dict[tuple[str, bytes], Fit | InputError] = {}

    def fit(self, name: str, mask: NDArray[Any], where: str | None = None, **options: Any) -> Fit:
        """The fit of a law to the rows of `mask`; raises InputError where it cannot be fitted."""
        key = name, np.packbits(mask).tobytes()
        if key not in self._made:
            try:
                self._made[key] = fit(self.frame[mask], self.forms[name], **{**self.options, **options})
            except InputError as error:
                self._made[key] = error
        made = self._made[key]
        if isinstance(made, InputError):
            raise made
        return replace(made, where=where)

    def judge(self, windows: Sequence[Window], names: Iterable[str] | None = None, **options: Any) -> Judged:
        """Each law's predictions of what the windows hold out, in those windows and rows that all ranked laws manage.

        A law that fails in the window with the most rows to fit to is not ranked. Raises InputError where all do.
        """
        names = list(self.forms) if names is None else list(names)
        found = {name: [self._predict(name, window, options) for window in windows] for name in names}
        largest = int(np.argmax([window.fitted.sum() for window in windows]))
        unranked = {name: str(found[name][largest]) for name in names if isinstance(found[name][largest], str)}
        names = [name for name in names if name not in unranked]
        check(bool(names), "laws", list(unranked), f"at least one that fits: {next(iter(unranked.values()), '')}")
        reports, kept = [], []
        for i, window in enumerate(windows):
            failures = [f"{name}: {found[name][i]}" for name in names if isinstance(found[name][i], str)]
            counts = {"n_fitted": int(window.fitted.sum()), "n_held": int(window.held.sum())}
            reports.append({"name": window.name, **counts, "left_out": failures[0] if failures else None})
            kept += [] if failures else [i]
        rows = _on_the_same_rows({name: [found[name][i] for i in kept] for name in names})
        order = sorted(names, key=lambda name: mean_error(rows[name]["relative_error"])["mean_relative_error"])
        return Judged(order, {name: rows[name] for name in order}, unranked, reports)

    def nested(
        self, outer: Sequence[Window], plan: Plan, names: Sequence[str], least_rows: int
    ) -> dict[str, Any] | None:
        """In each outer window, the form that inner windows choose, and its error on the rows held out there."""
        parts, errors = [], []
        for window in outer:
            inner = plan.windows(window.fitted, least_rows)
            if not inner:
                continue
            try:
                chosen = self.judge(inner, names, bootstrap=0)
                best = chosen.order[0]
                rows = self._predict(best, window, {})
            except InputError:
                continue
            if isinstance(rows, str):
                continue
            inner_error = mean_error(chosen.rows[best]["relative_error"])["mean_relative_error"]
            part = {"window": window.name, "n_inner_windows": len(inner), "chosen": best, "inner_error": inner_error}
            parts.append({**part, **mean_error(rows["relative_error"])})
            errors.append(rows["relative_error"])
        if not parts:
            return None
        chosen_names = [part["chosen"] for part in parts]
        return {
            "inner_windows": plan.kind,
            "chosen": {name: chosen_names.count(name) for name in dict.fromkeys(chosen_names)},
            **mean_error(pd.concat(errors)),
            "windows": parts,
        }

    def _predict(self, name: str, window: Window, options: Mapping[str, Any]) -> pd.DataFrame | str:
        """The rows of `holdout.judge` in one window, or why there are none."""
        law = self.forms[name]
        try:
            rows, _ = judge(self.fit(name, window.fitted, **options), self.frame[window.held], law)
        except InputError as error:
            return str(error)
        if not np.isfinite(rows["relative_error"]).all():
            return f"its predictions are not finite in window {window.name!r}"
        return rows.assign(window=window.name)


def _on_the_same_rows(found: Mapping[str, Sequence[Any]]) -> dict[str, pd.DataFrame]:
    """Each law's rows, one window after another, less those that some law has not, in one order; with `size`."""
    tables = {name: pd.concat(parts, ignore_index=True) if parts else pd.DataFrame() for name, parts in found.items()}
    keys = {name: _keys(table) for name, table in tables.items()}
    shared = set.intersection(*(set(key) for key in keys.values()))
    check(bool(shared), "laws", list(found), "laws that can predict some held-out row in common")
    same = {name: tables[name][[key in shared for key in keys[name]]].reset_index(drop=True) for name in tables}
    sized = next((table for table in same.values() if "n_params" in table), None)
    n_rows = len(next(iter(same.values())))
    size = np.arange(n_rows) if sized is None else levels(sized["n_params"].to_numpy())[0]
    return {name: table.assign(size=size) for name, table in same.items()}


def _keys(table: pd.DataFrame) -> list[tuple[Any, ...]]:
    names = [name for name in ("window", "target", "row") if name in table]
    return list(zip(*(table[name] for name in names), strict=True))


def mean_error(error: pd.Series) -> dict[str, Any]:
    """Number of relative errors and the mean of their sizes."""
    return {"n_rows": len(error), "mean_relative_error": float(error.abs().mean())}
