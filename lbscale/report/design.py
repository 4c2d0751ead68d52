"""The design: which sizes, budgets and settings were tried, and how many runs of each."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from lbscale.laws.table import cells
from lbscale.report.axis import around
from lbscale.report.blocks import Block, Facts, Panels, Section
from lbscale.report.panel import Panel, Point
from lbscale.report.style import short

VARIED = {
    "n_params": "params",
    "n_tokens": "training tokens",
    "learning_rate": "peak learning rates",
    "batch_size_tokens": "batch sizes, tokens",
    "d_model": "widths",
    "parameterization": "parameterisations",
    "optimizer": "optimizers",
    "schedule": "schedules",
    "weight_decay": "weight decays",
    "dataset": "datasets",
    "init_seed": "seeds",
}
COUNTS = {"n_params", "n_tokens", "batch_size_tokens"}
MOST_NAMED = 6


def design_section(table: pd.DataFrame, planned: str | None = None) -> Section:
    """What varies in the table, and where its runs lie in params and tokens; `planned` says what is not in it yet."""
    facts = {"runs": f"{len(table):,}" + (f"; {planned}" if planned else "")}
    for column, words in VARIED.items():
        if column in table and table[column].nunique() > 1:
            facts[words] = _spread(table[column], column in COUNTS)
    for column, words in (("train_flops", "training FLOPs"), ("train_flops_6nd", "the same as 6ND")):
        if column in table:
            facts[words] = f"{pd.to_numeric(table[column], errors='coerce').sum():.3g} in all"
    blocks: list[Block] = [Facts(facts)]
    panel = _map(table)
    if panel is not None:
        caption = "A point is a cell: the runs of one size and one budget of tokens, whatever their settings."
        blocks.append(Panels("design-map", (panel,), caption))
    return Section("design", "The design", tuple(blocks))


def _spread(values: pd.Series, counts: bool) -> str:
    """How many values there are, and which: the numbers, of a column that has any."""
    numbers = pd.to_numeric(values, errors="coerce").dropna()
    found = sorted(numbers.unique()) if len(numbers) else sorted({str(value) for value in values.dropna()})
    say = lambda value: value if isinstance(value, str) else short(value) if counts else f"{value:.4g}"
    if len(found) <= MOST_NAMED:
        return ", ".join(map(say, found))
    return f"{len(found)}, from {say(found[0])} to {say(found[-1])}"


def _map(table: pd.DataFrame) -> Panel | None:
    if not {"n_params", "n_tokens"} <= set(table):
        return None
    numbers = table.assign(**{name: pd.to_numeric(table[name], errors="coerce") for name in ("n_params", "n_tokens")})
    known = numbers[(numbers["n_params"] > 0) & (numbers["n_tokens"] > 0) & np.isfinite(numbers["n_tokens"])]
    if known.empty:
        return None
    parts = known.groupby(cells(known["n_params"].to_numpy(float), known["n_tokens"].to_numpy(float)))
    points = tuple(_cell(part) for _, part in parts)
    x = around("training tokens", [point.x for point in points], counts=True)
    return Panel("sizes and budgets", x, around("params", [point.y for point in points], counts=True), points)


def _cell(part: pd.DataFrame) -> Point:
    size, tokens = float(part["n_params"].iloc[0]), float(part["n_tokens"].iloc[0])
    runs = "1 run" if len(part) == 1 else f"{len(part)} runs"
    lines = [f"{runs}; {tokens / size:.3g} tokens per param"]
    for column, words in (("learning_rate", "learning rates"), ("batch_size_tokens", "batches")):
        if column in part and part[column].nunique() > 1:
            lines.append(f"{words} {part[column].min():.4g} to {part[column].max():.4g}")
    loss = pd.to_numeric(part["loss"], errors="coerce").min() if "loss" in part else float("nan")
    lines += [f"best loss {loss:.4f}"] if np.isfinite(loss) else []
    return Point(tokens, size, f"{short(size)} params, {short(tokens)} tokens", tuple(lines))


def held_constant(table: pd.DataFrame, read: set[str]) -> tuple[dict[str, str], list[str]]:
    """Columns of one value in all rows, with it, and columns of several that no law reads: neither is a result, an
    identity or a count of what the laws read."""
    constant: dict[str, str] = {}
    varying: list[str] = []
    for name in table.columns:
        values = table[name].dropna()
        if name in read or _is_no_setting(str(name)) or values.empty:
            continue
        if values.nunique() == 1:
            constant[str(name)] = _value(values.iloc[0])
        elif not values.is_unique:
            varying.append(str(name))
    return constant, varying


def _value(value: Any) -> str:
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def _is_no_setting(name: str) -> bool:
    starts = (
        "loss",
        "n_params",
        "n_tokens",
        "train_flops",
        "train_compute",
        "error",
        "bits_per",
        "seconds",
        "diverged",
    )
    ends = ("key", "_se", "_id", "_at_tokens", "_name", "_lo95", "_hi95")
    return name.startswith(starts) or name.endswith(ends) or name in ("status", "annealed", "epochs", "stage", "steps")
