"""What two simple rules predict of a larger run: the largest run's loss carried forward, and a line of losses."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from lbscale.laws.budget import six_n_d
from lbscale.laws.form import positive
from lbscale.laws.reading import read_table
from lbscale.laws.registry import get
from lbscale.laws.table import prepare


def baselines(
    table: str | Path | pd.DataFrame, n_params: float, n_tokens: float, *, flops: float | None = None
) -> dict[str, dict[str, Any]]:
    """Losses that two simple rules predict for a run of n_params on n_tokens, which takes `flops`.

    "carry_forward": the best loss of the largest model trained, at its token budget nearest n_tokens.
    "log_log_line": a straight line of ln loss against ln FLOPs through the best losses so far at each compute (the
    running minimum over cells). FLOPs are the table's `train_flops` where it has them for every run and `flops` is
    given, else 6ND on both sides. Each is {"loss", "rule", "n_points"}; the loss is null where there are too few
    points.
    """
    point = {"n_params": n_params, "n_tokens": n_tokens, **({} if flops is None else {"flops": flops})}
    point = {name: positive(name, value) for name, value in point.items()}
    frame = read_table(table).reset_index(drop=True)
    rows = prepare(frame, get("chinchilla"))
    sizes, tokens, loss = rows.columns["n_params"], rows.columns["n_tokens"], rows.target
    distance = np.where(sizes == sizes.max(), np.abs(np.log(tokens / point["n_tokens"])), np.inf)
    nearest = rows.cell == rows.cell[np.argmin(distance)]
    compute, target, counted = six_n_d(sizes, tokens), 6.0 * point["n_params"] * point["n_tokens"], "6ND"
    if "flops" in point and "train_flops" in frame:
        exact = pd.to_numeric(frame["train_flops"], errors="coerce").to_numpy(float)[rows.index]
        if (np.isfinite(exact) & (exact > 0)).all():
            compute, target, counted = exact, point["flops"], "train_flops of the table"
    best = np.array([np.flatnonzero(rows.cell == c)[np.argmin(loss[rows.cell == c])] for c in np.unique(rows.cell)])
    best = best[np.lexsort((loss[best], compute[best]))]
    frontier = loss[best] < np.concatenate([[np.inf], np.minimum.accumulate(loss[best])[:-1]])
    frontier &= np.concatenate([[True], np.diff(compute[best]) > 1e-9 * compute[best][1:]])
    best = best[frontier]
    line = None
    if best.size > 1:
        slope, level = np.polyfit(np.log(compute[best]), np.log(loss[best]), 1)
        line = float(np.exp(level + slope * np.log(target)))
    return {
        "carry_forward": {
            "loss": float(loss[nearest].min()),
            "n_points": int(nearest.sum()),
            "rule": f"best loss of {sizes.max():.6g} params, the largest, at {tokens[nearest].max():.6g} tokens",
        },
        "log_log_line": {
            "loss": line,
            "n_points": int(best.size),
            "rule": f"straight line of ln loss against ln FLOPs ({counted}) through the best losses",
        },
    }
