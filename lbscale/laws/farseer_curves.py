"""The three functions of params in Farseer's surface, and the ways to state their coefficients.

Each is ln f(N) = level + slope ((N / N0)^power - 1) / power (Box and Cox 1964, https://www.jstor.org/stable/2984418);
the paper (https://arxiv.org/abs/2506.10972) writes it exp(a N^power + b).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from lbscale.laws.form import Array


def box_cox(x: Array, power: Array) -> Array:
    """(exp(power x) - 1) / power, x where power is 0; broadcast, analytic."""
    z = power * x
    small = np.abs(z.real) < 1e-5
    safe = np.where(small, 1.0, z)
    return x * np.where(small, 1.0 + z * (0.5 + z / 6.0), np.expm1(safe) / safe)


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
