"""The methods paragraph: what was fitted to what, what was left out and why, counted how, and what was held constant.

Every word of it follows from the documents of the fits and from the table.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import pandas as pd

from lbscale.laws import Fit
from lbscale.report.blocks import Block, Facts, Section, Text
from lbscale.report.design import held_constant

INTERVALS = {
    "delta": "Student's t by the delta method",
    "bootstrap": "bootstrap of whole groups",
    "profile": "the profiled objective",
}
LOSSES = {"squares": "squares", "huber": "the Huber loss", "lad": "absolute values", "asymmetric": "an asymmetric loss"}
COUNTED = {"non_embedding": "without embeddings", "total": "embeddings included", "active": "active ones alone"}


def methods_section(
    table: pd.DataFrame, fits: Mapping[str, Fit], missing: Mapping[str, str], facts: Mapping[str, str]
) -> Section:
    """The paragraph for each fit, laws that were not fitted, and what was the same in all rows. `facts` are further
    things that a caller knows of the table."""
    blocks: list[Block] = [Text(methods_text(name, fit.document())) for name, fit in fits.items()]
    blocks += [Text(f"The law {name} is missing: {reason}.") for name, reason in missing.items()]
    read = {name for fit in fits.values() for name in (*fit.law.columns, *fit.law.targets)}
    constant, varying = held_constant(table, read)
    said = {**facts}
    if constant:
        said["the same in all rows"] = _listed(f"{name} {value}" for name, value in constant.items())
    if varying:
        said["varies, and no law reads it"] = _listed(varying)
    return Section("methods", "Methods", (*blocks, Facts(said)))


def methods_text(name: str, document: Mapping[str, Any]) -> str:
    """One fit as sentences, from its document."""
    convention = document["convention"]
    called = document["law"] if name == document["law"] else f"{name} ({document['law']})"
    sentences = [
        f"The law {called} was fitted to {_runs(document['n_rows'])}"
        + (f" with {document['where']}" if document["where"] else "")
        + f" by the sum of {_loss(document)} of {'log' if document['residual'] == 'log' else 'plain'} residuals",
        _exclusions(document),
        _counts(document),
        f"The law describes {convention['schedule']}",
        _intervals(document),
    ]
    if document["fixed"]:
        sentences.append(f"Held at a value: {_listed(f'{k} {v:.6g}' for k, v in document['fixed'].items())}")
    if document["penalties"]:
        sentences.append(f"Mild penalties stand on {_listed(document['penalties'])}")
    unknown = [parameter for parameter, known in document["identified"].items() if not known]
    if unknown:
        sentences.append(f"The data does not identify {_listed(unknown)}, and no number is given for them")
    return ". ".join(sentence for sentence in sentences if sentence) + "."


def _loss(document: Mapping[str, Any]) -> str:
    said = LOSSES[document["loss"]]
    return f"{said} (delta {document['delta']:g})" if document["loss"] in ("huber", "asymmetric") else said


def _exclusions(document: Mapping[str, Any]) -> str:
    dropped, censored = document["n_dropped"], document["n_censored"]
    left = _listed(f"{count} ({reason})" for reason, count in dropped.items())
    said = f"Left out: {left}" if dropped else "No run was left out"
    bounds = "entered as a lower bound" if censored == 1 else "entered as lower bounds"
    return f"{said}; {censored} unfinished or diverged {bounds}" if censored else said


def _counts(document: Mapping[str, Any]) -> str:
    convention, reach = document["convention"], document["range"]
    parts = []
    if "n_params" in reach:
        parts.append(
            f"Params are counted as {convention['params']} ({COUNTED.get(convention['params'], 'as the table does')})"
        )
    targets = [name for name in convention if name not in ("params", "tokens", "residual", "flops", "schedule")]
    units = [f"{name.replace('_', ' ')} in {convention[name]}" for name in targets if convention[name] != "1"]
    parts += [*units, f"compute as {convention['flops']}"]
    ranges = _listed(f"{name} {low:.4g} to {high:.4g}" for name, (low, high) in reach.items())
    return ", ".join(parts)[:1].upper() + ", ".join(parts)[1:] + f". The rows span {ranges}"


def _intervals(document: Mapping[str, Any]) -> str:
    method, groups = INTERVALS[document["interval_method"]], document["noise"]["n_groups"]
    return f"Intervals are 95 %, by {method}, over {groups} independent groups of rows"


def _runs(count: int) -> str:
    return "1 row" if count == 1 else f"{count:,} rows"


def _listed(items: Iterable[str]) -> str:
    return ", ".join(items)
