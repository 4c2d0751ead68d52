"""A downstream measure predicted in two steps: the loss of a size, then the measure at that loss."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from lbscale.errors import check
from lbscale.laws.result import Fit
from lbscale.laws.uncertainty import Z975


@dataclass(frozen=True)
class TwoStep:
    """A downstream measure predicted from a size: the loss that one law predicts, and the measure at that loss.

    `interval` is 95 %, of the mean, [low, high]; the two steps' errors are taken to be independent.
    """

    value: float
    interval: list[float | None]
    loss: float
    warnings: list[str]


def two_step(loss_fit: Fit, downstream_fit: Fit, **point: float) -> TwoStep:
    """The downstream measure at `point` (the columns of the law of loss), with the uncertainty of both steps.

    Raises InputError unless the first fit predicts loss and the second takes loss alone, and for a bad `point`.
    """
    law = downstream_fit.law
    check(law.columns == ("loss",), "downstream_fit", law.name, "a law of loss alone, as downstream_error")
    check("loss" not in loss_fit.law.columns, "loss_fit", loss_fit.law.name, "a law that predicts loss")
    predicted = loss_fit.predict(**point)
    loss = predicted.value
    low, high = predicted.interval_mean
    at = {"loss": np.array([loss])}
    value = float(law.predict(downstream_fit.theta, at)[0])
    sd = downstream_fit.uncertainty(lambda theta: law.predict(theta, at)[..., 0])
    ends = law.predict(downstream_fit.theta, {"loss": np.array([low or np.nan, high or np.nan], float)})
    both = math.hypot(sd * Z975, 0.5 * float(abs(ends[1] - ends[0])))
    interval: list[float | None] = [value - both, value + both] if math.isfinite(both) else [None, None]
    seen = downstream_fit.range["loss"]
    outside = [] if seen[0] <= loss <= seen[1] else [f"loss {loss:.4g} lies outside the {seen} that {law.name} saw"]
    return TwoStep(value, interval, loss, [*predicted.warnings, *outside])
