"""Which rows share errors: factors of a table, each of which puts its rows into groups."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from lbscale.laws.table import Rows

FEWEST_GROUPS = 5  # of a factor whose variance is estimated


class Factor(NamedTuple):
    """Rows that share errors: a number (n,) for each row's group."""

    name: str
    label: NDArray[Any]


def factors(rows: Rows, fewest: int = FEWEST_GROUPS) -> list[Factor]:
    """The factors whose groups may share errors, by run (n,): the caller's choice of column, or cell, seed in a
    cell, trunk and data seed. One that tells no two rows apart, or all, or has under `fewest` groups, is left
    out, as is one that groups like another."""
    if rows.group is not None:
        candidates = [Factor("group", rows.group)]
    else:
        candidates = [Factor("cell", rows.cell)]
        if rows.trunk is not None:
            candidates.append(Factor("trunk", rows.trunk))
        if rows.seed is not None:
            both = np.column_stack([rows.cell, rows.seed])
            candidates.append(Factor("seed", np.unique(both, axis=0, return_inverse=True)[1].ravel()))
        if rows.data_seed is not None:
            candidates.append(Factor("data_seed", rows.data_seed))
    found: dict[bytes, Factor] = {}
    for name, label in candidates:
        first, code = np.unique(label, return_index=True, return_inverse=True)[1:]
        order = np.argsort(np.argsort(first))[code]
        enough = fewest <= first.size < label.size or name == "group"
        if enough and order.tobytes() not in found:
            found[order.tobytes()] = Factor(name, order)
    return list(found.values())
