"""How the best learning rate moves with width, and what carrying it from the narrowest model to the widest costs.

Each replicate (a seed's sweep over learning rates) of each width gives one best rate: the vertex of a parabola of loss
against ln(learning rate), fitted to the grid points about the lowest loss, with a delta-method standard error from the
parabola's residuals. A weighted regression of ln(best rate) on ln(width) over all of them gives the drift.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from lbscale.errors import check

_POINTS = 5  # of a local parabola: the lowest loss and what lies nearest to it


@dataclass(frozen=True)
class Transfer:
    """`best` has a row a width and replicate: `d_model, replicate, ln_rate, standard_error, lowest_loss, reason`. Where
    a sweep does not show its optimum, `reason` says why and the numbers are NaN. `drift` is the slope of ln(best rate)
    against ln(width), `interval` its 95 % Student interval on `degrees_of_freedom`.

    `loss_given_up` is what the widest model loses, in nats per token, when it takes the narrowest one's mean best rate:
    its own losses there, interpolated between the three nearest rates, above the lowest of its parabola. The interval
    is Student's for the mean over replicates, with one degree of freedom fewer than there are. NaN off the grid.
    """

    best: pd.DataFrame
    drift: float
    interval: tuple[float, float]
    degrees_of_freedom: int
    loss_given_up: float
    loss_given_up_interval: tuple[float, float]


def learning_rate_transfer(table: pd.DataFrame, replicate: str = "init_seed") -> Transfer:
    """The transfer of learning rates across `d_model` in a run table that varies nothing else but `learning_rate` and
    `replicate`; diverged runs are left out. Raises InputError with fewer than three widths and replicates placed."""
    seen = table[np.isfinite(table["loss"])]
    best = pd.DataFrame(
        {"d_model": width, "replicate": which, **_best_rate(rows)}
        for (width, which), rows in seen.groupby(["d_model", replicate])
    )
    placed = best[best["reason"] == ""]
    allowed = "at least three sweeps over two widths that show their best rate are needed"
    check(len(placed) >= 3 and placed["d_model"].nunique() >= 2, "learning_rate", len(placed), allowed)
    drift, error, dof = _weighted_slope(placed)
    half = _student(dof) * error
    given_up = _given_up(seen, placed, replicate)
    return Transfer(best, drift, (drift - half, drift + half), dof, *_mean_and_interval(given_up))


def _best_rate(rows: pd.DataFrame) -> dict[str, float | str]:
    """The vertex of the local parabola of one sweep."""
    rows = rows.sort_values("learning_rate")
    x, y = np.log(rows["learning_rate"].to_numpy(float)), rows["loss"].to_numpy(float)
    unknown: dict[str, float | str] = {"ln_rate": np.nan, "standard_error": np.nan, "lowest_loss": np.nan}
    if len(x) < 4:
        return {**unknown, "reason": "fewer than four learning rates"}
    lowest = int(np.argmin(y))
    if lowest in (0, len(x) - 1):
        return {**unknown, "reason": "the lowest loss is at the edge of the grid"}
    near = np.sort(np.argsort(np.abs(x - x[lowest]), kind="stable")[:_POINTS])
    centre = x[lowest]
    design = np.stack([np.ones(len(near)), x[near] - centre, (x[near] - centre) ** 2], axis=1)
    theta, *_ = np.linalg.lstsq(design, y[near], rcond=None)
    level, slope, curvature = theta
    if curvature <= 0:
        return {**unknown, "reason": "the losses about the lowest are not a bowl"}
    residual = y[near] - design @ theta
    covariance = np.sum(residual**2) / (len(near) - 3) * np.linalg.inv(design.T @ design)
    gradient = np.array([0.0, -0.5 / curvature, 0.5 * slope / curvature**2])
    error = float(np.sqrt(gradient @ covariance @ gradient))
    return {
        "ln_rate": float(centre - 0.5 * slope / curvature),
        "standard_error": error,
        "lowest_loss": float(level - 0.25 * slope**2 / curvature),
        "reason": "",
    }


def _weighted_slope(placed: pd.DataFrame) -> tuple[float, float, int]:
    """Slope, its standard error scaled by the scatter about the line, and degrees of freedom.

    No error is taken below the median one: a parabola that happens to pass through its points is not known the better.
    """
    error = placed["standard_error"].to_numpy(float)
    weight = 1 / np.maximum(np.maximum(error, np.median(error)), 1e-12)
    x, y = np.log(placed["d_model"].to_numpy(float)), placed["ln_rate"].to_numpy(float)
    design = np.stack([np.ones_like(x), x], axis=1) * weight[:, None]
    theta, *_ = np.linalg.lstsq(design, y * weight, rcond=None)
    dof = len(x) - 2
    scatter = float(np.sum((y * weight - design @ theta) ** 2)) / dof
    return float(theta[1]), float(np.sqrt(scatter * np.linalg.inv(design.T @ design)[1, 1])), dof


def _given_up(seen: pd.DataFrame, placed: pd.DataFrame, replicate: str) -> np.ndarray:
    """Loss at the narrowest width's mean best rate above the parabola's lowest, for each replicate of the widest."""
    carried = placed.loc[placed["d_model"] == placed["d_model"].min(), "ln_rate"].mean()
    wide = placed[placed["d_model"] == placed["d_model"].max()]
    losses = []
    for _, found in wide.iterrows():
        rows = seen[(seen["d_model"] == found["d_model"]) & (seen[replicate] == found["replicate"])]
        x, y = np.log(rows["learning_rate"].to_numpy(float)), rows["loss"].to_numpy(float)
        near = np.argsort(np.abs(x - carried), kind="stable")[:3]
        inside = x.min() <= carried <= x.max()
        loss = np.polyval(np.polyfit(x[near] - carried, y[near], 2), 0.0) if inside else np.nan
        losses.append(float(loss) - float(found["lowest_loss"]))
    return np.array(losses)


def _mean_and_interval(values: np.ndarray) -> tuple[float, tuple[float, float]]:
    mean = float(np.mean(values))
    if len(values) < 2:
        return mean, (np.nan, np.nan)
    half = _student(len(values) - 1) * float(np.std(values, ddof=1) / np.sqrt(len(values)))
    return mean, (mean - half, mean + half)


def _student(dof: int) -> float:
    """The 97.5 % quantile of Student's t."""
    from scipy.special import stdtrit

    return float(stdtrit(dof, 0.975))
