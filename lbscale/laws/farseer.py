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
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd

from lbscale.errors import InputError, check
from lbscale.laws.chinchilla import surface_starts
from lbscale.laws.form import Array, Columns, Law, Parameter
from lbscale.laws.reading import read_table, select
from lbscale.laws.starts import best, thin
from lbscale.laws.table import prepare

MIN_SIZES = 6
SAME_SIZE = 0.02  # of ln N: sizes this close are one
LARGEST_LOG = 100.0
POWERS = np.linspace(-1.0, 1.0, 201)
PARAMETERS = (
    Parameter("model_term", "nats per token", 1e-4, 1e4, "loss with endless tokens at N0", "log"),
    Parameter("model_slope", "1", -10.0, 10.0, "slope of ln of it by ln N at N0"),
    Parameter("gamma", "1", -3.0, 3.0, "power of N in ln of it"),
    Parameter("data_term", "nats per token", 1e-6, 1e4, "loss that D0 tokens leave to gain at N0", "log"),
    Parameter("data_slope", "1", -10.0, 10.0, "slope of ln of it by ln N at N0"),
    Parameter("beta", "1", -3.0, 3.0, "power of N in ln of the tokens' coefficient"),
    Parameter("exponent", "1", 1e-3, 10.0, "exponent of tokens at N0", "log"),
    Parameter("exponent_slope", "1", -10.0, 10.0, "slope of ln of it by ln N at N0"),
    Parameter("alpha", "1", -3.0, 3.0, "power of N in ln of it"),
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


def box_cox(x: Array, power: Array) -> Array:
    """(exp(power x) - 1) / power, x where power is 0; broadcast, analytic."""
    z = power * x
    small = np.abs(z.real) < 1e-5
    safe = np.where(small, 1.0, z)
    return x * np.where(small, 1.0 + z * (0.5 + z / 6.0), np.expm1(safe) / safe)


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


def piecewise(log_n: Array, log_d: Array, loss: Array) -> tuple[Curve, Curve, Curve] | None:
    """G(N), B(N) and A(N) by the authors' differential piecewise procedure, or None for want of budgets a size.

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


def size_codes(log_n: Array) -> Array:
    """A number for each size, (n,): sizes within 2 % of the smallest of theirs share it."""
    distinct, which = np.unique(log_n, return_inverse=True)
    codes, first = np.zeros(distinct.size, int), distinct[0]
    for k, size in enumerate(distinct[1:], start=1):
        codes[k] = codes[k - 1] + (size - first > SAME_SIZE)
        first = size if codes[k] > codes[k - 1] else first
    return codes[which]


def published(theta: Array, reference: Mapping[str, float]) -> dict[str, float]:
    """a1, b1, alpha, a2, b2, beta, a3, b3, gamma of the paper's form; infinite where theta (9,) has a power of 0."""
    log_n0, log_d0 = np.log(reference["n_params"]), np.log(reference["n_tokens"])
    found: dict[str, float] = {}
    curves = curves_of(theta, log_n0, log_d0)
    for (k, name), curve in zip(((3, "gamma"), (2, "beta"), (1, "alpha")), curves, strict=True):
        with np.errstate(divide="ignore"):
            ratio = np.divide(curve.slope, curve.power)
        found |= {
            f"a{k}": float(ratio * np.exp(-curve.power * log_n0)),
            f"b{k}": float(curve.level - ratio),
            name: float(curve.power),
        }
    return found


@dataclass(frozen=True)
class Curve:
    """ln f(N) = level + slope ((N / N0)^power - 1) / power."""

    level: float
    slope: float
    power: float
    log_n0: float

    def __call__(self, log_n: Array) -> Array:
        return self.level + self.slope * box_cox(np.asarray(log_n) - self.log_n0, np.asarray(self.power))

    def at(self, log_n0: float) -> Curve:
        """The same function, stated at another size."""
        slope = self.slope * float(np.exp(self.power * (log_n0 - self.log_n0)))
        return Curve(float(self(np.array(log_n0))), slope, self.power, log_n0)


def theta_at(model: Curve, data: Curve, exponent: Curve, log_n0: float, log_d0: float) -> Array:
    """theta (9,), stated at ln N0 and ln D0, of the functions G, B and A."""
    model, data, exponent = (curve.at(log_n0) for curve in (model, data, exponent))
    height = np.exp(exponent.level)
    return np.array([
        np.exp(model.level), model.slope, model.power,
        np.exp(data.level - log_d0 * height), data.slope - log_d0 * exponent.slope * height, data.power,
        height, exponent.slope, exponent.power,
    ])  # fmt: skip


def curves_of(theta: Array, log_n0: float, log_d0: float) -> tuple[Curve, Curve, Curve]:
    """The functions G, B and A of theta (9,): the inverse of `theta_at`."""
    model, model_slope, gamma, data, data_slope, beta, height, exponent_slope, alpha = map(float, theta)
    return (
        Curve(float(np.log(model)), model_slope, gamma, log_n0),
        Curve(float(np.log(data)) + log_d0 * height, data_slope + log_d0 * exponent_slope * height, beta, log_n0),
        Curve(float(np.log(height)), exponent_slope, alpha, log_n0),
    )


def _bent(surface: Array, bend: float) -> Array:
    """theta (9,) near an additive surface; bend is the slope of ln of its tokens' exponent by ln N."""
    E, A, B, alpha, beta = surface
    share, height = A / (E + A), max(beta, 0.02)
    return np.array([E + A, -alpha * share, -alpha * (1.0 - share), B, 0.0, 0.1, height, bend, 0.1])


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


@dataclass(frozen=True)
class StatedLaw(Law):
    """A law that no linear map of its parameters carries to another reference: it is made anew at the data's centre."""

    def at(self, reference: Mapping[str, float] | None) -> Law:
        return farseer_at(reference) if reference else self

    def bound(self, columns: Columns) -> Law:
        return farseer_at({name: float(f"{np.exp(np.log(columns[name]).mean()):.1e}") for name in self.columns})


def farseer_at(reference: Mapping[str, float]) -> Law:
    """The law with its coefficients stated at N0 = reference["n_params"] and D0 = reference["n_tokens"]."""
    log_d0 = float(np.log(reference["n_tokens"]))
    return StatedLaw(
        name="farseer",
        columns=("n_params", "n_tokens"),
        parameters=PARAMETERS,
        form=partial(farseer, log_d0=log_d0),
        jacobian=partial(farseer_jacobian, log_d0=log_d0),
        starts=partial(farseer_starts, log_d0=log_d0),
        reference=dict(reference),
        paper="https://arxiv.org/abs/2506.10972",
        schedule="cosine to a fixed 1e-5 over the run's own token budget",
        params_convention="non_embedding",
        valid=f"fitted to {MIN_SIZES} model sizes or more",
    )


FARSEER = farseer_at({"n_params": 1e8, "n_tokens": 1e10})
