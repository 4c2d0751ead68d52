"""The surface L(N, D) = G(N) + B(N) D^-A(N), whose three functions of params are stretched exponentials.

Li et al. 2025, Farseer (https://arxiv.org/abs/2506.10972):

    L = exp(a3 N^gamma + b3) + exp(a2 N^beta + b2) D^(-exp(a1 N^alpha + b1)),   D in tokens, N without embeddings.

As an exponent of N nears zero its a and b run off to infinity together. Fitted instead is, for each function,

    ln f(N) = ln f(N0) + slope (x^power - 1) / power,   x = N / N0,

a power law where the power is 0 (Box and Cox 1964, https://www.jstor.org/stable/2984418), and the data term is
stated at D0 rather than at one token. N0 and D0 are the centre of the fitted data: the same surfaces, in coordinates
that hardly pull on each other. `published` gives a1 to b3.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd

from lbscale.errors import InputError, check
from lbscale.laws.chinchilla import surface_starts
from lbscale.laws.farseer_curves import box_cox, theta_at
from lbscale.laws.farseer_piecewise import piecewise, size_codes
from lbscale.laws.form import Array, Columns, Law, Parameter
from lbscale.laws.reading import read_table, select
from lbscale.laws.starts import best, thin
from lbscale.laws.table import prepare

MIN_SIZES = 6
LARGEST_LOG = 100.0
# Powers nearer to zero, where a term is a power law of N, are the ones that extrapolate. Over a short span of N the
# data cannot tell them apart, and unrestrained they have left held-out sizes by factors of thousands.
MILD = (0.0, 0.3)
PARAMETERS = (
    Parameter("model_term", "nats per token", 1e-4, 1e4, "loss with endless tokens at N0", "log"),
    Parameter("model_slope", "1", -10.0, 10.0, "slope of ln of it by ln N at N0"),
    Parameter("gamma", "1", -3.0, 3.0, "power of N in ln of it", expected=MILD),
    Parameter("data_term", "nats per token", 1e-6, 1e4, "loss that D0 tokens leave to gain at N0", "log"),
    Parameter("data_slope", "1", -10.0, 10.0, "slope of ln of it by ln N at N0"),
    Parameter("beta", "1", -3.0, 3.0, "power of N in ln of the tokens' coefficient", expected=MILD),
    Parameter("exponent", "1", 1e-3, 10.0, "exponent of tokens at N0", "log"),
    Parameter("exponent_slope", "1", -10.0, 10.0, "slope of ln of it by ln N at N0"),
    Parameter("alpha", "1", -3.0, 3.0, "power of N in ln of it", expected=MILD),
)


def farseer(theta: Array, logs: Columns, log_d0: float) -> Array:
    """Loss (..., n) for theta (..., 9) and logs of n_params and n_tokens relative to N0 and D0; log_d0 is ln D0."""
    t = [theta[..., j, None] for j in range(9)]
    bends = [box_cox(logs["n_params"], t[j]) for j in (2, 5, 8)]
    log_model, log_data, _ = _log_terms(t, bends, logs["n_tokens"], log_d0)
    return _exp(log_model) + _exp(log_data)


def farseer_jacobian(theta: Array, logs: Columns, log_d0: float) -> tuple[Array, Array]:
    """Loss (..., n) and its derivative by theta (..., 9, n)."""
    t = [theta[..., j, None] for j in range(9)]
    model, model_slope, _, data, data_slope, _, exponent, exponent_slope, _ = t
    with np.errstate(over="ignore", invalid="ignore"):
        pairs = [_box_cox_and_slope(logs["n_params"], t[j]) for j in (2, 5, 8)]
        (by_gamma, gamma_slope), (by_beta, beta_slope), (by_alpha, alpha_slope) = pairs
        terms = _log_terms(t, [by_gamma, by_beta, by_alpha], logs["n_tokens"], log_d0)
        of_model, of_data, pull = _exp(terms[0]), _exp(terms[1]), terms[2]
        columns = [
            of_model / model,
            of_model * by_gamma,
            of_model * model_slope * gamma_slope,
            of_data / data,
            of_data * by_beta,
            of_data * (data_slope + log_d0 * exponent_slope * exponent) * beta_slope,
            of_data * (log_d0 + log_d0 * exponent_slope * by_beta - pull / exponent),
            of_data * (log_d0 * exponent * by_beta - pull * by_alpha),
            -of_data * pull * exponent_slope * alpha_slope,
        ]
        return of_model + of_data, np.stack(np.broadcast_arrays(*columns), axis=-2)


def _log_terms(t: list[Array], bends: list[Array], log_d: Array, log_d0: float) -> tuple[Array, Array, Array]:
    """ln of the model's and of the data's term, and ln D times the exponent of tokens, each (..., n)."""
    model, model_slope, _, data, data_slope, _, exponent, exponent_slope, _ = t
    with np.errstate(over="ignore", invalid="ignore"):
        pull = (log_d0 + log_d) * exponent * _exp(exponent_slope * bends[2])
        slope = data_slope + log_d0 * exponent_slope * exponent
        log_data = np.log(data) + log_d0 * exponent + slope * bends[1] - pull
        return np.log(model) + model_slope * bends[0], log_data, pull


def _exp(x: Array) -> Array:
    """exp, held finite and above zero where a search has strayed."""
    return np.exp(np.where(x.real > LARGEST_LOG, LARGEST_LOG, np.where(x.real < -LARGEST_LOG, -LARGEST_LOG, x)))


def _box_cox_and_slope(x: Array, power: Array) -> tuple[Array, Array]:
    """`box_cox` and its derivative by the power."""
    z = power * x
    small = np.abs(z.real) < 1e-3  # where the differences below lose digits
    safe = np.where(small, 1.0, z)
    grown = np.expm1(safe)
    first = np.where(small, 1.0 + z * (1 / 2 + z * (1 / 6 + z * (1 / 24 + z / 120))), grown / safe)
    second = np.where(small, 1 / 2 + z * (1 / 3 + z * (1 / 8 + z / 30)), (1.0 + grown - first) / safe)
    return x * first, x * x * second


def farseer_starts(logs: Columns, loss: Array, log_d0: float) -> Array:
    """The best starts (s, 9) of additive surfaces bent three ways, and of the piecewise estimate.

    Raises InputError under six sizes: three functions of size have three parameters each.
    """
    n_sizes = np.unique(size_codes(logs["n_params"])).size
    check(n_sizes >= MIN_SIZES, "table", f"{n_sizes} model sizes", f"farseer needs at least {MIN_SIZES}")
    few, target = thin(logs, loss)
    found = [_bent(surface, bend) for surface in surface_starts(few, target) for bend in (0.0, -0.1, 0.1)]
    curves = piecewise(logs["n_params"], log_d0 + logs["n_tokens"], loss)
    if curves is not None:
        found.append(theta_at(*curves, 0.0, log_d0))
    starts = np.clip(found, *np.array([(p.lower, p.upper) for p in PARAMETERS]).T)
    with np.errstate(over="ignore", invalid="ignore"):
        return best(starts, np.abs(np.log(farseer(starts, few, log_d0) / target)).sum(axis=1))


def _bent(surface: Array, bend: float) -> Array:
    """theta (9,) near an additive surface; bend is the slope of ln of its tokens' exponent by ln N."""
    E, A, B, alpha, beta = surface
    share, height = A / (E + A), max(beta, 0.02)
    return np.array([E + A, -alpha * share, -alpha * (1.0 - share), B, 0.0, 0.1, height, bend, 0.1])


