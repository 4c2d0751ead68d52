"""A law's exponents under each way of counting params that a table has: they differ most where models are small."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from lbscale.laws.conventions import counted
from lbscale.laws.fit import fit
from lbscale.laws.form import Law
from lbscale.laws.reading import read_table
from lbscale.laws.registry import get
from lbscale.laws.text import bracket, plain

CONVENTIONS = ("total", "non_embedding")


def by_convention(
    table: str | Path | pd.DataFrame, law: str | Law, *, map: Mapping[str, str] | None = None, **options: Any
) -> dict[str, dict[str, dict[str, Any]]]:
    """Convention -> exponent -> {"value", "interval", "identified"}, for total and non-embedding params.

    The exponents are the law's parameters without unit and its derived quantities, each fitted anew with the
    `options` of `fit`. Empty where the law does not read `n_params` or the table lacks one of the counts. Why the
    two differ: Pearce and Song 2024, https://arxiv.org/abs/2406.12907.
    """
    law = get(law) if isinstance(law, str) else law
    frame = read_table(table, map)
    if "n_params" not in law.columns or not set(CONVENTIONS) <= set(counted(frame)):
        return {}
    return {name: _exponents(frame, law, {**options, "params_convention": name}) for name in CONVENTIONS}


def convention_lines(found: Mapping[str, Mapping[str, Mapping[str, Any]]]) -> list[str]:
    """What `by_convention` found as lines of text, one a convention."""
    lines = []
    for convention, exponents in found.items():
        said = [
            f"{name} {item['value']:.3f} {bracket(item['interval'])}"
            if item["identified"]
            else f"{name} not identified"
            for name, item in exponents.items()
        ]
        lines.append(f"  by {convention} params: {', '.join(said)}")
    return lines


def _exponents(frame: pd.DataFrame, law: Law, options: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    found = fit(frame, law, **options)
    own = {
        parameter.name: {
            "value": found.params[parameter.name],
            "interval": found.interval[parameter.name],
            "identified": found.identified[parameter.name],
        }
        for parameter in law.parameters
        if parameter.unit == "1"
    }
    return plain({**own, **found.derived})
