"""Read a run table, keep the rows a law can use, and count the others with the reason for each."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from lbscale.errors import InputError, check, check_choice
from lbscale.laws.form import Law

CONVENTIONS = ("total", "non_embedding", "active")
UNFINISHED = ("diverged", "stopped")
SEEDS = ("init_seed", "data_seed")
BUDGET = "n_tokens_budget"
SAME_BUDGET = 1.01  # largest ratio of token counts in a cell: a batch that does not divide the budget falls short of it


@dataclass(frozen=True)
class Rows:
    """The rows that a fit uses: n of them.

    Attributes:
        columns: the law's columns, each (n,) float.
        loss: nats per token (n,); of a censored row, its lower bound.
        censored: (n,) bool.
        cell: (n,) int, the same number for runs of the same params and budget of tokens (`cells`).
        seed: (n,) int, the same number for runs of the same seeds; None where the table names no seeds.
        trunk: (n,) int, the same number for runs that share a trunk; None where the table names none.
        index: (n,) labels of the rows in the table they came from.
        dropped: reason -> count.
    """

    columns: dict[str, NDArray[Any]]
    loss: NDArray[Any]
    censored: NDArray[Any]
    cell: NDArray[Any]
    seed: NDArray[Any] | None
    trunk: NDArray[Any] | None
    index: NDArray[Any]
    dropped: dict[str, int]


def read_table(source: str | Path | pd.DataFrame, rename: Mapping[str, str] | None = None) -> pd.DataFrame:
    """The run table as a new frame, with `rename` {name that laws use: column of the table} applied.

    Reads CSV (comma, semicolon or tab; with or without a byte-order mark) and parquet. Raises InputError for
    a file that is missing or unreadable, and for a column to rename that is not there.
    """
    if isinstance(source, pd.DataFrame):
        frame = source.copy()
    else:
        path = Path(source)
        check(path.is_file(), "table", str(source), "the path of a CSV or parquet file")
        try:
            if path.suffix in (".parquet", ".pq"):
                frame = pd.read_parquet(path)
            else:
                with open(path, encoding="utf-8-sig") as file:
                    header = file.readline()
                separator = max(",;\t", key=header.count)
                frame = pd.read_csv(path, sep=separator, encoding="utf-8-sig", skipinitialspace=True)
        except (ValueError, OSError, pd.errors.ParserError) as error:
            raise InputError("table", str(source), f"a readable CSV or parquet file ({error})") from error
    frame.columns = [str(column).strip() for column in frame.columns]
    for name, column in (rename or {}).items():
        _check_column(frame, column)
        frame[name] = frame[column]
    return frame


def select(frame: pd.DataFrame, where: str | None, field: str = "where") -> pd.Series:
    """Which rows satisfy the pandas query `where`, as a Series of bool; raises InputError for a bad query."""
    if where is None:
        return pd.Series(True, index=frame.index)
    try:
        mask = frame.eval(where)
    except Exception as error:  # pandas raises whatever its parser or the columns' types raise
        raise InputError(field, where, f"a pandas query over the table's columns ({error})") from error
    if not (isinstance(mask, pd.Series) and mask.dtype == bool):
        raise InputError(field, where, "a query that is true or false for each row")
    return mask


def count_params(frame: pd.DataFrame, convention: str | None) -> tuple[pd.DataFrame, str]:
    """The frame with `n_params` counted by `convention`, and the convention's name.

    A column `n_params_total` (or `_non_embedding`, `_active`) is used where the table has it; otherwise the
    convention says what the column `n_params` counts. It defaults to the table's column `params_convention`,
    then to non-embedding. Raises InputError where flag and table disagree or the table mixes conventions.
    """
    stated = sorted(set(frame["params_convention"].dropna())) if "params_convention" in frame else []
    if convention is not None:
        check_choice("params_convention", convention, CONVENTIONS)
        if f"n_params_{convention}" in frame:
            return frame.assign(n_params=frame[f"n_params_{convention}"]), convention
    check(
        len(stated) < 2,
        "params_convention",
        stated,
        "one convention in a fit: convert n_params, or use --where",
    )
    if not stated:
        return frame, convention or "non_embedding"
    check_choice("params_convention", stated[0], CONVENTIONS)
    check(
        convention in (None, stated[0]),
        "params_convention",
        convention,
        f"the table counts {stated[0]} params: add a column n_params_{convention}",
    )
    return frame, stated[0]


def prepare(frame: pd.DataFrame, law: Law) -> Rows:
    """The rows of `frame` that `law` can use.

    A run that diverged or was stopped has no loss of its own: where the law takes censored rows it enters as
    a lower bound, the worst finite loss of the finished runs of its cell. A run's budget of tokens is its
    `n_tokens_budget` where the table has it, else its `n_tokens`. Losses measured before annealing are never used.
    Raises InputError where a column is missing or no row is left.
    """
    for name in (*law.columns, "loss"):
        _check_column(frame, name)
    numbers = {name: _numbers(frame, name) for name in (*law.columns, "loss")}
    status = frame["status"].fillna("finished").astype(str) if "status" in frame else None
    unfinished = np.zeros(len(frame), bool) if status is None else status.isin(UNFINISHED).to_numpy()
    reasons: dict[str, NDArray[Any]] = {}
    for name in law.columns:
        reasons[f"{name} not finite"] = ~np.isfinite(numbers[name])
        reasons[f"{name} not positive"] = numbers[name] <= 0
    reasons["loss not finite"] = ~np.isfinite(numbers["loss"]) & ~unfinished
    reasons["loss not positive"] = (numbers["loss"] <= 0) & ~unfinished
    if status is not None:
        reasons["status unknown"] = ~status.isin((*UNFINISHED, "finished")).to_numpy()
        if not law.censors:
            for kind in UNFINISHED:
                reasons[kind] = (status == kind).to_numpy()
    if "annealed" in frame:
        annealed = frame["annealed"].map(lambda value: str(value).strip().lower() not in ("false", "0", "0.0"))
        reasons["not annealed"] = ~annealed.to_numpy(bool) & ~unfinished
    kept = np.ones(len(frame), bool)
    dropped: dict[str, int] = {}
    for reason, bad in reasons.items():
        kept = _drop(kept, bad, reason, dropped)

    cell = _cells(frame, law)
    loss, censored = numbers["loss"].copy(), unfinished & kept
    for row in np.flatnonzero(censored):
        peers = kept & ~unfinished & (cell == cell[row])
        loss[row] = numbers["loss"][peers].max() if peers.any() else np.nan
    kept = _drop(kept, censored & np.isnan(loss), "censored in a cell without a finished run", dropped)
    check(
        bool((kept & ~unfinished).any()),
        "table",
        f"{len(frame)} rows",
        f"law {law.name!r} can use none of them: {dropped or 'the table is empty'}",
    )
    seeds = [name for name in SEEDS if name in frame]
    trunks = "trunk_key" in frame and frame["trunk_key"].notna().any()
    return Rows(
        columns={name: numbers[name][kept] for name in law.columns},
        loss=loss[kept],
        censored=censored[kept],
        cell=cell[kept],
        seed=_codes(frame, seeds)[kept] if seeds else None,
        trunk=_codes(frame, ["trunk_key"])[kept] if trunks else None,
        index=frame.index.to_numpy()[kept],
        dropped=dropped,
    )


def cells(size: NDArray[Any], n_tokens: NDArray[Any]) -> NDArray[Any]:
    """The cell (n,) of each run: runs of one `size` whose tokens lie within 1 % of the cell's fewest."""
    cell = np.empty(len(size), int)
    code, first = -1, -1
    for row in np.lexsort((n_tokens, size)):
        if first < 0 or size[row] != size[first] or n_tokens[row] > SAME_BUDGET * n_tokens[first]:
            code, first = code + 1, row
        cell[row] = code
    return cell


