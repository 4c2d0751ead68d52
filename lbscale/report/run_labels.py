"""What a reader sees of a run when he points at it: its name, its settings, its loss."""

from __future__ import annotations

from typing import Any

import pandas as pd

from lbscale.report.style import short

NAMES = ("key", "run_id", "run", "name", "id", "source_name")
COUNTS = {"n_params": "params", "n_tokens": "tokens"}
SETTINGS = {"learning_rate": "learning rate", "batch_size_tokens": "batch"}
FURTHER = ("schedule", "optimizer", "parameterization", "dataset", "loss_split", "init_seed", "data_seed", "status")


def run_labels(table: pd.DataFrame) -> dict[str, tuple[str, ...]]:
    """The row's label in the table, as text -> lines: name, sizes, settings, what else differs between runs, and the
    loss with its standard error."""
    name = next((name for name in NAMES if name in table and table[name].is_unique), None)
    further = [column for column in FURTHER if column in table and table[column].nunique() > 1]
    return {str(label): _lines(label, row, name, further) for label, row in table.to_dict("index").items()}


def _lines(label: Any, row: dict[Any, Any], name: str | None, further: list[str]) -> tuple[str, ...]:
    called = str(label) if name is None else str(row[name])
    known = lambda column: column in row and pd.notna(row[column])
    sizes = [f"{_count(row[column])} {words}" for column, words in COUNTS.items() if known(column)]
    settings = [f"{words} {_number(row[column])}" for column, words in SETTINGS.items() if known(column)]
    rest = [f"{column.replace('_', ' ')} {_number(row[column])}" for column in further if known(column)]
    loss = [f"loss {_number(row['loss'])}"] if known("loss") else []
    if loss and known("loss_se"):
        loss = [f"{loss[0]} ± {_number(row['loss_se'], 2)}"]
    lines = (called if name == "key" else f"run {called}", *(", ".join(part) for part in (sizes, settings, rest, loss)))
    return tuple(line for line in lines if line)


def _count(value: Any) -> str:
    return short(value) if isinstance(value, int | float) else str(value)


def _number(value: Any, digits: int = 5) -> str:
    return f"{value:.{digits}g}" if isinstance(value, float) else str(value)
