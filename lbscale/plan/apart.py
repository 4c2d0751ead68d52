"""What keeps near-identical runs from sharing: the fields that would have to agree."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from lbscale.clock import origin, shared_tokens, timetable, trained_tokens
from lbscale.errors import InputError
from lbscale.spec import Run

_LITTLE = 0.5  # runs that share less than this much of the shorter one are asked why


@dataclass(frozen=True)
class Difference:
    """Two runs' values of a field which, had they been one, would have let them share more."""

    field: str
    values: tuple[Any, Any]
    budgets: tuple[int, int]

    def __str__(self) -> str:
        low, high = self.values
        text = f"{self.field}: {_spelled(low)} and {_spelled(high)} differ"
        share = _common_share(self.values, self.budgets)
        return f"{text} ({share:.3g} % of each budget)" if share else text


def kept_apart(runs: Iterable[Run]) -> Iterator[Difference]:
    """Why runs that differ only in their budget and schedule share little: a difference a pair, in order of budget."""
    similar: dict[object, list[Run]] = {}
    found: dict[object, tuple[Difference, ...]] = {}  # the same of all seeds and shapes
    for run in runs:
        similar.setdefault((origin(run), run.learning_rate, run.batch, run.optimizer), []).append(run)
    for members in similar.values():
        for shorter, longer in pairwise(sorted(members, key=lambda run: run.n_tokens)):
            pair = timetable(shorter), timetable(longer)
            if pair not in found:
                found[pair] = tuple(_differences(shorter, longer))
            yield from found[pair]


def _differences(shorter: Run, longer: Run) -> Iterator[Difference]:
    shared = shared_tokens(shorter, longer)
    if shared < _LITTLE * trained_tokens(shorter):
        yield from _culprits(shorter, longer, shared)


def _culprits(shorter: Run, longer: Run, shared: int) -> Iterator[Difference]:
    """The fields of the schedule that alone make the difference, or the whole schedule."""
    budgets = (shorter.n_tokens, longer.n_tokens)
    ours, theirs = shorter.schedule, longer.schedule
    if type(ours) is not type(theirs):
        yield Difference("schedule", (ours.kind, theirs.kind), budgets)
        return
    found = []
    for field in dataclasses.fields(ours):
        values = (getattr(ours, field.name), getattr(theirs, field.name))
        if values[0] != values[1] and _shared_with(longer, shorter, field.name, values[0]) > shared:
            found.append(Difference(field.name, values, budgets))
    yield from found or [Difference("n_tokens", budgets, budgets)]


def _shared_with(run: Run, other: Run, field: str, value: Any) -> int:
    """What `other` would share with `run`, had its schedule this value."""
    try:
        changed = dataclasses.replace(run, schedule=dataclasses.replace(run.schedule, **{field: value}))
    except InputError:
        return 0
    return shared_tokens(changed, other)


def _common_share(values: tuple[Any, Any], budgets: tuple[int, int]) -> float | None:
    """In per cent, the share of its budget that each value is, where it is the same for both."""
    if not all(isinstance(value, int) for value in values) or values == budgets:
        return None
    shares = [value / budget for value, budget in zip(values, budgets, strict=True)]
    tolerance = 1 / min(budgets)
    return 100 * shares[0] if abs(shares[0] - shares[1]) <= tolerance and shares[0] > 0 else None


def _spelled(value: Any) -> str:
    return f"{value:,}" if isinstance(value, int) else str(value)
