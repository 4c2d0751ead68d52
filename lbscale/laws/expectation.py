"""What a fit of `joint` to runs that are not trained yet will say of a target, under an assumed truth and noise."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from lbscale.errors import check
from lbscale.laws.chinchilla import CHINCHILLA
from lbscale.laws.form import Law
from lbscale.laws.prediction import around
from lbscale.laws.published import published
from lbscale.laws.step_law import STEP_LAW
from lbscale.laws.uncertainty import Z975

SETTINGS = ("learning_rate", "batch_size_tokens")


@dataclass(frozen=True)
class Truth:
    """What the design takes for true: `joint`'s parameters at a reference, and where they are from."""

    law: Law
    theta: NDArray[Any]
    sources: tuple[str, ...]

    def best(self, n_params: float, n_tokens: float) -> dict[str, float]:
        """The best settings of a size and budget."""
        value, reference = dict(zip(self.law.names, map(float, self.theta), strict=True)), self.law.reference or {}
        n, d = n_params / reference.get("n_params", 1.0), n_tokens / reference.get("n_tokens", 1.0)
        rate = value["lr_coefficient"] * n ** value["lr_exponent_n_params"] * d ** value["lr_exponent_n_tokens"]
        batch = value["batch_coefficient"] * d ** value["batch_exponent_n_tokens"]
        return dict(zip(SETTINGS, (rate, batch), strict=True))


def assumed_truth(surface: str, settings: str, bowl: str = "step_law_bowl") -> Truth:
    """`joint` with the surface of one published law, the best settings of another and the bowl of a third.

    All are given one number of params. Raises InputError for names of other kinds of law.
    """
    of_surface, of_settings, of_bowl = (published(name) for name in (surface, settings, bowl))
    allowed = "a published law E + A/N^alpha + B/D^beta is needed"
    check(of_surface.law.name == "chinchilla", "surface", surface, allowed)
    allowed = "a published law of the best learning rate by N and D and the best batch by D is needed"
    check(set(STEP_LAW.names) <= set(of_settings.law.names), "settings", settings, allowed)
    check(of_bowl.law.name == "joint", "bowl", bowl, "a published law of the form `joint` is needed")
    law, params = of_bowl.law, dict(of_bowl.params)
    for fit, names in ((of_surface, CHINCHILLA.names), (of_settings, STEP_LAW.names)):
        moved = fit.law.move(fit.theta, fit.law.reference or {}, law.reference or {})
        params.update({name: float(moved[fit.law.names.index(name)]) for name in names})
    sources = tuple(dict.fromkeys((surface, settings, bowl)))
    return Truth(law, np.array([params[name] for name in law.names]), sources)


class Aim(NamedTuple):
    """What is asked of a design: the target's best rate, best batch and loss (3,), and the gradients (4, p) by the
    searched coordinates of their logarithms and of ln rate beyond what the batch moves."""

    values: NDArray[Any]
    gradients: NDArray[Any]


def aim_at(truth: Truth, target: Mapping[str, float]) -> Aim:
    """The aim of designs for a target, n_params and n_tokens."""
    law, theta, point = truth.law, truth.theta, dict(target)
    values = np.array([float(found[0]) for found in law.optimum(theta, **point)])
    gradients = [
        law.gradient(theta, lambda moved, j=j: np.log(law.optimum(moved, **point)[j][..., 0]))  # type: ignore[misc]
        for j in range(values.size)
    ]
    beyond = gradients[0] - theta[law.names.index("lr_exponent_batch")] * gradients[1]
    return Aim(values, np.array([*gradients, beyond]))


def expect(
    truth: Truth, columns: Mapping[str, NDArray[Any]], run_sd: float, aim: Aim
) -> dict[str, dict[str, Any]] | None:
    """What a fit to runs at `columns` (n,) will say of the aim (see `design.Design`); None for runs that leave
    parameters open, or less than one degree of freedom."""
    from scipy.special import stdtrit

    law, theta = truth.law, truth.theta
    loss, by_theta = law.value_and_jacobian(theta, law.logs(columns))
    covariance = _covariance(by_theta * np.where(law.is_log, theta, 1.0)[:, None] / loss, law, run_sd)
    freedom = loss.size - theta.size
    if freedom < 1 or covariance is None:
        return None
    t = float(stdtrit(freedom, 0.975)) / Z975
    spreads = np.sqrt(np.maximum(np.einsum("kp,pq,kq->k", aim.gradients, covariance, aim.gradients), 0.0))
    value = dict(zip(law.names, map(float, theta), strict=True))
    by_rate = value["lr_curvature"] * 0.5 * (1.0 + value["lr_steepness_above"])
    by_batch = value["batch_curvature"] * 0.5 * (1.0 + value["batch_steepness_above"])
    found = {
        name: {"value": float(aim.values[j]), "interval": around(float(aim.values[j]), float(spreads[j]) * t)}
        for j, name in enumerate(SETTINGS)
    }
    at, of_loss = float(aim.values[2]), float(spreads[2])
    return {
        "loss": {
            "value": at,
            "interval_mean": around(at, of_loss * t),
            "interval_new_run": around(at, math.hypot(of_loss, run_sd) * t),
        },
        **found,
        "given_up": {"value": float(by_rate * spreads[3] ** 2 + by_batch * spreads[1] ** 2)},
    }


def _covariance(jacobian: NDArray[Any], law: Law, run_sd: float) -> NDArray[Any] | None:
    """Covariance (p, p) of the searched coordinates for runs that scatter by `run_sd`; None where it is unbounded."""
    _, width, stiffness = law.penalty
    curvature = jacobian @ jacobian.T + np.diag(stiffness)
    size = np.sqrt(np.diag(curvature))
    if not (size > 0).all():
        return None
    values, vectors = np.linalg.eigh(curvature / np.outer(size, size))
    if values[0] < 1e-12:
        return None
    inverse = (vectors / values) @ vectors.T / np.outer(size, size)
    pull = np.where(stiffness > 0, stiffness * np.where(stiffness > 0, width, 0.0), 0.0)
    found: NDArray[Any] = inverse @ (run_sd**2 * (jacobian @ jacobian.T) + np.diag(pull**2)) @ inverse
    return found
