"""The algebra that expands axes into runs.

A base is a mapping of some of a run's fields; an axis is a name and its values. A name is a field of the run or of
anything in it (`learning_rate`, `batch_size_tokens`, `beta2`, `d_model`). Nothing is a run until every field is known,
so a schedule's fractions are taken of each run's own budget.
"""

from __future__ import annotations

import builtins
import dataclasses
import itertools
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from lbscale.errors import InputError, check, check_choice
from lbscale.spec import ConstantBatch, Run, run_key

Point = Mapping[str, Any]
_RUN_FIELDS = tuple(field.name for field in dataclasses.fields(Run))


def _with(fields: dict[str, Any], name: str, value: Any) -> dict[str, Any]:
    """`fields` with `name` set where it belongs: on the run itself, or on the one part that has such a field."""
    if name in _RUN_FIELDS:
        return {**fields, name: value}
    if name == "batch_size_tokens":
        return {**fields, "batch": ConstantBatch(value)}
    owners = [
        part
        for part, spec in fields.items()
        if dataclasses.is_dataclass(spec) and name in {field.name for field in dataclasses.fields(spec)}
    ]
    known = f"a field of the run or of one of its parts ({', '.join(_RUN_FIELDS)}) is needed"
    check(len(owners) == 1, "axis", name, known)
    return {**fields, owners[0]: dataclasses.replace(fields[owners[0]], **{name: value})}


def _run(base: Point, *points: Point) -> Run:
    fields = dict(base)
    for name, value in itertools.chain.from_iterable(point.items() for point in points):
        fields = _with(fields, name, value)
    missing = [name for name in _RUN_FIELDS if name not in fields and not name.endswith("_seed")]
    if missing:
        raise InputError("run", sorted(fields), f"these fields are missing: {', '.join(missing)}")
    for name in fields:
        check_choice("base", name, _RUN_FIELDS)
    return Run(**fields)


def product(base: Point, *points: Sequence[Point], **axes: Iterable[Any]) -> list[Run]:
    """Every combination of one point of each list and one value of each axis, set on the base; duplicates dropped."""
    factors: list[Sequence[Point]] = [*points, *([{name: value} for value in axes[name]] for name in axes)]
    return unique(_run(base, *combination) for combination in itertools.product(*factors))


def zip(**axes: Sequence[Any]) -> list[Point]:
    """Points that take the axes' values side by side; raises InputError when their lengths differ."""
    lengths = {name: len(values) for name, values in axes.items()}
    check(len(set(lengths.values())) <= 1, "axes", lengths, "zipped axes must have one length")
    return [dict(builtins.zip(axes, values, strict=True)) for values in builtins.zip(*axes.values(), strict=True)]


def chain(*lists: Iterable[Run]) -> list[Run]:
    """The runs of all lists, each once."""
    return unique(itertools.chain.from_iterable(lists))


def where(runs: Iterable[Run], predicate: Callable[[Run], bool]) -> list[Run]:
    """The runs for which `predicate` holds."""
    return [run for run in runs if predicate(run)]


def ladder(low: float, high: float, n: int) -> list[float]:
    """`n` values from low to high, evenly spaced in their logarithm, rounded to three significant digits."""
    check(n >= 2 and 0 < low < high, "ladder", (low, high, n), "0 < low < high and at least two values are needed")
    return [float(f"{low * (high / low) ** (i / (n - 1)):.3g}") for i in range(n)]


def unique(runs: Iterable[Run]) -> list[Run]:
    """The runs in order, each key once."""
    return list({run_key(run): run for run in runs}.values())
