"""What a budget of FLOPs buys under any fitted surface L(N, D): optima, iso-curves, the price of over-training.

Intervals come from `Fit.uncertainty`, so from the draws or by the delta method, as the fit was asked. The latter needs
each quantity's derivative by the parameters: an optimum's follows from one Newton step on the slope of the loss along
the curve of equal FLOPs (the implicit function theorem), so nothing here is particular to a form.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lbscale.errors import InputError, check
from lbscale.laws.form import Array, positive
from lbscale.laws.prediction import around
from lbscale.laws.result import Fit

Flops = Callable[[NDArray[Any], NDArray[Any]], NDArray[Any]]
REACH = 9.2  # of ln N on either side of the fitted sizes: four decades
GRID = 241
WIDTH = 0.02  # of ln N, over which slopes are taken by differences
BISECTIONS = 60


def six_n_d(n_params: NDArray[Any], n_tokens: NDArray[Any]) -> NDArray[Any]:
    """C = 6 N D (Kaplan et al. 2020, https://arxiv.org/abs/2001.08361); far from exact below width 512."""
    return 6.0 * n_params * n_tokens


def optimal_allocation(fit: Fit, flops: float, count_flops: Flops = six_n_d) -> dict[str, Any]:
    """n_params, n_tokens, tokens_per_param and loss where it is least at `flops`, each {"value", "interval"} (95 %).

    Tuned settings are at their optimum. "warnings" says where the answer lies outside the fitted data. Raises
    InputError for a law without an optimum within four decades of the fitted sizes.
    """
    flops = positive("flops", flops)
    _check_surface(fit)
    best = best_log_n(fit, fit.theta, flops, count_flops)
    log_n = float(best[0])

    def log_size(theta: Array) -> Array:
        return _near(fit, theta, log_n, flops, count_flops)

    slope = _tokens_slope(log_n, flops, count_flops)
    log_d = float(_log_tokens(np.array([log_n]), flops, count_flops)[0])
    sd = fit.uncertainty(log_size)
    n_params, n_tokens = np.exp(log_n), np.exp(log_d)
    loss = float(_losses(fit, fit.theta, best, flops, count_flops)[0])
    # To first order the loss at the optimum does not move with the optimum's place.
    loss_sd = fit.uncertainty(lambda theta: np.log(_losses(fit, theta, best, flops, count_flops)[..., 0]))
    outside = [
        f"{name} lies outside the fitted {low:.3g} to {high:.3g}"
        for name, value in (("n_params", n_params), ("n_tokens", n_tokens), ("tokens_per_param", n_tokens / n_params))
        for low, high in [fit.range.get(name, (0.0, np.inf))]
        if not low <= value <= high
    ]
    return {
        "n_params": _field(n_params, sd),
        "n_tokens": _field(n_tokens, abs(slope) * sd),
        "tokens_per_param": _field(n_tokens / n_params, abs(slope - 1.0) * sd),
        "loss": _field(loss, loss_sd),
        "flops": flops,
        "warnings": outside,
    }


def iso_flop(
    fit: Fit, flops: float, n_params: Sequence[float] | Array, count_flops: Flops = six_n_d
) -> dict[str, Array]:
    """The curve of equal FLOPs at the given sizes (n,): {"n_params", "n_tokens", "loss"}."""
    flops = positive("flops", flops)
    _check_surface(fit)
    log_n = np.log(_sizes(n_params))
    log_d = _log_tokens(log_n, flops, count_flops)
    loss = _losses(fit, fit.theta, log_n, flops, count_flops)
    return {"n_params": np.exp(log_n), "n_tokens": np.exp(log_d), "loss": loss}


def iso_loss(
    fit: Fit, loss: float, n_params: Sequence[float] | Array, count_flops: Flops = six_n_d
) -> dict[str, Array]:
    """The curve of equal loss at the given sizes (n,): {"n_params", "n_tokens", "flops"}, NaN where none reaches it.

    Tokens are looked for between e^-20 and e^80 by bisection; loss must fall as they grow.
    """
    loss = positive("loss", loss)
    _check_surface(fit)
    sizes = _sizes(n_params)
    low, high = np.full(sizes.shape, -20.0), np.full(sizes.shape, 80.0)
    start = (low.copy(), high.copy())
    for _ in range(BISECTIONS):
        middle = 0.5 * (low + high)
        above = _loss_at(fit, fit.theta, np.log(sizes), middle) > loss
        low, high = np.where(above, middle, low), np.where(above, high, middle)
    reached = (low > start[0]) & (high < start[1])
    tokens = np.where(reached, np.exp(0.5 * (low + high)), np.nan)
    return {"n_params": sizes, "n_tokens": tokens, "flops": count_flops(sizes, tokens)}


def overtraining_cost(fit: Fit, flops: float, factor: float, count_flops: Flops = six_n_d) -> dict[str, Any]:
    """The price of training on `factor` times the optimal tokens per param, against the optimum at `flops`.

    "loss_factor" is the loss at the same FLOPs over the optimal one. "flops_factor" and "n_params_factor" are what it
    takes to reach the optimum's loss at that ratio, over the optimum's own: more FLOPs for a smaller model. Each
    {"value", "interval"} (95 %); the last two are null, with a warning, where no size reaches the loss, and their
    intervals [None, None] where some bootstrap draws have none. `count_flops` must be made of products and powers.
    """
    flops, factor = positive("flops", flops), positive("factor", factor)
    _check_surface(fit)
    log_n = float(best_log_n(fit, fit.theta, flops, count_flops)[0])

    def change(theta: Array) -> Array:
        """ln of the loss, FLOPs and params factors, (..., 3)."""
        best = _near(fit, theta, log_n, flops, count_flops)
        slope = _tokens_slope(log_n, flops, count_flops)
        here = float(_log_tokens(np.array([log_n]), flops, count_flops)[0])
        best_d = here + slope * (best - log_n)
        least = _loss_at(fit, theta, best[..., None], best_d[..., None])[..., 0]
        along = best - np.log(factor) / (1.0 - slope)
        loss = _loss_at(fit, theta, along[..., None], (best_d + slope * (along - best))[..., None])[..., 0]
        ratio = best_d - best + np.log(factor)
        size = _size_of_loss(fit, theta, least, ratio)
        spent = np.log(count_flops(np.exp(size), np.exp(size + ratio)) / flops)
        return np.stack([np.log(loss / least), spent, size - best], axis=-1)

    def part(j: int) -> Callable[[Array], Array]:
        return lambda theta: change(theta)[..., j]

    values = change(fit.theta)
    names = ("loss_factor", "flops_factor", "n_params_factor")
    fields = {
        name: _field(float(np.exp(values[j])), fit.uncertainty(part(j)))
        if np.isfinite(values[j])
        else {"value": None, "interval": None}
        for j, name in enumerate(names)
    }
    known = bool(np.isfinite(values).all())
    return {**fields, "warnings": [] if known else ["no size reaches the optimum's loss at that ratio"]}


def best_log_n(fit: Fit, theta: Array, flops: float, count_flops: Flops = six_n_d) -> Array:
    """ln of the size (1,) of least loss at `flops` for one theta (p,); raises InputError where the grid ends first."""
    log_n, middle = _grid(fit)
    k = int(_valleys(_losses(fit, theta, log_n, flops, count_flops)[None], log_n, middle)[0])
    if k in (0, GRID - 1):
        raise InputError("flops", flops, f"{fit.law.name} has no optimum within four decades of the fitted sizes")
    best, step = log_n[k : k + 1], log_n[1] - log_n[0]
    for _ in range(20):
        slope, bend = _slope_and_bend(fit, theta, best, flops, count_flops)
        move = np.clip(-slope / np.maximum(bend, 1e-300), -step, step)
        best = best + move
        if abs(move[0]) < 1e-9:
            break
    return best


def _near(fit: Fit, theta: Array, log_n: float, flops: float, count_flops: Flops) -> Array:
    """ln of the best size (...,) for theta (..., p): the optimum of each draw, or one Newton step for complex theta."""
    if np.iscomplexobj(theta):
        slope, bend = _slope_and_bend(fit, theta, np.array([log_n]), flops, count_flops)
        return (log_n - slope / bend)[..., 0]
    grid, _ = _grid(fit)
    losses = np.atleast_2d(_losses(fit, theta, grid, flops, count_flops))
    k = np.clip(_valleys(losses, grid, log_n), 1, GRID - 2)
    left, middle, right = (losses[np.arange(len(losses)), k + j] for j in (-1, 0, 1))
    bend = np.maximum(left - 2.0 * middle + right, 1e-300)
    found = grid[k] + np.clip(0.5 * (left - right) / bend, -1.0, 1.0) * (grid[1] - grid[0])
    return found.reshape(np.shape(theta)[:-1])


def _grid(fit: Fit) -> tuple[Array, float]:
    """ln of sizes to look at, four decades beyond the fitted ones, and the middle of those."""
    low, high = np.log(fit.range["n_params"])
    return np.linspace(low - REACH, high + REACH, GRID), 0.5 * float(low + high)


def _valleys(losses: Array, log_n: Array, target: float) -> Array:
    """Which place of the grid (k,) is each curve's (k, GRID) minimum nearest to `target`; its lower end without one.

    Nearest, since a form may fall without end far from the data.
    """
    losses = np.where(np.isnan(losses), np.inf, losses)
    valley = (losses[:, 1:-1] < losses[:, :-2]) & (losses[:, 1:-1] <= losses[:, 2:])
    distance = np.where(valley, np.abs(log_n[1:-1] - target), np.inf)
    ends = np.where(losses[:, 0] < losses[:, -1], 0, losses.shape[1] - 1)
    return np.where(valley.any(axis=1), 1 + np.argmin(distance, axis=1), ends)


def _slope_and_bend(fit: Fit, theta: Array, log_n: Array, flops: float, count_flops: Flops) -> tuple[Array, Array]:
    """First and second difference of the loss along the curve of equal FLOPs, each (..., n)."""
    left, middle, right = (_losses(fit, theta, log_n + s * WIDTH, flops, count_flops) for s in (-1, 0, 1))
    return (right - left) / (2.0 * WIDTH), (left - 2.0 * middle + right) / WIDTH**2


def _size_of_loss(fit: Fit, theta: Array, loss: Array, ratio: Array) -> Array:
    """ln of the size (...,) whose loss at `ratio` = ln D/N is `loss` (...,); NaN where none is. Analytic."""
    low, high = np.log(fit.range["n_params"])
    shape = np.shape(loss)
    bottom, top = np.full(shape, low - 2 * REACH), np.full(shape, high + 2 * REACH)
    ends = bottom, top
    for _ in range(BISECTIONS):
        middle = 0.5 * (bottom + top)
        above = _loss_at(fit, theta, middle[..., None], (middle + ratio.real)[..., None])[..., 0].real > loss.real
        bottom, top = np.where(above, middle, bottom), np.where(above, top, middle)
    size = 0.5 * (bottom + top)

    def at(log_n: Array) -> Array:
        return _loss_at(fit, theta, log_n[..., None], (log_n + ratio)[..., None])[..., 0]

    slope = (at(size + WIDTH) - at(size - WIDTH)) / (2.0 * WIDTH)
    size = size - (at(size) - loss) / slope  # what carries the derivative by theta
    return np.where((bottom > ends[0]) & (top < ends[1]), size, np.nan)


def _losses(fit: Fit, theta: Array, log_n: Array, flops: float, count_flops: Flops) -> Array:
    """Loss (..., n) at real sizes (n,) and the tokens that spend `flops` on each."""
    return _loss_at(fit, theta, log_n, _log_tokens(log_n, flops, count_flops))


def _loss_at(fit: Fit, theta: Array, log_n: Array, log_d: Array) -> Array:
    """Loss (..., n) at ln sizes and ln tokens, each (..., n), complex where a derivative is carried."""
    law, reference = fit.law, fit.law.reference or {}
    logs = {
        "n_params": log_n - np.log(reference.get("n_params", 1.0)),
        "n_tokens": log_d - np.log(reference.get("n_tokens", 1.0)),
    }
    if law.tuning is not None:
        logs |= law.tuning(theta, logs)
    return law.form(theta, logs)


def _log_tokens(log_n: Array, flops: float, count_flops: Flops) -> Array:
    """ln of the tokens at which each size spends `flops`, by bisection: any count that grows with tokens will do."""
    sizes = np.exp(log_n)
    low, high = np.full(log_n.shape, -20.0), np.full(log_n.shape, 100.0)
    for _ in range(BISECTIONS):
        middle = 0.5 * (low + high)
        over = count_flops(sizes, np.exp(middle)) > flops
        low, high = np.where(over, low, middle), np.where(over, middle, high)
    return 0.5 * (low + high)


def _tokens_slope(log_n: float, flops: float, count_flops: Flops) -> float:
    """Slope of ln tokens by ln params along the curve of equal FLOPs: -1 for 6ND."""
    left, right = _log_tokens(np.array([log_n - WIDTH, log_n + WIDTH]), flops, count_flops)
    return float((right - left) / (2.0 * WIDTH))


def _field(value: float, sd: float) -> dict[str, Any]:
    return {"value": float(value), "interval": around(float(value), sd)}


def _sizes(n_params: Sequence[float] | Array) -> Array:
    sizes = np.atleast_1d(np.asarray(n_params, float))
    check(bool((np.isfinite(sizes) & (sizes > 0)).all()), "n_params", n_params, "positive numbers")
    return sizes


def _check_surface(fit: Fit) -> None:
    free = set(fit.law.columns) - set(fit.law.tuned)
    check(free == {"n_params", "n_tokens"}, "fit", fit.law.name, "a law of n_params and n_tokens")
