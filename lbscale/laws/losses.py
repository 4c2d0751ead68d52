"""Robust losses of residuals, with the derivatives that a damped Newton search needs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from lbscale.errors import check, check_choice

LOSSES = ("squares", "huber", "lad")
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
    inside = size <= delta
    clipped = np.minimum(size, delta)
    slope = np.copysign(clipped, residual)
    return LossValue(clipped * (size - 0.5 * clipped), slope, inside.astype(float), clipped / np.maximum(size, delta))


def squares(residual: NDArray[Any]) -> LossValue:
    """r^2 / 2."""
    ones = np.ones_like(residual)
    return LossValue(0.5 * residual**2, residual, ones, ones)


def make_loss(name: str, delta: float) -> Callable[[NDArray[Any]], LossValue]:
    """The loss function called `name`; raises InputError for an unknown name or a delta that is not positive.

    "lad" is the sum of |r|: Huber's loss at a vanishing delta, divided by it.
    """
    check_choice("loss", name, LOSSES)
    check(bool(np.isfinite(delta)) and delta > 0, "delta", delta, "a positive number")
    if name == "squares":
        return squares
    if name == "huber":
        return lambda residual: huber(residual, delta)
    return lambda residual: LossValue(*(part / delta for part in huber(residual, delta)))
