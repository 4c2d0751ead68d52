"""Questions asked of fitted laws: what to train, what it will lose, and what simple rules would have said."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from lbscale.errors import check
from lbscale.laws.form import positive
from lbscale.laws.reading import read_table
from lbscale.laws.registry import get
from lbscale.laws.result import Fit
from lbscale.laws.table import prepare
from lbscale.laws.uncertainty import spread

Flops = Callable[[NDArray[Any], NDArray[Any]], NDArray[Any]]
FIELDS = ("n_params", "n_tokens", "learning_rate", "batch_size_tokens", "loss", "critical_batch_size_tokens")


def six_n_d(n_params: NDArray[Any], n_tokens: NDArray[Any]) -> NDArray[Any]:
    """C = 6 N D (Kaplan et al. 2020, https://arxiv.org/abs/2001.08361); far from exact below width 512."""
    return 6.0 * n_params * n_tokens


def recommend(
    fits: Fit | Iterable[Fit] | Mapping[str, Fit],
    *,
    n_params: float | None = None,
    n_tokens: float | None = None,
    flops: float | None = None,
    count_flops: Flops = six_n_d,
) -> dict[str, Any]:
    """What to train, given n_params and n_tokens, or a budget in FLOPs.

    Each field of `FIELDS` is {"value", "interval", "source", "valid_for"}, the value null with the reason as
    source where no law covers it; a tuned setting also has "bound" ("at most", "at least" or null). The loss
    has "interval" of the mean and "interval_new_run". The first fit that can answer a field does. Raises
    InputError unless either both sizes or the budget are given.
    """
    fits = [fits] if isinstance(fits, Fit) else list(fits.values() if isinstance(fits, Mapping) else fits)
    check(bool(fits), "fits", fits, "at least one fit")
    sized = n_params is not None and n_tokens is not None
    check(
        sized != (flops is not None) and (sized or (n_params is None and n_tokens is None)),
        "flops",
        flops,
        "either both n_params and n_tokens, or flops alone",
    )
    for field, value in (("n_params", n_params), ("n_tokens", n_tokens), ("flops", flops)):
        check(value is None or bool(np.isfinite(value) and value > 0), field, value, "a positive number")
    answer: dict[str, Any] = {name: _nothing("no fitted law covers it") for name in FIELDS}
    warnings: list[str] = []
    surfaces = [fit for fit in fits if "loss" in fit.law.targets and {"n_params", "n_tokens"} <= set(fit.law.columns)]
    if flops is not None and surfaces:
        split = compute_optimal(surfaces[0], flops, count_flops)
        answer.update({name: split[name] for name in ("n_params", "n_tokens")})
        warnings += split["warnings"]
        n_params, n_tokens = split["n_params"]["value"], split["n_tokens"]["value"]
    elif sized:
        for name, value in (("n_params", n_params), ("n_tokens", n_tokens)):
            answer[name] = {"value": value, "interval": None, "source": "given", "valid_for": None}
    if n_params is not None and n_tokens is not None:
        warnings += _settings_and_loss(answer, fits, surfaces, {"n_params": n_params, "n_tokens": n_tokens})
    return {**answer, "warnings": list(dict.fromkeys(warnings))}


def compute_optimal(fit: Fit, flops: float, count_flops: Flops = six_n_d) -> dict[str, Any]:
    """The n_params and n_tokens of least loss at a budget of FLOPs, tuned settings at their optimum.

    Works on any law of n_params and n_tokens: the loss along the curve of equal FLOPs is searched on a grid
    over six decades about the fitted sizes, refined by a parabola. A field whose optimum lies at the end of
    that grid is null, with the reason as source.
    """
    low, high = np.log(fit.range["n_params"])
    log_n = np.linspace(low - 6.9, high + 6.9, 561)
    sizes = np.exp(log_n)
    tokens = _tokens_at(sizes, flops, count_flops)
    theta = np.concatenate([fit.theta[None], fit.draws])
    point = {"n_params": sizes, "n_tokens": tokens}
    losses = fit.law.optimum(theta, **point)[-1] if fit.law.tuned else fit.law.predict(theta, point)
    best = np.argmin(losses, axis=1)
    if best[0] in (0, log_n.size - 1):
        reason = _nothing("the law has no compute-optimal size near the fitted ones")
        return {"n_params": reason, "n_tokens": reason, "warnings": ["no compute-optimal size was found"]}
    inner = np.clip(best, 1, log_n.size - 2)
    left, middle, right = (losses[np.arange(len(theta)), inner + j] for j in (-1, 0, 1))
    bend = np.maximum(left - 2.0 * middle + right, 1e-300)
    shift = np.where(inner == best, 0.5 * (left - right) / bend, 0.0)
    found_n = np.exp(log_n[inner] + np.clip(shift, -1.0, 1.0) * (log_n[1] - log_n[0]))
    found_d = _tokens_at(found_n, flops, count_flops)
    edge = int((inner != best)[1:].sum())
    warnings = [f"{edge} of {len(fit.draws)} draws have no compute-optimal size in reach"] if edge else []
    return {"n_params": _field(fit, found_n), "n_tokens": _field(fit, found_d), "warnings": warnings}


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


def _settings_and_loss(
    answer: dict[str, Any], fits: list[Fit], surfaces: list[Fit], point: dict[str, float]
) -> list[str]:
    """Fill in tuned settings and the loss at `point`; returns warnings."""
    warnings: list[str] = []
    for fit in fits:
        free = [name for name in fit.law.columns if name not in fit.law.tuned]
        if not fit.law.tuned or not set(free) <= point.keys():
            continue
        for name, best in fit.optimum(**{name: point[name] for name in free}).items():
            if name in answer and answer[name]["value"] is None:
                answer[name] = {**best, "source": fit.law.name, "valid_for": _valid_for(fit)}
                if best["bound"]:
                    warnings.append(f"{name}: its optimum lies outside the tried grid, {best['bound']} this")
    for fit in surfaces:
        if set(fit.law.columns) - set(fit.law.tuned) <= point.keys():
            prediction = fit.predict(**{name: point[name] for name in fit.law.columns if name in point})
            answer["loss"] = {
                "value": prediction.value,
                "interval": prediction.interval_mean,
                "interval_new_run": prediction.interval_new_run,
                "source": fit.law.name,
                "valid_for": _valid_for(fit),
                "extrapolation": prediction.extrapolation,
            }
            return warnings + prediction.warnings
    return warnings


def _tokens_at(n_params: NDArray[Any], flops: float, count_flops: Flops) -> NDArray[Any]:
    """Tokens at which each size spends `flops`, by bisection: any count that grows with tokens will do."""
    low, high = np.full(n_params.shape, -20.0), np.full(n_params.shape, 100.0)
    for _ in range(60):
        middle = 0.5 * (low + high)
        over = count_flops(n_params, np.exp(middle)) > flops
        low, high = np.where(over, low, middle), np.where(over, middle, high)
    return np.exp(0.5 * (low + high))


def _field(fit: Fit, values: NDArray[Any]) -> dict[str, Any]:
    """A field from its value and its draws, (1 + k,), the interval on the logarithm."""
    reach = 1.96 * float(spread(np.log(values[1:]))) * fit.noise.stretch
    known = bool(np.isfinite(reach))
    value = float(values[0])
    bounds = [value * float(np.exp(-reach)), value * float(np.exp(min(reach, 500.0)))] if known else None
    return {"value": value, "interval": bounds, "source": fit.law.name, "valid_for": _valid_for(fit)}


def _valid_for(fit: Fit) -> dict[str, Any]:
    return {"schedule": fit.law.schedule, "params_convention": fit.convention["params"], "range": fit.range}


def _nothing(reason: str) -> dict[str, Any]:
    return {"value": None, "interval": None, "source": reason, "valid_for": None}
