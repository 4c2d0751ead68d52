"""Learning rates and batches near an optimum: the best rate at any batch, and all settings that give up little.

A bowl says by how much a law of loss rises as settings leave their optimum (`Law.loss_to_setting`). With x = ln of the
learning rate over the best at its batch, z = ln of the batch over the best, and X, Z the offsets that alone give up the
allowed excess (each other below and above the optimum), the plateau is (x/X)^2 + (z/Z)^2 <= 1.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lbscale.laws.form import Array
from lbscale.laws.prediction import around
from lbscale.laws.result import Fit
from lbscale.laws.uncertainty import Z975

RATE, BATCH = "learning_rate", "batch_size_tokens"
SQUARE_ROOT = 0.5  # of adaptive methods below the noise scale: Malladi et al. 2022, https://arxiv.org/abs/2205.10287
BOUNDARY = 72
BEND = 1e-2  # of ln batch, over which a rate's slope is taken


def gives_rate_at_batch(fit: Fit) -> bool:
    """Whether the law itself says how the best learning rate follows the batch."""
    return fit.law.offsets is not None and {RATE, BATCH} <= set(fit.law.columns) & set(fit.law.tuned)


def rate_at_batch(fit: Fit, point: Mapping[str, float], batch: float) -> dict[str, Any]:
    """The best learning rate at `batch`, {"value", "interval"}, by a law that both are columns of."""
    value = float(np.exp(_log_rate(fit, fit.theta, point, batch)))
    return {"value": value, "interval": around(value, fit.uncertainty(lambda t: _log_rate(fit, t, point, batch)))}


def rate_exponent(bowl: Fit | None, point: Mapping[str, float], batch: float) -> tuple[float, float, str]:
    """The exponent of the batch in the best learning rate, its standard deviation, and in words where it is from."""
    if bowl is None or not gives_rate_at_batch(bowl):
        return SQUARE_ROOT, math.nan, "the square-root rule (Malladi et al. 2022, https://arxiv.org/abs/2205.10287)"

    def slope(theta: Array) -> Array:
        return (_log_rate(bowl, theta, point, batch * np.exp(BEND)) - _log_rate(bowl, theta, point, batch)) / BEND

    value = float(slope(bowl.theta))
    return value, bowl.uncertainty(slope), f"batch^{value:.3g}"


def moved_rate(
    fit: Fit, point: Mapping[str, float], batch: float, exponent: float, exponent_sd: float
) -> dict[str, Any]:
    """The best learning rate of a law of optima, moved from its own best batch to `batch`, {"value", "interval"}.

    The interval is [None, None] where the law or the exponent has no uncertainty.
    """

    def log_rate(theta: Array) -> Array:
        best = dict(zip(fit.law.tuned, fit.law.optimum(theta, **point), strict=False))
        return np.log(best[RATE][..., 0]) + exponent * (np.log(batch) - np.log(best[BATCH][..., 0]))

    best = dict(zip(fit.law.tuned, fit.law.optimum(fit.theta, **point), strict=False))
    distance = math.log(batch / float(best[BATCH][0]))
    spread = abs(distance) * exponent_sd if distance else 0.0
    value = float(np.exp(log_rate(fit.theta)))
    return {"value": value, "interval": around(value, math.hypot(fit.uncertainty(log_rate), spread))}


def plateau(
    bowl: Fit,
    excess: float,
    point: Mapping[str, float],
    best: Mapping[str, dict[str, Any]],
    batch: float | None = None,
) -> dict[str, Any]:
    """All settings that give up at most `excess`, in nats per token, about the optimum `best`.

    `best` has the learning rate and the batch of least loss, each {"value", "interval"}; `batch` is the one chosen
    where it is another. Under "learning_rate" are the rates that the chosen batch allows, None where it allows none;
    under "batch_size_tokens" the batches that some rate allows, each pair of ends with intervals beside it;
    "largest_batch_size_tokens" has the larger end and the best rate there; "boundary" are points (learning rate, batch)
    around the plateau. Intervals take the optimum's error and the bowl's for independent.
    """
    rate, middle = float(best[RATE]["value"]), float(best[BATCH]["value"])
    exponent, exponent_sd, _ = rate_exponent(bowl, point, middle)
    reach = {name: _reach(bowl, excess, name) for name in (RATE, BATCH)}
    chosen = middle if batch is None else batch
    z = math.log(chosen / middle)
    share = (z / reach[BATCH][z > 0]) ** 2
    at_batch = rate * (chosen / middle) ** exponent
    left = math.sqrt(max(0.0, 1.0 - share))
    largest = middle * math.exp(reach[BATCH][1])
    rates = [at_batch * math.exp(left * end) for end in reach[RATE]] if share <= 1.0 else None
    batches = [middle * math.exp(end) for end in reach[BATCH]]
    around_edges = {name: _edge_intervals(bowl, excess, name, best) for name in (RATE, BATCH)}
    return {
        "give_up": excess,
        RATE: rates,
        "learning_rate_intervals": rates and [around_edges[RATE](j, value) for j, value in enumerate(rates)],
        BATCH: batches,
        "batch_size_tokens_intervals": [around_edges[BATCH](j, value) for j, value in enumerate(batches)],
        "largest_batch_size_tokens": {
            "value": largest,
            "interval": around_edges[BATCH](1, largest),
            RATE: rate * (largest / middle) ** exponent,
        },
        "given_up": excess * share,
        "rate_follows_batch": {"exponent": exponent, "interval": around(exponent, exponent_sd, log=False)},
        "boundary": _boundary(rate, middle, reach, exponent),
    }


def _boundary(rate: float, batch: float, reach: Mapping[str, tuple[float, float]], exponent: float) -> list[Any]:
    angle = np.linspace(0.0, 2.0 * np.pi, BOUNDARY + 1)
    x, z = np.cos(angle), np.sin(angle)
    x = x * np.where(x > 0, reach[RATE][1], -reach[RATE][0])
    z = z * np.where(z > 0, reach[BATCH][1], -reach[BATCH][0])
    found: NDArray[Any] = np.column_stack([rate * np.exp(x + exponent * z), batch * np.exp(z)])
    return [[float(value) for value in pair] for pair in found]


def _factors(bowl: Fit, theta: Array, excess: float) -> dict[str, tuple[Array, Array]]:
    assert bowl.law.loss_to_setting is not None
    return bowl.law.loss_to_setting(theta, excess)


def _reach(bowl: Fit, excess: float, name: str) -> tuple[float, float]:
    """ln of the factors, down (negative) and up, that alone give up the excess."""
    down, up = _factors(bowl, bowl.theta, excess)[name]
    return float(np.log(down)), float(np.log(up))


def _edge_intervals(
    bowl: Fit, excess: float, name: str, best: Mapping[str, dict[str, Any]]
) -> Callable[[int, float], list[float | None]]:
    """(which end, its value) -> the interval of a plateau's end, of the optimum's error and of the bowl's."""
    low, high = best[name]["interval"] or (None, None)
    own = math.nan if low is None or high is None else math.log(high / low) / (2.0 * Z975)

    def interval(j: int, value: float) -> list[float | None]:
        return around(
            value, math.hypot(bowl.uncertainty(lambda theta: np.log(_factors(bowl, theta, excess)[name][j])), own)
        )

    return interval


def _log_rate(fit: Fit, theta: Array, point: Mapping[str, float], batch: float) -> Array:
    """ln of the best learning rate (...,) at `batch`, for theta (..., p)."""
    law, reference = fit.law, fit.law.reference or {}
    assert law.tuning is not None and law.offsets is not None
    logs = law.logs({name: np.array([point[name]]) for name in law.columns if name not in law.tuned}, sorted(point))
    rate = law.tuning(theta, logs)[RATE]
    tried = {RATE: rate, BATCH: np.log(batch / reference.get(BATCH, 1.0)) + 0.0 * rate}
    offset: Array = rate - law.offsets(theta, {**logs, **tried})[RATE]
    return offset[..., 0] + np.log(reference.get(RATE, 1.0))
