"""In what two runs differ, and how far their results do."""

from __future__ import annotations

from typing import Any

from lbscale.spec import Run, to_json
from lbscale.store.result import Result

Difference = dict[str, tuple[Any, Any]]


def differing_fields(first: Run, second: Run) -> Difference:
    """Both values of every field that differs, by dotted name; None where a run's kind of part has no such field."""
    left, right = _flat(to_json(first)), _flat(to_json(second))
    pairs = {name: (left.get(name), right.get(name)) for name in [*left, *(right.keys() - left.keys())]}
    return {name: pair for name, pair in pairs.items() if pair[0] != pair[1]}


def results_side_by_side(first: Result, second: Result) -> Difference:
    """Status, loss in nats per token, and tokens trained, of both."""
    return {name: (getattr(first, name), getattr(second, name)) for name in ("status", "loss", "n_tokens")}


def _flat(document: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for name, value in document.items():
        flat |= _flat(value, f"{prefix}{name}.") if isinstance(value, dict) else {f"{prefix}{name}": value}
    return flat
