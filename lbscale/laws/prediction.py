"""What a law says of one point, with the intervals of its mean and of one more run."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lbscale.laws.uncertainty import Z975


@dataclass(frozen=True)
class Prediction:
    """What a law predicts at one point, in its target's units; intervals are 95 %, [low, high].

    `interval_mean` is of the law's mean there, `interval_new_run` of one more run. `extrapolation` gives, per
    column and for tokens_per_param, the factor by which the point lies outside the fitted data (1 inside).
    `targets` has, for a law of several, the value and the two intervals of each; the first's stand outside as well.
    `point` has the settings the prediction holds for, tuned ones filled in.
    """

    value: float
    interval_mean: list[float | None]
    interval_new_run: list[float | None]
    extrapolation: dict[str, float]
    warnings: list[str]
    point: dict[str, float]
    targets: dict[str, dict[str, Any]] = field(default_factory=dict)

    def document(self) -> dict[str, Any]:
        """The prediction as plain JSON values."""
        return asdict(self)


def log_if(values: NDArray[Any], log: bool) -> NDArray[Any]:
    """ln values where `log`, else the values."""
    return np.log(values) if log else values


def around(value: float, sd: float, log: bool = True) -> list[float | None]:
    """95 % interval from a standard deviation of the value's logarithm, or of itself; null where unknown."""
    if not math.isfinite(sd):
        return [None, None]
    reach = Z975 * sd
    return (
        [value * math.exp(-min(reach, 500.0)), value * math.exp(min(reach, 500.0))]
        if log
        else [value - reach, value + reach]
    )
