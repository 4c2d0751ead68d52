"""The rows of two recipes: split by a column, each at its own best settings, with cells that both have in common."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from lbscale.errors import InputError, check, check_choice
from lbscale.laws.form import Law
from lbscale.laws.grid import snap
from lbscale.laws.reading import as_numbers, check_column
from lbscale.laws.result import Fit
from lbscale.laws.table import Rows, prepare
from lbscale.laws.tuned import NOT_BEST, Tuning, tuned_runs

SIZES = ("n_params", "n_tokens")
SAME_SIZE = 0.02  # sizes of two recipes that are within this of each other make one cell


def split(frame: pd.DataFrame, by: str, recipes: Sequence[str] | None) -> tuple[pd.DataFrame, tuple[str, str], int]:
    """The rows of two recipes, `by` as text; the two; and the number of rows without a value of `by`."""
    check_column(frame, by)
    used = ("loss", *SIZES)
    check(by not in used, "by", by, f"a column that names recipes, not one of {', '.join(used)}")
    named = frame[frame[by].notna()]
    named = named.assign(**{by: named[by].astype(str)}).reset_index(drop=True)
    values = sorted(named[by].unique())
    shown = ", ".join(values[:8]) + (", ..." if len(values) > 8 else "")
    if recipes is None:
        check(len(values) > 1, "by", by, f"a column of two recipes; it holds {shown or 'nothing'} alone")
        check(len(values) == 2, "by", by, f"two recipes of {len(values)} ({shown}): choose them with --recipes A B")
        pair = values
    else:
        pair = [str(value) for value in recipes]
        check(len(pair) == 2 and pair[0] != pair[1], "recipes", pair, f"two different values of {by}: {shown}")
        for value in pair:
            check_choice("recipes", value, values)
    chosen = named[named[by].isin(pair)].reset_index(drop=True)
    return chosen, (pair[0], pair[1]), len(frame) - len(named)


def check_sizes(frame: pd.DataFrame, by: str, pair: tuple[str, str]) -> None:
    """Raise InputError unless the recipes have a size in common."""
    for name in ("n_params", "n_tokens", "loss"):
        check_column(frame, name)
    size = _same_sizes(frame)
    sizes = [set(size[(frame[by] == recipe).to_numpy() & np.isfinite(size)]) for recipe in pair]
    if not sizes[0] & sizes[1]:
        said = [f"{recipe} has {_few(own)}" for recipe, own in zip(pair, sizes, strict=True)]
        raise InputError("by", by, f"recipes with sizes (n_params) in common; {'; '.join(said)}")


def _few(sizes: set[float]) -> str:
    return ", ".join(f"{size:.4g}" for size in sorted(sizes)[:4]) + (", ..." if len(sizes) > 4 else "") or "none"


def _same_sizes(frame: pd.DataFrame) -> NDArray[Any]:
    """n_params (n,) with sizes within `SAME_SIZE` made one; NaN where it is no positive number."""
    size = as_numbers(frame, "n_params")
    known = np.isfinite(size) & (size > 0)
    size = np.where(known, size, np.nan)
    if known.any():
        size[known] = snap(size[known], SAME_SIZE)
    return size


def at_best(
    frame: pd.DataFrame, by: str, pair: tuple[str, str], law: Law
) -> tuple[pd.DataFrame, tuple[Tuning, Tuning] | None, dict[str, int]]:
    """The rows at each recipe's best settings, with their labels in `frame`, how they were tuned, and what was dropped.

    A law that tunes settings itself takes all rows.
    """
    if law.tuned:
        return frame, None, {}
    (one, first, n_first), (other, second, n_second) = (tuned_runs(frame[frame[by] == recipe]) for recipe in pair)
    left = n_first + n_second
    return pd.concat([one, other]).sort_index(), (first, second), {NOT_BEST: left} if left else {}


def shared_rows(frame: pd.DataFrame, law: Law, group: str | None) -> Rows:
    """The rows of both recipes, cells made of sizes that are nearly the same."""
    rows = prepare(frame.assign(n_params=_same_sizes(frame)), law, group)
    own = as_numbers(frame.loc[rows.index], "n_params")
    return replace(rows, columns={**rows.columns, "n_params": own})


def pairing(fits: tuple[Fit, Fit], rows: Rows, second: NDArray[Any], group: str | None) -> tuple[int, float]:
    """Rows of the first that share cell and seeds (or group) with one of the second, and how residuals correlate."""
    label = rows.cell if group is None else rows.group
    assert label is not None
    pair = np.column_stack([label, np.zeros(rows.n, int) if rows.seed is None or group else rows.seed])
    used = ~rows.censored
    residuals: list[pd.DataFrame] = []
    for found, here in zip(fits, (~second & used, second & used), strict=True):
        columns = {name: values[here] for name, values in rows.columns.items()}
        rest = np.log(rows.target[here]) - np.log(found.law.predict(found.theta, columns))
        groups = pd.Series(rest).groupby([pair[here, 0], pair[here, 1]])
        residuals.append(groups.agg(["mean", "size"]).add_suffix("" if not residuals else "_other"))
    shared = pd.concat(residuals, axis=1, join="inner")
    one, other = shared["mean"].to_numpy(), shared["mean_other"].to_numpy()
    spread = one.std() * other.std() if len(shared) > 2 else 0.0
    correlation = float(((one - one.mean()) * (other - other.mean())).mean() / spread) if spread > 0 else np.nan
    return int(shared["size"].sum()), correlation
