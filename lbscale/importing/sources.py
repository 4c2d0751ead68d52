"""Files as others export them, as one frame with a row a run."""

from __future__ import annotations

import ast
import json
import math
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from lbscale.errors import InputError, check
from lbscale.laws.reading import as_numbers, read_table

JSON_LINES = (".jsonl", ".ndjson", ".json")
RUN_NAMES = ("run_id", "id", "run", "run_name", "name", "Name")
CLOCKS = ("_step", "step", "steps", "throughput/total_tokens", "tokens")
DATADECIDE_RUN = ("group", "model", "chinchilla", "seed")


def read_csv(path: Path) -> tuple[pd.DataFrame, dict[str, int]]:
    """Any table, and how many rows were left out, by reason."""
    return read_table(path), {}


def read_wandb(path: Path) -> tuple[pd.DataFrame, dict[str, int]]:
    """Runs as W&B exports them: its page's CSV of runs, the `config` and `summary` of its programming interface as
    columns of text, or JSON lines of either; of a history (`_step`) with a column that names runs, each run's last row.
    """
    if path.suffix in JSON_LINES:
        return _last_of_runs(pd.DataFrame(_json_rows(path)), RUN_NAMES)
    frame = read_table(path)
    nested = [name for name in ("config", "summary") if name in frame]
    if nested:
        flat = [
            {
                **{k: v for k, v in row.items() if k not in nested},
                **_flat({name: _mapping(row[name]) for name in nested}),
            }
            for row in frame.to_dict("records")
        ]
        frame = pd.DataFrame(flat)
    return _last_of_runs(frame, RUN_NAMES)


def read_olmo(path: Path) -> tuple[pd.DataFrame, dict[str, int]]:
    """Runs of OLMo's ladder, a CSV of one run's history each, a file or a folder of them; or DataDecide's table of
    checkpoints and tasks. Of each run its last row; a file's name becomes the `run_id`."""
    paths = sorted(path.glob("*.csv")) if path.is_dir() else [path]
    check(bool(paths), "table", str(path), "a CSV file, or a folder with some, is needed")
    frames: list[pd.DataFrame] = []
    dropped: dict[str, int] = {}
    for each in paths:
        frame = read_table(each)
        if {"model", "task"} <= set(frame.columns):
            frame, left = _last_of_runs(frame, DATADECIDE_RUN, together=True)
        else:
            frame, left = _last_of_runs(frame.assign(run_id=each.stem), ("run_id",))
        frames.append(frame)
        for reason, count in left.items():
            dropped[reason] = dropped.get(reason, 0) + count
    return pd.concat(frames, ignore_index=True), dropped


def _last_of_runs(
    frame: pd.DataFrame, names: tuple[str, ...], together: bool = False
) -> tuple[pd.DataFrame, dict[str, int]]:
    """The row of the largest clock of each run; the frame as it is where nothing names runs or tells time."""
    found = [name for name in names if name in frame]
    named = found if together else found[:1]
    clock = next((name for name in CLOCKS if name in frame), None)
    if not named or clock is None or not frame.duplicated(named).any():
        return frame, {}
    order = frame.assign(**{"\0clock": as_numbers(frame, clock)}).sort_values("\0clock", kind="stable")
    last = frame.loc[sorted(order.drop_duplicates(named, keep="last").index)].reset_index(drop=True)
    return last, {"an earlier point of a run": len(frame) - len(last)}


def _json_rows(path: Path) -> list[dict[str, Any]]:
    """The objects of a file of JSON lines, or of one JSON list, flattened."""
    check(os.path.isfile(path), "table", str(path), "the path of a file")
    try:
        text = path.read_text(encoding="utf-8-sig")
        whole = text.lstrip().startswith("[")
        found = json.loads(text) if whole else [json.loads(line) for line in text.splitlines() if line.strip()]
    except (ValueError, RecursionError) as error:
        raise InputError("table", str(path), f"a JSON object a line is needed ({error})") from None
    rows = [_flat(row) for row in found if isinstance(row, Mapping)]
    check(bool(rows) and len(rows) == len(found), "table", str(path), "a JSON object a line is needed")
    return rows


def _flat(value: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested mappings as one, their keys joined by dots; W&B's {"value": x} as x; lists are left out."""
    flat: dict[str, Any] = {}
    for key, item in value.items():
        name = f"{prefix}.{key}" if prefix else str(key)
        item = item["value"] if isinstance(item, Mapping) and "value" in item else item
        if isinstance(item, Mapping):
            flat |= _flat(item, name)
        elif not isinstance(item, list | tuple):
            flat[name] = item
    return flat


def _mapping(text: Any) -> Mapping[str, Any]:
    """The mapping that a cell's text is, as JSON or as Python prints it; empty where it is none."""
    if isinstance(text, float) and math.isnan(text):
        return {}
    for parse in (json.loads, lambda said: ast.literal_eval(re.sub(r"\b(nan|inf)\b", "None", said))):
        try:
            found = parse(str(text))
        except (ValueError, SyntaxError, RecursionError, MemoryError):
            continue
        if isinstance(found, Mapping):
            return found
    return {}
