"""Paths through sizes and tokens along which compute grows, counted as 6ND: two ways to spend a budget."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lbscale.errors import InputError, check_choice
from lbscale.laws.budget import best_log_n
from lbscale.laws.result import Fit
from lbscale.laws.two_laws import Path

ALLOCATIONS = {
    "tokens_per_param": "at the target's tokens per param",
    "compute_optimal": "each recipe at its own compute-optimal sizes and tokens",
}
PLACES = 49  # of ln FLOPs at which an optimum is looked for; its ln size is nearly straight between them
LOG_6 = float(np.log(6.0))


def make_path(allocation: str, fit: Fit, at: Mapping[str, float], low: float, high: float) -> Path:
    """The path of one recipe, ln FLOPs (m,) to ln params and ln tokens, (m,) each, for ln FLOPs from `low` to `high`.

    Raises InputError for an unknown allocation, and for a law without an optimum at the FLOPs of `at`.
    """
    check_choice("allocation", allocation, ALLOCATIONS)
    if allocation == "tokens_per_param":
        return fixed_ratio(at["n_tokens"] / at["n_params"])
    return own_optimum(fit, np.log(6.0 * at["n_params"] * at["n_tokens"]), low, high)


def fixed_ratio(tokens_per_param: float) -> Path:
    """The path on which tokens per param stay as they are."""

    def path(log_flops: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any]]:
        log_n = 0.5 * (log_flops - LOG_6 - np.log(tokens_per_param))
        return log_n, log_flops - LOG_6 - log_n

    return path


def own_optimum(fit: Fit, target: float, low: float, high: float) -> Path:
    """The path of least loss, by optima at the target and at `PLACES` around it, straight between and beyond them.

    An optimum is flat, so that what the loss suffers from straight lines is of second order.
    """
    found: dict[float, float] = {target: float(best_log_n(fit, fit.theta, float(np.exp(target)))[0])}
    for place in np.linspace(low, high, PLACES):
        try:
            found[float(place)] = float(best_log_n(fit, fit.theta, float(np.exp(place)))[0])
        except InputError:  # too far from the data for an optimum: the path goes on straight
            continue
    places = np.array(sorted(found))
    sizes = np.array([found[place] for place in places])

    def path(log_flops: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any]]:
        if places.size == 1:
            log_n = sizes[0] + 0.5 * (log_flops - places[0])
        else:
            left = np.clip(np.searchsorted(places, log_flops) - 1, 0, places.size - 2)
            slope = np.diff(sizes)[left] / np.diff(places)[left]
            log_n = sizes[left] + slope * (log_flops - places[left])
        return log_n, log_flops - LOG_6 - log_n

    return path
