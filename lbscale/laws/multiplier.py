"""How much more compute one of two fitted laws needs than the other for the same loss, and where they cross.

The multiplier at C FLOPs compares at the loss that the better of the two has there: it is what the second needs over
what the first needs, so above 1 where the first is better, and its inverse when the two change places. Intervals hold
the multipliers that the data does not refuse: those at which the difference of ln loss, whose interval is the delta
method's, may be zero (Fieller 1954, https://doi.org/10.1111/j.2517-6161.1954.tb00159.x). They may be open: a law that
levels off may not reach a loss at any compute.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from lbscale.laws.two_laws import TwoLaws

LARGEST = 1e4  # beyond this factor, either way, a multiplier is called unbounded
MOST_STEPS = 80
CLOSE = 1e-11
GRID = 241
ROUNDING = 1e-11  # of a difference of ln loss
Curve = Callable[[NDArray[Any]], NDArray[Any]]


class Multipliers(NamedTuple):
    """Per place (m,): the multiplier and the ends of its 95 % interval, and whether the interval leaves out 1.

    Infinite or zero where it lies beyond `LARGEST`; NaN ends where the data gives no interval.
    """

    value: NDArray[Any]
    low: NDArray[Any]
    high: NDArray[Any]
    distinguishable: NDArray[Any]

    def inverse(self) -> Multipliers:
        """What the first needs over the second."""
        with np.errstate(divide="ignore"):
            return Multipliers(1.0 / self.value, 1.0 / self.high, 1.0 / self.low, self.distinguishable)

    def at(self, j: int) -> Multipliers:
        """Those of one place alone."""
        return Multipliers(*(part[[j]] for part in self))


def multipliers(two: TwoLaws, log_flops: NDArray[Any], paired: bool = True) -> Multipliers:
    """The multipliers at ln FLOPs (m,)."""
    log_flops = np.atleast_1d(np.asarray(log_flops, float))
    most = np.full(log_flops.shape, np.log(LARGEST))
    none = np.zeros(log_flops.shape)

    def spent(s: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any]]:
        """ln FLOPs of both for a multiplier e^s: the better spends those of the place."""
        return log_flops + np.maximum(-s, 0.0), log_flops + np.maximum(s, 0.0)

    def gap(s: NDArray[Any]) -> NDArray[Any]:
        one, other = spent(s)
        return two.log_loss(1, other) - two.log_loss(0, one)

    def edge(sign: float) -> Curve:
        def curve(s: NDArray[Any]) -> NDArray[Any]:
            value, reach = two.difference(*spent(s), paired)
            return value + sign * (reach + ROUNDING)

        return curve

    middle = _falls_through_zero(gap, -most, most)
    lower, upper = edge(-1.0), edge(1.0)
    at_one = np.stack([lower(none), upper(none)])
    inside = np.clip(middle, -most, most)
    low = _falls_through_zero(lower, np.where(at_one[0] > 0, none, -most), inside)
    high = _falls_through_zero(upper, inside, np.where(at_one[1] < 0, none, most))
    unknown = ~np.isfinite(at_one).all(axis=0)
    ends = np.where(unknown, np.nan, np.exp([low, high]))
    return Multipliers(np.exp(middle), ends[0], ends[1], (at_one[0] > 0) | (at_one[1] < 0))


class Crossing(NamedTuple):
    """ln FLOPs at which the two laws cross, and the scales about it at which they are not distinguishable.

    The ends are infinite where these reach the end of what was searched. `n_crossings` counts all that were found.
    """

    log_flops: float
    low: float
    high: float
    n_crossings: int


def crossing(two: TwoLaws, low: float, high: float, near: float) -> Crossing | None:
    """The crossing nearest to ln FLOPs `near` between `low` and `high`; None where the laws do not cross there."""
    grid = np.linspace(low, high, GRID)
    gap, reach = two.difference(grid, grid)
    with np.errstate(invalid="ignore"):
        changes = np.flatnonzero((gap[:-1] > 0) != (gap[1:] > 0))
    if not changes.size or np.abs(gap).max() < ROUNDING:
        return None
    k = int(changes[np.argmin(np.abs(grid[changes] - near))])
    sign = 1.0 if gap[k] > 0 else -1.0
    place = _falls_through_zero(
        lambda x: sign * (two.log_loss(1, x) - two.log_loss(0, x)), grid[k : k + 1], grid[[k + 1]]
    )
    clear = np.abs(gap) > reach + ROUNDING

    def excess(x: NDArray[Any]) -> NDArray[Any]:
        value, half = two.difference(x, x)
        return np.abs(value) - half - ROUNDING

    before, after = np.flatnonzero(clear[: k + 1]), k + 1 + np.flatnonzero(clear[k + 1 :])
    start, end = -np.inf, np.inf
    if before.size:
        j = int(before[-1])
        right = grid[j + 1] if j < k else place[0]
        start = float(_falls_through_zero(excess, grid[j : j + 1], np.array([right]))[0])
    if after.size:
        j = int(after[0])
        left = grid[j - 1] if j > k + 1 else place[0]
        end = float(_falls_through_zero(lambda x: -excess(x), np.array([left]), grid[j : j + 1])[0])
    return Crossing(float(place[0]), start, end, int(changes.size))


def _falls_through_zero(curve: Curve, left: NDArray[Any], right: NDArray[Any]) -> NDArray[Any]:
    """Where curves that start above zero at `left` (m,) fall through it before `right` (m,).

    Regula falsi with the retained end's value halved (the Illinois method, Dowell and Jarratt 1971,
    https://doi.org/10.1007/BF01934364), and a bisection in every third step. Minus infinity where a curve starts below
    zero, infinity where it ends above it.
    """
    low, high = left.astype(float), right.astype(float)
    at_low, at_high = curve(low), curve(high)
    none = np.where(at_low < 0, -np.inf, np.where(at_high > 0, np.inf, 0.0))
    centre = 0.5 * (low + high)
    for step in range(MOST_STEPS):
        with np.errstate(divide="ignore", invalid="ignore"):
            secant = (low * at_high - high * at_low) / (at_high - at_low)
        inside = (secant > low) & (secant < high) & (step % 3 < 2)
        centre = np.where(inside, secant, 0.5 * (low + high))
        value = curve(centre)
        above = value > 0
        low, high = np.where(above, centre, low), np.where(above, high, centre)
        at_low, at_high = np.where(above, value, 0.5 * at_low), np.where(above, 0.5 * at_high, value)
        if ((np.abs(value) < CLOSE) | (high - low < CLOSE) | (none != 0.0)).all():
            break
    return np.where(none != 0.0, none, centre)