def _cells(frame: pd.DataFrame, law: Law) -> NDArray[Any]:
    sizes = [name for name in ("n_params",) if name in law.columns]
    if "n_tokens" not in law.columns:
        return _codes(frame, sizes)
    tokens = _numbers(frame, "n_tokens")
    if BUDGET in frame:
        budget = _numbers(frame, BUDGET)
        tokens = np.where(np.isfinite(budget), budget, tokens)
    return cells(_codes(frame, sizes) if sizes else np.zeros(len(frame)), tokens)


def _numbers(frame: pd.DataFrame, name: str) -> NDArray[Any]:
    return pd.to_numeric(frame[name], errors="coerce").to_numpy(float)


def _drop(kept: NDArray[Any], bad: NDArray[Any], reason: str, dropped: dict[str, int]) -> NDArray[Any]:
    """Rows still kept, counting each dropped row under the first reason that it meets."""
    count = int((kept & bad).sum())
    if count:
        dropped[reason] = count
    return kept & ~bad


def _codes(frame: pd.DataFrame, names: list[str]) -> NDArray[Any]:
    """A number for each distinct combination of values, (n,); every row its own where no names are given."""
    if not names:
        return np.arange(len(frame))
    return frame.groupby(names, dropna=False, sort=False).ngroup().to_numpy()


def _check_column(frame: pd.DataFrame, name: str) -> None:
    if name not in frame:
        near = difflib.get_close_matches(name, map(str, frame.columns), n=3, cutoff=0.4)
        hint = f"nearest: {', '.join(near)}" if near else f"the table has: {', '.join(map(str, frame.columns))}"
        raise InputError("table", name, f"the table has no such column; {hint} (rename with --map)")
