"""How predictions did that were registered before their runs: calibration, and skill over simple rules.

Both are given for all of them, by law, and by the largest factor by which a prediction lies outside the data that it
rests on. A new run should lie inside its 95 % interval 95 times of 100; inside the interval of the law's mean it lies
less often, since runs scatter about the mean. Predictions of one registration share a fit and its errors: the binomial
intervals take all predictions as independent, the intervals of skill take those of one registration together.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from lbscale.laws.holdout import FACTORS, ROUNDING
from lbscale.laws.paired import difference

BASELINES = ("carry_forward", "log_log_line")
Scored = Mapping[str, Any]


def ledger(scored: Sequence[Scored]) -> dict[str, Any]:
    """Calibration and skill of scored predictions, as plain values.

    Each of `scored` has what `scoring.score` gives, and "law", "registration" (its name), "extrapolation"
    {column: factor} and "baseline_errors" {name: relative error or None}. The result has "calibration" and "skill" of
    all, "by_extrapolation" (brackets "above" and "up_to" of the largest factor, with both), "by_law", and "warnings".
    """
    return {
        **_summary(scored),
        "by_extrapolation": [
            {"above": max(low, 1.0), "up_to": None if math.isinf(high) else high, **_summary(here)}
            for low, high in zip((0.0, *FACTORS[:-1]), FACTORS, strict=True)
            if (here := [row for row in scored if low * ROUNDING < factor_of(row) <= high * ROUNDING])
        ],
        "by_law": {
            name: _summary([row for row in scored if row["law"] == name])
            for name in sorted({row["law"] for row in scored})
        },
        "warnings": _warnings(scored),
    }


def factor_of(row: Scored) -> float:
    """The largest factor by which a prediction lies outside its data, 1 inside."""
    return max((math.inf if value is None else value for value in row["extrapolation"].values()), default=1.0)


def binomial_interval(n_inside: int, n: int) -> list[float]:
    """95 % interval of a share that holds for every share (Clopper and Pearson 1934,
    https://doi.org/10.1093/biomet/26.4.404); [0, 1] of none."""
    from scipy.special import betaincinv

    low = float(betaincinv(n_inside, n - n_inside + 1, 0.025)) if n_inside else 0.0
    high = float(betaincinv(n_inside + 1, n - n_inside, 0.975)) if n_inside < n else 1.0
    return [low, high]


def _summary(rows: Sequence[Scored]) -> dict[str, Any]:
    return {
        "n": len(rows),
        "calibration": {
            **{which: _share(rows, f"inside_{which}") for which in ("interval_mean", "interval_new_run")},
            "pit": _pit_summary([row["pit"] for row in rows if row["pit"] is not None]),
        },
        "skill": {
            "mean_relative_error": _mean_size([row["relative_error"] for row in rows]),
            **{name: _skill(rows, name) for name in BASELINES},
        },
    }


def _share(rows: Sequence[Scored], name: str) -> dict[str, Any]:
    known = [row[name] for row in rows if row[name] is not None]
    if not known:
        return {"n": 0, "n_inside": 0, "share": None, "interval": None}
    inside = sum(known)
    return {
        "n": len(known),
        "n_inside": inside,
        "share": inside / len(known),
        "interval": binomial_interval(inside, len(known)),
    }


def _pit_summary(values: Sequence[float]) -> dict[str, Any] | None:
    """The probability integral transform, which is uniform where predictions are right (Dawid 1984,
    https://doi.org/10.2307/2981683): its mean, counts in tenths, and the Kolmogorov-Smirnov distance with its p."""
    if not values:
        return None
    from scipy.special import kolmogorov

    n = len(values)
    steps = np.arange(n + 1) / n
    ordered = np.sort(np.asarray(values, float))
    distance = float(max((steps[1:] - ordered).max(), (ordered - steps[:-1]).max()))
    # The limit law, corrected for small samples (Stephens 1970, https://doi.org/10.1111/j.2517-6161.1970.tb00821.x).
    p = float(kolmogorov((np.sqrt(n) + 0.12 + 0.11 / np.sqrt(n)) * distance))
    tenths = np.histogram(values, bins=10, range=(0.0, 1.0))[0].tolist()
    return {"n": n, "mean": float(np.mean(values)), "tenths": tenths, "distance": distance, "p": p}


def _skill(rows: Sequence[Scored], baseline: str) -> dict[str, Any] | None:
    """1 - mean size of the law's error / that of the baseline, on the rows that have both; null where there are none.

    "difference" is of the two means, law less baseline, with its paired interval (`paired.difference`).
    """
    both = [row for row in rows if row["baseline_errors"].get(baseline) is not None]
    both = [row for row in both if row["relative_error"] is not None]
    if not both:
        return None
    ours = np.abs([row["relative_error"] for row in both])
    theirs = np.abs([row["baseline_errors"][baseline] for row in both])
    return {
        "n": len(both),
        "mean_relative_error": float(theirs.mean()),
        "skill": 1.0 - float(ours.mean() / theirs.mean()) if theirs.mean() > 0 else None,
        "difference": difference(ours, theirs, [row["registration"] for row in both]),
    }


def _mean_size(values: Sequence[float | None]) -> float | None:
    known = [abs(value) for value in values if value is not None]
    return float(np.mean(known)) if known else None


def _warnings(rows: Sequence[Scored]) -> list[str]:
    names = {row["registration"] for row in rows}
    found = []
    if len(names) < len(rows):
        found.append(
            f"{len(rows)} predictions rest on {len(names)} registrations: those of one share a fit and its errors, and "
            "the binomial intervals, which take all as independent, are too narrow"
        )
    return found
