"""Questions asked of fitted laws: what to train, what it will lose, and what simple rules would have said."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from lbscale.errors import InputError, check
from lbscale.laws.budget import Flops, optimal_allocation, six_n_d
from lbscale.laws.form import positive
from lbscale.laws.prediction import Prediction
from lbscale.laws.reading import read_table
from lbscale.laws.registry import get
from lbscale.laws.result import Fit
from lbscale.laws.table import prepare

SIZES = {"n_params", "n_tokens"}
FIELDS = ("n_params", "n_tokens", "learning_rate", "batch_size_tokens", "loss", "critical_batch_size_tokens")
# A learning rate may follow the batch, so it comes after it.
SETTINGS = ("batch_size_tokens", "learning_rate", "critical_batch_size_tokens")


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
    has "interval" of the mean and "interval_new_run". The first fit that can answer a field does: by its optimum where
    it tunes the field, else by predicting it from sizes and from fields that are answered. Raises InputError unless
    either both sizes or the budget are given, and for fits that count params differently.
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
    _check_conventions(fits)
    warnings = _of_more_than_sizes(fits)
    surfaces = [fit for fit in fits if "loss" in fit.law.targets and _needs(fit) == SIZES]
    if flops is not None and surfaces:
        split = compute_optimal(surfaces[0], flops, count_flops)
        answer.update({name: split[name] for name in ("n_params", "n_tokens")})
        warnings += split["warnings"] if split["n_params"]["value"] is None else []  # the loss's say the same
        n_params, n_tokens = split["n_params"]["value"], split["n_tokens"]["value"]
    elif sized:
        for name, value in (("n_params", n_params), ("n_tokens", n_tokens)):
            answer[name] = {"value": value, "interval": None, "source": "given", "valid_for": None}
    if n_params is not None and n_tokens is not None:
        warnings += _settings_and_loss(answer, fits, surfaces, {"n_params": n_params, "n_tokens": n_tokens})
    return {**answer, "warnings": list(dict.fromkeys(warnings))}


def compute_optimal(fit: Fit, flops: float, count_flops: Flops = six_n_d) -> dict[str, Any]:
    """The n_params and n_tokens of least loss at a budget of FLOPs, tuned settings at their optimum, as fields.

    Both are null, with the reason as source, where `budget.optimal_allocation` finds no optimum.
    """
    try:
        found = optimal_allocation(fit, flops, count_flops)
    except InputError as error:
        reason = _nothing(error.allowed)
        return {"n_params": reason, "n_tokens": reason, "warnings": ["no compute-optimal size was found"]}
    said = {"source": fit.law.name, "valid_for": _valid_for(fit)}
    return {
        "n_params": {**found["n_params"], **said},
        "n_tokens": {**found["n_tokens"], **said},
        "warnings": found["warnings"],
    }


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
    """Fill in tuned settings, the loss and what laws predict of them at `point`; returns warnings."""
    warnings: list[str] = []
    for fit in fits:
        needs = _needs(fit)
        if not fit.law.tuned or not needs <= point.keys():
            continue
        for name, best in fit.optimum(**{name: point[name] for name in needs}).items():
            if name in answer and answer[name]["value"] is None:
                answer[name] = {**best, "source": fit.law.name, "valid_for": _valid_for(fit)}
                if best["bound"]:
                    warnings.append(f"{name}: its optimum lies outside the tried grid, {best['bound']} this")
    for fit in surfaces[:1]:
        prediction = fit.predict(**point)
        answer["loss"] = _predicted(fit, prediction)
        warnings += prediction.warnings
    return warnings + _predicted_settings(answer, fits)


def _predicted_settings(answer: dict[str, Any], fits: list[Fit]) -> list[str]:
    """Fill in settings that a law of sizes predicts from fields that are answered; returns warnings."""
    warnings: list[str] = []
    for field in SETTINGS:
        for fit in fits:
            known = {name: answer[name]["value"] for name in FIELDS if answer[name]["value"] is not None}
            known |= {"target_loss": known["loss"]} if "loss" in known else {}
            columns = set(fit.law.columns)
            follows = columns <= known.keys() and not columns.isdisjoint(SIZES | {"target_loss"})
            if field in known or fit.law.targets != (field,) or not follows:
                continue
            prediction = fit.predict(**{name: known[name] for name in columns})
            answer[field] = _predicted(fit, prediction)
            warnings += prediction.warnings
    return warnings


def _predicted(fit: Fit, prediction: Prediction) -> dict[str, Any]:
    return {
        "value": prediction.value,
        "interval": prediction.interval_mean,
        "interval_new_run": prediction.interval_new_run,
        "source": fit.law.name,
        "valid_for": _valid_for(fit),
        "extrapolation": prediction.extrapolation,
    }


def _needs(fit: Fit) -> set[str]:
    """The columns that a law cannot do without: those that it reads and does not tune."""
    return set(fit.law.columns) - set(fit.law.tuned)


def _of_more_than_sizes(fits: list[Fit]) -> list[str]:
    """What laws of loss are left out because they are about more than sizes, as the epochs of `repetition`."""
    more = {fit.law.name: sorted(_needs(fit) - SIZES) for fit in fits if "loss" in fit.law.targets}
    return [f"{name} needs {', '.join(names)} too: ask `predict`" for name, names in more.items() if names]


def _check_conventions(fits: list[Fit]) -> None:
    sized = [fit for fit in fits if "n_params" in fit.law.columns]
    counted = [f"{fit.law.name}: {fit.convention['params']}" for fit in sized]
    alike = len({fit.convention["params"] for fit in sized}) < 2
    allowed = "fits that count params alike are needed, each being given one number: fit again with --params-convention"
    check(alike, "params_convention", counted, allowed)


def _valid_for(fit: Fit) -> dict[str, Any]:
    return {"schedule": fit.law.schedule, "params_convention": fit.convention["params"], "range": fit.range}


def _nothing(reason: str) -> dict[str, Any]:
    return {"value": None, "interval": None, "source": reason, "valid_for": None}
