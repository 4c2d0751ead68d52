"""Which rows are fitted to and which held out: expanding in size, leaving a size out, or a decade ahead in compute."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from lbscale.errors import InputError, check_choice
from lbscale.laws.conventions import EXACT_FLOPS, count_flops
from lbscale.laws.reading import as_numbers, check_column

KINDS = ("size", "leave-one-size-out", "compute")
MOST_LEVELS = 12
SAME_SIZE = 1.01  # largest ratio of sizes that count as one
LEAST_SIZES = 3
AHEAD = 10.0  # windows by compute predict at this many times the compute fitted to, and more
THRESHOLDS_PER_DECADE = 2

Masks = tuple[str, NDArray[Any], NDArray[Any]]


@dataclass(frozen=True)
class Window:
    """Rows of a table to fit to and rows to predict: masks (n,) of bool, with no row in both."""

    name: str
    fitted: NDArray[Any]
    held: NDArray[Any]


@dataclass(frozen=True)
class Plan:
    """The windows of one kind over a table of n rows.

    Attributes:
        values: (n,) what the windows are cut by: the number of the size, from 0, or FLOPs; negative for rows that have
            none, which are in no window.
        labels: words for each size; none for compute.
        flops: how compute is counted, "exact" or "6ND"; None for sizes.
    """

    kind: str
    values: NDArray[Any]
    labels: tuple[str, ...] = ()
    flops: str | None = None

    def windows(self, among: NDArray[Any] | None = None, least_rows: int = 1) -> list[Window]:
        """The windows within the rows `among` (n,), all if not given, that fit to at least `least_rows` rows."""
        placed = self.values >= 0
        among = placed if among is None else among & placed
        cut: Callable[[NDArray[Any]], Iterator[Masks]] = {
            "size": self._expanding,
            "leave-one-size-out": self._leaving_out,
            "compute": self._ahead,
        }[self.kind]
        return [
            Window(name, among & fitted, among & held)
            for name, fitted, held in cut(among)
            if (among & fitted).sum() >= least_rows and (among & held).any()
        ]

    def _expanding(self, among: NDArray[Any]) -> Iterator[Masks]:
        sizes = np.unique(self.values[among])
        for k in range(LEAST_SIZES, len(sizes)):
            name = f"sizes up to {self.labels[sizes[k - 1]]}, then {self.labels[sizes[k]]}"
            yield name, self.values < sizes[k], self.values == sizes[k]

    def _leaving_out(self, among: NDArray[Any]) -> Iterator[Masks]:
        sizes = np.unique(self.values[among])
        for size in sizes if len(sizes) > LEAST_SIZES else ():
            yield f"all sizes but {self.labels[size]}", self.values != size, self.values == size

    def _ahead(self, among: NDArray[Any]) -> Iterator[Masks]:
        everything = self.values[self.values >= 0]
        if not everything.size:
            return
        n_steps = int(np.floor(THRESHOLDS_PER_DECADE * np.log10(everything.max() / everything.min())))
        seen: set[tuple[int, int]] = set()
        for step in range(n_steps + 1):
            threshold = everything.max() / AHEAD * 10.0 ** ((step - n_steps) / THRESHOLDS_PER_DECADE)
            fitted, held = self.values <= threshold, self.values >= AHEAD * threshold * (1 - 1e-9)
            counts = int((among & fitted).sum()), int((among & held).sum())
            if counts not in seen:
                seen.add(counts)
                yield f"up to {threshold:.2g} FLOPs, then {AHEAD * threshold:.2g} and more", fitted, held


def plan(frame: pd.DataFrame, kind: str, flops: str | None = None) -> Plan:
    """The windows of `kind` over the rows of `frame`.

    "size" fits to the k smallest sizes, from the third on, and predicts the next one; "leave-one-size-out" fits to all
    sizes but one; "compute" fits to runs of up to C FLOPs and predicts those of 10 C and more, for thresholds C half a
    decade apart. Sizes within 1 % are one; more than twelve are gathered into intervals of equal width in ln N. FLOPs
    are counted as `conventions.count_flops` says. Raises InputError where a column is missing or no window is possible.
    """
    check_choice("windows", kind, KINDS)
    if kind == "compute":
        frame, counted = count_flops(frame, flops)
        compute = as_numbers(frame, EXACT_FLOPS)
        made = Plan(kind, np.where(np.isfinite(compute) & (compute > 0), compute, -1.0), flops=counted)
        spanned = compute[made.values > 0]
        factor = spanned.max() / spanned.min() if spanned.size else 1.0
        needed = f"it needs runs over more than a factor of {AHEAD:g} of compute; the table spans {factor:.3g}"
    else:
        check_column(frame, "n_params")
        level, labels = levels(as_numbers(frame, "n_params"))
        made = Plan(kind, level, labels)
        needed = f"it needs more than {LEAST_SIZES} sizes; the table has {len(labels)}"
    if not made.windows():
        raise InputError("windows", kind, needed)
    return made


def levels(sizes: NDArray[Any]) -> tuple[NDArray[Any], tuple[str, ...]]:
    """The number of each row's size (n,), from the smallest, -1 where it has none, and words for each number."""
    level = np.full(len(sizes), -1)
    usable = np.flatnonzero(np.isfinite(sizes) & (sizes > 0))
    if not usable.size:
        return level, ()
    order = usable[np.argsort(sizes[usable], kind="stable")]
    ordered = sizes[order]
    starts = [0]
    for i in range(1, len(ordered)):
        if ordered[i] > SAME_SIZE * ordered[starts[-1]]:
            starts.append(i)
    if len(starts) > MOST_LEVELS:
        edges = np.geomspace(ordered[0], ordered[-1] * (1 + 1e-12), MOST_LEVELS + 1)
        starts = sorted(set(np.searchsorted(ordered, edges[:-1] * (1 - 1e-12)).tolist()))
    level[order] = np.searchsorted(starts, np.arange(len(ordered)), side="right") - 1
    ends = [*starts[1:], len(ordered)]
    return level, tuple(_label(ordered[a], ordered[b - 1]) for a, b in zip(starts, ends, strict=True))


def _label(low: float, high: float) -> str:
    return f"{low:.3g}" if high <= SAME_SIZE * low else f"{low:.3g} to {high:.3g}"
