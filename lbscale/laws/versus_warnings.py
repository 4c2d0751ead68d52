"""What a reader of a comparison of two recipes should know, a sentence each."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from lbscale.laws.reading import as_numbers
from lbscale.laws.table import OF_ONE_KIND, Rows

if TYPE_CHECKING:
    from lbscale.laws.versus import Versus

UNEQUAL = 0.01  # share by which exact FLOPs per 6ND may differ between recipes without a word


def warnings_of(found: Versus, frame: pd.DataFrame, rows: Rows, second: NDArray[np.bool_]) -> list[str]:
    """The sentences; `frame` and `rows` (n) are of both recipes at their best, `second` (n,) says which are whose."""
    return [
        *_of_reach(found),
        *_of_tuning(found),
        *_of_fits(found),
        *_of_pairing(found, rows, second),
        *_of_kinds(found, frame.loc[rows.index]),
        *_of_flops(frame, rows, second),
    ]


def _of_reach(found: Versus) -> list[str]:
    factors = found.extrapolation(found.log_flops)
    outside = {name: factor for name, factor in factors.items() if factor > 1.0 + 1e-9}
    said = [f"{name} lies a factor {factor:.4g} outside the fitted data" for name, factor in outside.items()]
    if not outside:
        said.append("the target lies inside the data of both recipes: the answer interpolates")
    if found.crossing and found.crossing.n_crossings > 1:
        said.append(
            f"the fitted laws cross {found.crossing.n_crossings} times; the crossing nearest the target is given"
        )
    return said


def _of_tuning(found: Versus) -> list[str]:
    if found.tunings is None:
        return []
    said = [
        sentence
        for recipe, tuning in zip(found.recipes, found.tunings, strict=True)
        for sentence in tuning.warnings(recipe)
    ]
    one, other = (tuning.tried for tuning in found.tunings)
    if max(one, other) >= 2 * min(one, other) > 0:
        said.append(f"the recipes chose among {one:g} and {other:g} settings a cell: the best of more is luckier")
    return said


def _of_fits(found: Versus) -> list[str]:
    """The fits' own warnings, once where both have them."""
    shared = [warning for warning in found.fits[0].warnings if warning in found.fits[1].warnings]
    own = [
        f"{recipe}: {warning}"
        for recipe, fitted in zip(found.recipes, found.fits, strict=True)
        for warning in fitted.warnings
        if warning not in shared
    ]
    return [*own, *(f"either recipe: {warning}" for warning in shared)]


def _of_pairing(found: Versus, rows: Rows, second: NDArray[np.bool_]) -> list[str]:
    said = []
    for recipe, own in zip(found.recipes, (~second, second), strict=True):
        alone = np.setdiff1d(rows.cell[own], rows.cell[~own]).size
        if alone:
            said.append(f"{recipe}: the other recipe lacks {alone} of its cells, whose noise cannot cancel")
    if found.n_pairs == 0:
        said.append("no run of one recipe shares cell and seeds with a run of the other: little noise can cancel")
    return said


def _of_kinds(found: Versus, frame: pd.DataFrame) -> list[str]:
    """A sentence for each column that makes losses incomparable and differs between the recipes."""
    said = []
    for name in (name for name in OF_ONE_KIND if name in frame and name != found.by):
        values = [set(frame[name][frame[found.by] == recipe].dropna()) for recipe in found.recipes]
        if values[0] != values[1]:
            said.append(f"the recipes differ in {name} too, so that the difference is not theirs alone")
    return said


def _of_flops(frame: pd.DataFrame, rows: Rows, second: NDArray[np.bool_]) -> list[str]:
    """A sentence where the table's exact FLOPs say that 6ND treats the recipes unequally."""
    if "train_flops" not in frame:
        return []
    per_6nd = as_numbers(frame.loc[rows.index], "train_flops") / (
        6.0 * rows.columns["n_params"] * rows.columns["n_tokens"]
    )
    if not np.isfinite(per_6nd).all():
        return []
    ratio = float(np.median(per_6nd[second]) / np.median(per_6nd[~second]))
    if abs(ratio - 1.0) < UNEQUAL:
        return []
    return [
        f"by train_flops the second recipe takes {ratio:.3g} times the first's FLOPs at equal 6ND, which is counted"
    ]
