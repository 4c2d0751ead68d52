"""Robust losses of residuals, with the derivatives that a damped Newton search needs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from lbscale.errors import check, check_choice

LOSSES = ("squares", "huber", "lad", "asymmetric")
# Least absolute deviation is taken as the limit of Huber's loss: below the rounding of any published loss.
LAD_DELTA = 1e-7


class LossValue(NamedTuple):
    """A loss of residuals and its derivatives, each of the residuals' shape.

    `slope / residual` is the weight of iteratively reweighted least squares, which majorises the loss.
    """

    value: NDArray[Any]
    slope: NDArray[Any]
    curvature: NDArray[Any]
    majorant: NDArray[Any]


def huber(residual: NDArray[Any], delta: float) -> LossValue:
    """r^2 / 2 within delta, delta (|r| - delta / 2) outside (Huber 1964, https://doi.org/10.1214/aoms/1177703732)."""
    size = np.abs(residual)
    slope = np.clip(residual, -delta, delta)
    inside = (size <= delta).astype(float)
    return LossValue(slope * (residual - 0.5 * slope), slope, inside, delta / np.maximum(size, delta))


def squares(residual: NDArray[Any]) -> LossValue:
    """r^2 / 2."""
    ones = np.ones_like(residual)
    return LossValue(0.5 * residual**2, residual.copy(), ones, ones.copy())


def asymmetric(residual: NDArray[Any], delta: float, asymmetry: float) -> LossValue:
    """Huber's loss, `asymmetry` times as heavy where the law lies above the run (residual > 0) as where below.

    The two weights have mean 1. More weight above draws the law towards the lower envelope of the runs, as an
    expectile does (Newey and Powell 1987, https://doi.org/10.2307/1911031).
    """
    weight = np.where(residual > 0, asymmetry, 1.0) * (2.0 / (1.0 + asymmetry))
    return LossValue(*(weight * part for part in huber(residual, delta)))


def make_loss(name: str, delta: float, asymmetry: float = 1.0) -> Callable[[NDArray[Any]], LossValue]:
    """The loss function called `name`; raises InputError for an unknown name, or a delta or asymmetry that is not
    positive.

    "lad" is the sum of |r|: Huber's loss at a vanishing delta, divided by it.
    """
    check_choice("loss", name, LOSSES)
    check(bool(np.isfinite(delta)) and delta > 0, "delta", delta, "a positive number")
    check(bool(np.isfinite(asymmetry)) and asymmetry > 0, "asymmetry", asymmetry, "a positive number")
    if name == "squares":
        return squares
    if name == "huber":
        return lambda residual: huber(residual, delta)
    if name == "asymmetric":
        return lambda residual: asymmetric(residual, delta, asymmetry)
    return lambda residual: LossValue(*(part / delta for part in huber(residual, delta)))
