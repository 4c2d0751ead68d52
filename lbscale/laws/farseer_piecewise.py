"""The differential piecewise procedure by which Farseer's authors estimate its three functions.

Li et al. 2025 (https://arxiv.org/abs/2506.10972).
"""

from __future__ import annotations

import numpy as np

from lbscale.laws.farseer_curves import Curve, box_cox
from lbscale.laws.form import Array

SAME_SIZE = 0.02  # of ln N: sizes this close are one
POWERS = np.linspace(-1.0, 1.0, 201)


def piecewise(log_n: Array, log_d: Array, loss: Array) -> tuple[Curve, Curve, Curve] | None:
    """G(N), B(N) and A(N) by the authors' procedure, or None for want of budgets a size.

    Differences of loss between neighbouring budgets of one size are free of G: they give an exponent a size and from
    those A(N); with it a coefficient a size and B(N); what is left of the losses gives G(N). Needs three budgets in at
    least three sizes.
    """
    code = size_codes(log_n)
    groups = [np.flatnonzero(code == c) for c in np.unique(code)]
    groups = [rows[np.argsort(log_d[rows])] for rows in groups if np.unique(np.round(log_d[rows], 3)).size >= 3]
    if len(groups) < 3:
        return None
    sizes = np.array([log_n[rows].mean() for rows in groups])
    centre = float(np.concatenate([log_d[rows] for rows in groups]).mean())
    raised = np.array([_exponent_of_differences(log_d[rows], loss[rows]) for rows in groups])
    exponent = _fit_curve(sizes, np.log(raised))
    at_size = np.exp(exponent(sizes))
    pairs = list(zip(at_size, groups, strict=True))
    slopes = [np.polyfit(np.exp(-a * (log_d[rows] - centre)), loss[rows], 1)[0] for a, rows in pairs]
    data = _fit_curve(sizes, np.log(np.maximum(slopes, 1e-4)) + centre * at_size)
    rest = [loss[rows] - np.exp(level - a * log_d[rows]) for level, (a, rows) in zip(data(sizes), pairs, strict=True)]
    model = _fit_curve(sizes, np.log([max(float(values.mean()), 1e-3) for values in rest]))
    return model, data, exponent


def size_codes(log_n: Array) -> Array:
    """A number for each size, (n,): sizes within 2 % of the smallest of theirs share it."""
    distinct, which = np.unique(log_n, return_inverse=True)
    codes, first = np.zeros(distinct.size, int), distinct[0]
    for k, size in enumerate(distinct[1:], start=1):
        codes[k] = codes[k - 1] + (size - first > SAME_SIZE)
        first = size if codes[k] > codes[k - 1] else first
    return codes[which]


def _fit_curve(log_n: Array, values: Array) -> Curve:
    """The curve of least squares through values at sizes, its power from a grid."""
    centre = float(log_n.mean())
    bends = np.stack([box_cox(log_n - centre, power) for power in POWERS])
    offset = bends - bends.mean(axis=1, keepdims=True)
    slope = offset @ values / np.square(offset).sum(axis=1)
    level = values.mean() - slope * bends.mean(axis=1)
    k = np.argmin(np.square(level[:, None] + slope[:, None] * bends - values).sum(axis=1))
    return Curve(float(level[k]), float(slope[k]), float(POWERS[k]), centre)


def _exponent_of_differences(log_d: Array, loss: Array) -> float:
    """The exponent of the power law whose differences between neighbouring budgets are the losses' own."""
    exponents = np.geomspace(0.02, 2.0, 800)
    powers = np.exp(-exponents[:, None] * (log_d - log_d[0]))
    steps, fall = np.diff(powers, axis=1), np.diff(loss)
    coefficient = steps @ fall / np.square(steps).sum(axis=1)
    misfit = np.square(coefficient[:, None] * steps - fall).sum(axis=1)
    return float(exponents[np.argmin(np.where(coefficient > 0, misfit, np.inf))])
