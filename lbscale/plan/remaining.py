"""What of a forest is still to train: the runs that are not recorded, from the last states kept on their way."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Iterable, Mapping, Sequence

from lbscale.clock import curve_tokens, prefix_key
from lbscale.plan.forest import Stretch
from lbscale.spec import run_key

# States that can be begun from: where a run's curve had been read on the way to each, by its tokens and prefix key.
Kept = Mapping[tuple[int, str], Collection[int]]


def remaining(stretches: Sequence[Stretch], done: Collection[str], kept: Kept) -> tuple[Stretch, ...]:
    """The stretches that train what is not `done`, parents first, each from the last kept state on it.

    A state that was kept before some run's curve was read is of no use to that run, and is passed over.
    """
    ends = [tuple(run for run in stretch.ends if run_key(run) not in done) for stretch in stretches]
    below = _runs_below(stretches, ends)
    found = _found(stretches, ends, kept) if kept else [{} for _ in stretches]
    begins: list[int] = [0] * len(stretches)
    trains, asked = [False] * len(stretches), [False] * len(stretches)
    for i in reversed(range(len(stretches))):
        stretch = stretches[i]
        trains[i] = bool(ends[i]) or (asked[i] and stretch.last_tokens not in found[i])
        begins[i] = max((tokens for tokens in found[i] if tokens < stretch.last_tokens), default=stretch.first_tokens)
        if trains[i] and begins[i] == stretch.first_tokens and stretch.parent is not None:
            asked[stretch.parent] = True
    kept_index: dict[int, int] = {}
    left: list[Stretch] = []
    for i, stretch in enumerate(stretches):
        if not trains[i]:
            continue
        parent, begins_from = None, found[i].get(begins[i])
        if begins_from is None and stretch.parent is not None:
            begins_from = found[stretch.parent].get(stretch.first_tokens)
            parent = kept_index[stretch.parent] if begins_from is None else None
        kept_index[i] = len(left)
        grown = dataclasses.replace(stretch, index=len(left), parent=parent, ends=ends[i], n_runs=below[i])
        left.append(dataclasses.replace(grown, first_tokens=begins[i], begins_from=begins_from))
    return tuple(left)


def _runs_below(stretches: Sequence[Stretch], ends: Sequence[Collection[object]]) -> list[int]:
    """How many runs pass through each stretch that are not done."""
    counts = [len(ending) for ending in ends]
    for stretch in reversed(stretches):
        if stretch.parent is not None:
            counts[stretch.parent] += counts[stretch.index]
    return counts


def _found(stretches: Sequence[Stretch], ends: Sequence[Iterable], kept: Kept) -> list[dict[int, str]]:
    """For each stretch, the kept states on it that can be used, by their tokens: prefix keys."""
    wanted: list[set[int]] = [{tokens for run in ending for tokens in curve_tokens(run)} for ending in ends]
    for stretch in reversed(stretches):
        if stretch.parent is not None:
            wanted[stretch.parent] |= wanted[stretch.index]
    found: list[dict[int, str]] = []
    for stretch, asked in zip(stretches, wanted, strict=True):
        counts = {tokens for tokens, _ in kept if stretch.first_tokens < tokens <= stretch.last_tokens}
        names = {tokens: prefix_key(stretch.lead, tokens) for tokens in counts}
        read = {tokens: kept.get((tokens, name)) for tokens, name in names.items()}
        usable = {
            tokens
            for tokens, points in read.items()
            if points is not None and all(at in points for at in asked if at <= tokens)
        }
        found.append({tokens: names[tokens] for tokens in usable})
    return found