def farseer_at(reference: Mapping[str, float]) -> Law:
    """The law with its coefficients stated at N0 = reference["n_params"] and D0 = reference["n_tokens"]."""
    log_d0 = float(np.log(reference["n_tokens"]))
    return Law(
        name="farseer",
        columns=("n_params", "n_tokens"),
        parameters=PARAMETERS,
        form=partial(farseer, log_d0=log_d0),
        jacobian=partial(farseer_jacobian, log_d0=log_d0),
        starts=partial(farseer_starts, log_d0=log_d0),
        reference=dict(reference),
        restated=farseer_at,
        paper="https://arxiv.org/abs/2506.10972",
        schedule="cosine to a fixed 1e-5 over the run's own token budget",
        params_convention="non_embedding",
        valid=f"fitted to {MIN_SIZES} model sizes or more",
    )


FARSEER = farseer_at({"n_params": 1e8, "n_tokens": 1e10})


def differential_piecewise(table: pd.DataFrame | str | Path, where: str | None = None) -> tuple[Law, Array]:
    """The authors' procedure on a run table: the law stated at the data's centre, and its theta (9,).

    It minimises nothing over the whole table, so `fit` is at least as near the data; it has no intervals. Raises
    InputError unless three sizes have three budgets each.
    """
    frame = read_table(table)
    rows = prepare(frame[select(frame, where)], FARSEER)
    law = FARSEER.bound(rows.columns)
    curves = piecewise(np.log(rows.columns["n_params"]), np.log(rows.columns["n_tokens"]), rows.target)
    if curves is None:
        raise InputError("table", f"{rows.target.size} rows", "three sizes with three budgets each are needed")
    reference = law.reference or {}
    return law, theta_at(*curves, *(float(np.log(reference[name])) for name in law.columns))
