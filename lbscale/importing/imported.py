"""Import a table: read it, say what its columns are, derive what follows, and list what stays unknown."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from lbscale.errors import check, check_choice
from lbscale.importing.columns import name_columns
from lbscale.importing.deriving import derive
from lbscale.importing.notes import Notes
from lbscale.importing.sources import read_csv, read_olmo, read_wandb

KINDS: dict[str, Callable[[Path], tuple[pd.DataFrame, dict[str, int]]]] = {
    "csv": read_csv,
    "olmo": read_olmo,
    "wandb": read_wandb,
}


@dataclass(frozen=True)
class Imported:
    """A run table made of others' runs.

    Attributes:
        table: a row a run, in lbscale's names; what nobody could interpret stands in it under its own name.
        columns: {"column", "name", "rule"} of each interpreted column and each derived one.
        not_established: {"convention", "why", "assumed"} of each convention that the table leaves open.
        not_interpreted: columns that no rule knows.
        n_dropped: reason -> count of rows.
    """

    table: pd.DataFrame
    columns: list[dict[str, str]]
    not_established: list[dict[str, str | None]]
    not_interpreted: list[str]
    n_dropped: dict[str, int]

    def document(self) -> dict[str, Any]:
        """What was done, as plain JSON values, less the table."""
        return {
            "columns": self.columns,
            "not_established": self.not_established,
            "not_interpreted": self.not_interpreted,
            "n_rows": len(self.table),
            "n_dropped": self.n_dropped,
        }


def import_runs(
    kind: str, path: str | Path, map: Mapping[str, str] | None = None, given: Mapping[str, str] | None = None
) -> Imported:
    """The runs of a table of the kind csv, wandb or olmo.

    `map` {name: column} says what a column is, over any rule; `given` {name: value} states what holds for all rows,
    such as seq_len, bytes_per_token, params_convention, loss_unit, schedule. Raises InputError for a file that cannot
    be read, for a name or column that is not known, and where no column, or more than one, could be the loss.
    """
    check_choice("kind", kind, KINDS)
    frame, dropped = KINDS[kind](Path(path))
    check(len(frame) > 0, "table", str(path), "a table with rows is needed")
    notes = Notes()
    named, not_interpreted = name_columns(frame, kind, dict(map or {}), dict(given or {}), notes)
    table = derive(named, kind, notes)
    lost = table["loss"].isna() | ~(table["loss"] > 0)
    if "status" in table:
        lost &= ~table["status"].isin(("diverged", "stopped"))
    if lost.any():
        dropped = {**dropped, "no loss": int(lost.sum())}
    check(bool((~lost).any()), "table", str(path), "a run with a loss is needed")
    table = table[~lost].reset_index(drop=True)
    return Imported(table, notes.columns, notes.not_established, not_interpreted, dropped)
