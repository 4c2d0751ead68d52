"""What a fit predicts of many points at once, with the intervals that `Fit.predict` gives for one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from lbscale.laws.prediction import log_if
from lbscale.laws.uncertainty import Z975

if TYPE_CHECKING:
    from lbscale.laws.result import Fit

AT_ONCE = 2048  # rows whose draws are held in memory together


def predict_many(fit: Fit, columns: Mapping[str, NDArray[Any]], *, new_run: bool = False) -> NDArray[Any]:
    """The prediction and its 95 % bounds, (3, k, n), of the law's k targets for columns (n,).

    The bounds are of the law's mean, or of one new run; NaN where the fit has no intervals.
    """
    n_targets, n = len(fit.law.targets), len(next(iter(columns.values())))
    parts = [
        _bounds(fit, {name: values[i : i + AT_ONCE] for name, values in columns.items()}, new_run)
        for i in range(0, n, AT_ONCE)
    ]
    return np.concatenate([part.reshape(3, n_targets, -1) for part in parts], axis=2)


def _bounds(fit: Fit, columns: Mapping[str, NDArray[Any]], new_run: bool) -> NDArray[Any]:
    law, log = fit.law, fit.residual == "log"
    said = lambda theta: log_if(law.predict(theta, columns), log)
    with np.errstate(all="ignore"):  # a wild refit may have no prediction far outside
        value = said(fit.theta)
        sd = fit.uncertainties(said)
        if new_run:
            scatter = [fit.new_run_sd(j) for j in range(len(law.targets))]
            sd = np.hypot(sd, np.repeat(scatter, sd.size // len(scatter)))
        ends = np.stack([value, value - Z975 * sd, value + Z975 * sd])
        return np.exp(ends) if log else ends
