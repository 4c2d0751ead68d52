"""The recommendation of fitted laws, as `laws.recommend` gives it: where it comes from, and how far it reaches."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from lbscale import laws
from lbscale.errors import InputError
from lbscale.laws import Comparison, Fit
from lbscale.report.blocks import Block, Notes, Section, Table, Text
from lbscale.report.exhibit import Column, Exhibit
from lbscale.report.law_view import words
from lbscale.report.style import short

FARTHER = 10  # times the FLOPs of the largest run: what is asked for where nobody says


def best_first(fits: Mapping[str, Fit], compared: Sequence[Comparison]) -> dict[str, Fit]:
    """The fits in the order of their held-out error, since the first that can answer does."""
    ranked = [law for comparison in compared for law in comparison.fits]
    place = lambda name: ranked.index(fits[name].law.name) if fits[name].law.name in ranked else len(ranked)
    return {name: fits[name] for name in sorted(fits, key=place)}


def target_of(fits: Mapping[str, Fit], given: Mapping[str, float | None]) -> dict[str, float]:
    """What is asked of `laws.recommend`: what is given, else `FARTHER` times the most FLOPs (6ND) in a fit's rows."""
    said = {name: value for name, value in given.items() if value is not None}
    if said:
        return said
    most = [_most_flops(fit) for fit in fits.values() if {"n_params", "n_tokens"} <= set(fit.range)]
    return {"flops": FARTHER * max(most)} if most else {}


def _most_flops(fit: Fit) -> float:
    return float(np.max(6.0 * np.array(fit.rows["n_params"]) * np.array(fit.rows["n_tokens"])))


def recommendation_of(fits: Mapping[str, Fit], target: Mapping[str, float]) -> dict[str, Any] | str:
    """The answer of `laws.recommend`, or why there is none."""
    if not fits or not target:
        return "no fitted law tells how loss follows from params and tokens"
    try:
        return answer(fits, target)
    except InputError as error:
        return str(error)


def answer(fits: Mapping[str, Fit], target: Mapping[str, float]) -> dict[str, Any]:
    """The answer of `laws.recommend`; raises InputError for a target that it refuses."""
    with np.errstate(all="ignore"):  # what is not finite is said to be unknown
        return laws.recommend(fits, **dict[str, Any](target))


def recommendation_section(said: Mapping[str, Any] | str, target: Mapping[str, float], was_given: bool) -> Section:
    """The answer as a table, its warnings below."""
    if isinstance(said, str):
        return Section("recommendation", "The recommendation", (Text(f"None: {said}."),))
    asked = " and ".join(f"{_amount(value)} {_WORDS[name]}" for name, value in target.items())
    why = "" if was_given else f", {FARTHER} times the largest run of the table"
    fields = {name: field for name, field in said.items() if isinstance(field, Mapping) and "value" in field}
    answered = {name: field for name, field in fields.items() if field["value"] is not None}
    blocks: list[Block] = [Text(f"For {asked}{why}.")]
    if answered:
        blocks.append(Table(_exhibit(answered)))
    blocks += [Text(line, small=True) for line in _reasons(fields)]
    if said["warnings"] or said["notes"]:
        blocks.append(Notes("What to know of this answer", (*said["warnings"], *said["notes"])))
    return Section("recommendation", "The recommendation", tuple(blocks))


_WORDS = {"flops": "FLOPs (6ND)", "n_params": "params", "n_tokens": "training tokens"}


def _amount(value: float) -> str:
    return short(value) if value < 1e13 else f"{value:.3g}"


def _reasons(fields: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """What each answering law holds for, and why fields have no answer."""
    lines = {}
    for field in fields.values():
        if field["valid_for"] is not None:
            holds = field["valid_for"]
            ranges = ", ".join(f"{name} {low:.4g} to {high:.4g}" for name, (low, high) in holds["range"].items())
            lines[field["source"]] = (
                f"{field['source']} describes {holds['schedule']}; params {holds['params_convention']}; "
                f"its rows span {ranges}."
            )
    silent: dict[str, list[str]] = {}
    for name, field in fields.items():
        if field["value"] is None:
            silent.setdefault(field["source"], []).append(words(name))
    return [*lines.values(), *(f"No answer for {', '.join(names)}: {why}." for why, names in silent.items())]


def _exhibit(answered: Mapping[str, Mapping[str, Any]]) -> Exhibit:
    columns = (
        Column("", ("what",), is_text=True),
        Column("value", ("value",)),
        Column("95 % interval", ("low", "high")),
        Column("of a new run", ("new_run_low", "new_run_high")),
        Column("from", ("source",), is_text=True),
        Column("outside the data by", ("beyond",), is_text=True),
    )
    frame = pd.DataFrame([_row(name, field) for name, field in answered.items()])
    shown = tuple(column for column in columns if not frame[list(column.keys)].isna().all(axis=None))
    return Exhibit("recommendation", "What the fitted laws recommend", frame, shown)


def _row(name: str, field: Mapping[str, Any]) -> dict[str, Any]:
    low, high = field["interval"] or (None, None)
    new_low, new_high = field.get("interval_new_run") or (None, None)
    holds = field["valid_for"] or {}
    beyond = {column: factor for column, factor in field.get("extrapolation", {}).items() if factor > 1}
    return {
        "what": words(name) + (f" ({field['bound']})" if field.get("bound") else ""),
        "value": field["value"],
        "low": low,
        "high": high,
        "new_run_low": new_low,
        "new_run_high": new_high,
        "source": field["source"],
        "schedule": holds.get("schedule"),
        "params_convention": holds.get("params_convention"),
        "beyond": ", ".join(f"{factor:.3g} in {column}" for column, factor in beyond.items()) or None,
    }
