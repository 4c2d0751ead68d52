"""What is written of a prediction before its run, and how the prediction did once the run is measured."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from lbscale.errors import check
from lbscale.laws.baselines import baselines
from lbscale.laws.form import point_columns
from lbscale.laws.prediction import log_if
from lbscale.laws.text import plain
from lbscale.laws.uncertainty import Z975, spread

if TYPE_CHECKING:
    from lbscale.laws.result import Fit

SIZES = ("n_params", "n_tokens")


def prediction_document(fit: Fit, **point: float) -> dict[str, Any]:
    """What `fit` says of one run at `point`, as plain values, with all that is needed to score it later.

    Beside the fields of a `Prediction`: "law", the "target" that is its value, "params" of the law, "convention",
    "data_digest" and "n_rows" of what the fit rests on, and "distribution" of one more run's first target (null where
    the fit has no intervals): Student's t of "degrees_of_freedom" about "location", in units of "scale", of the target
    or, for "of": "ln", its logarithm.
    """
    prediction = fit.predict(**point)
    document: dict[str, Any] = plain(
        {
            **prediction.document(),
            "law": fit.law.name,
            "target": fit.law.targets[0],
            "params": fit.params,
            "convention": fit.convention,
            "n_rows": fit.n_rows,
            "data_digest": data_digest(fit),
            "distribution": _distribution(fit, prediction.point),
        }
    )
    return document


def registrable(fit: Fit, key: str | None = None, **point: float) -> dict[str, Any]:
    """What is to be registered of a run at `point`, in the form of a study's registered follow-up: "key" of the run
    (null where only its settings are known), "point", "laws", "optimum" and "baselines".

    The baselines rest on the rows of the fit. Raises InputError for a law that does not predict a loss.
    """
    law = fit.law
    check(law.targets[0] == "loss", "law", law.name, "a law of loss is needed: runs are scored by their loss")
    said = prediction_document(fit, **point)
    check(said["value"] is not None, "set", point, "a point where the law's loss is finite")
    free = {name: value for name, value in said["point"].items() if name not in law.tuned}
    rows = pd.DataFrame(fit.rows)
    rows = rows[~rows["censored"].astype(bool)]
    is_sized = set(SIZES) <= set(law.columns)
    return {
        "key": key,
        "point": {**said["point"], **point},
        "laws": {law.name: said},
        "optimum": {law.name: plain(fit.optimum(**free))} if law.tuned else {},
        "baselines": plain(baselines(rows, *(said["point"][name] for name in SIZES))) if is_sized else {},
    }


def data_digest(fit: Fit) -> str:
    """SHA-256 of the columns and targets of the rows that the fit rests on, in their order."""
    rows = {name: fit.rows[name] for name in (*fit.law.columns, *fit.law.targets, "censored")}
    return hashlib.sha256(json.dumps(plain(rows), sort_keys=True).encode()).hexdigest()


def score(said: Mapping[str, Any], measured: float | None) -> dict[str, Any]:
    """How a registered prediction did: "inside_interval_mean", "inside_interval_new_run", "relative_error" (predicted
    / measured - 1) and "pit", the share of its distribution below what was measured; each null where unknown."""
    inside = {
        f"inside_{which}": None
        if measured is None or None in said[which]
        else said[which][0] <= measured <= said[which][1]
        for which in ("interval_mean", "interval_new_run")
    }
    return {
        **inside,
        "relative_error": relative_error(said["value"], measured),
        "pit": _pit(said.get("distribution"), measured),
    }


def relative_error(predicted: float | None, measured: float | None) -> float | None:
    """Predicted / measured - 1; None where either is unknown."""
    return None if predicted is None or measured is None else predicted / measured - 1.0


def combined_freedom(first: tuple[float, float], second: tuple[float, float]) -> float:
    """Degrees of freedom of the sum of two variances, each given with its own (Satterthwaite 1946,
    https://doi.org/10.2307/3002019)."""
    unsure = sum(variance**2 / freedom for variance, freedom in (first, second))
    return (first[0] + second[0]) ** 2 / unsure if unsure > 0 else math.inf


def _distribution(fit: Fit, point: Mapping[str, float]) -> dict[str, Any] | None:
    """The predictive distribution whose central 95 % is the interval of one new run."""
    from scipy.special import stdtrit

    law, log = fit.law, fit.residual == "log"
    columns = point_columns(law, point)
    quantity = lambda theta: log_if(law.predict(theta, columns)[..., 0], log)
    reach = Z975 * math.hypot(fit.uncertainty(quantity), fit.new_run_sd())
    if not (math.isfinite(reach) and reach > 0):
        return None
    if fit.interval_method == "bootstrap":
        law_part = (float((spread(quantity(fit.draws)) * fit.noise.inflation) ** 2), fit.noise.degrees_of_freedom)
    else:
        variance, known = fit.effects.variance(law.gradient(fit.theta, quantity)[:, None])
        law_part = (float(variance[0]), float(known[0]))
    freedom = combined_freedom(law_part, (fit.noise.new_run_sd**2, fit.effects.freedom_of_a_run))
    freedom = float(np.clip(freedom, 1.0, 1e9))
    return {
        "family": "student",
        "of": "ln" if log else "value",
        "location": float(quantity(fit.theta)),
        "scale": reach / float(stdtrit(freedom, 0.975)),
        "degrees_of_freedom": freedom,
    }


def _pit(distribution: Mapping[str, Any] | None, measured: float | None) -> float | None:
    from scipy.special import stdtr

    if distribution is None or measured is None:
        return None
    value = math.log(measured) if distribution["of"] == "ln" else measured
    return float(stdtr(distribution["degrees_of_freedom"], (value - distribution["location"]) / distribution["scale"]))
