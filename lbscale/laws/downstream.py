"""From loss to what downstream tasks measure. `two_step` joins these laws to a law of loss.

`downstream_error`: error = epsilon - k exp(-gamma L), Gadre et al. 2024, equation 5
(https://arxiv.org/abs/2403.08540); the error is an average over many tasks, 1 - accuracy. The paper fits least squares
of the error to the loss law's five runs and a sixth, 1.4 B params at 20 tokens a param, and asks it of the
predicted loss: on RedPajama, 17 tasks, C4 eval loss, the relative error is 3.64 % (1.4 B params at multiplier 640)
and 0.05 % (6.9 B at 20).

`downstream_accuracy`: accuracy = floor + (ceiling - floor) / (1 + exp(steepness (L - midpoint))), the second of
the two steps of Bhagia et al. 2024 (https://arxiv.org/abs/2412.04403).
"""

from __future__ import annotations

import numpy as np

from lbscale.laws.form import Array, Columns, Law, Parameter
from lbscale.laws.starts import best, grid, project, thin

ERROR = (
    Parameter("epsilon", "1", 0.0, 1.5, "error at infinite loss: about that of guessing"),
    Parameter("k", "1", 1e-6, 1e6, "error gained at no loss at all", "log"),
    Parameter("gamma", "1 per nat per token", 1e-3, 20.0, "how fast a smaller loss becomes a smaller error", "log"),
)
ACCURACY = (
    Parameter("floor", "1", 0.0, 1.0, "accuracy at infinite loss: about that of guessing"),
    Parameter("ceiling", "1", 0.0, 1.5, "accuracy at no loss"),
    Parameter("midpoint", "nats per token", 0.0, 20.0, "loss halfway between floor and ceiling"),
    Parameter("steepness", "1 per nat per token", 1e-2, 100.0, "how sharply accuracy rises about the midpoint", "log"),
)


def downstream_error(theta: Array, logs: Columns) -> Array:
    """Error (..., n) for theta (..., 3) = epsilon, k, gamma and the log of loss."""
    epsilon, k, gamma = (theta[..., j, None] for j in range(3))
    return epsilon - k * np.exp(-gamma * np.exp(logs["loss"]))


def error_starts(logs: Columns, error: Array) -> Array:
    """The best starts (s, 3) of a grid over gamma, the rest solved."""
    logs, error = thin(logs, error)
    gamma = np.geomspace(0.02, 10.0, 40)
    decayed = np.exp(-gamma[:, None] * (np.exp(logs["loss"]) - np.exp(logs["loss"]).min()))
    terms = np.stack([np.ones_like(decayed), 1.0 - decayed], axis=1)
    solved, misfit = project(terms, error)
    k = np.clip(solved[:, 1] * np.exp(gamma * np.exp(logs["loss"]).min()), 1e-6, 1e6)
    return best(np.column_stack([solved.sum(axis=1), k, gamma]), misfit)


def downstream_accuracy(theta: Array, logs: Columns) -> Array:
    """Accuracy (..., n) for theta (..., 4) = floor, ceiling, midpoint, steepness and the log of loss."""
    floor, ceiling, midpoint, steepness = (theta[..., j, None] for j in range(4))
    return floor + (ceiling - floor) * _falling(steepness * (np.exp(logs["loss"]) - midpoint))


def accuracy_starts(logs: Columns, accuracy: Array) -> Array:
    """The best starts (s, 4) of a grid over midpoint and steepness, the rest solved."""
    logs, accuracy = thin(logs, accuracy)
    loss = np.exp(logs["loss"])
    low, high = loss.min(), loss.max()
    reach = max(high - low, 1e-3 * high)
    midpoint, steepness = grid(
        tuple(np.linspace(max(0.0, low - reach), high, 25)), tuple(np.geomspace(0.5, 50.0, 20) / reach)
    )
    share = _falling(steepness[:, None] * (loss - midpoint[:, None]))
    solved, misfit = project(np.stack([1.0 - share, share], axis=1), accuracy, floor=0.0)
    return best(np.column_stack([solved, midpoint, steepness]), misfit)


def _falling(x: Array) -> Array:
    """1 / (1 + exp(x)), without overflow; analytic."""
    decayed = np.exp(np.where(x.real > 0, -x, x))
    return np.where(x.real > 0, decayed, 1.0) / (1.0 + decayed)


DOWNSTREAM_ERROR = Law(
    name="downstream_error",
    columns=("loss",),
    targets=("error",),
    target_units=("fraction of answers",),
    parameters=ERROR,
    form=downstream_error,
    starts=error_starts,
    reference={},
    residual="linear",
    loss="squares",
    paper="https://arxiv.org/abs/2403.08540",
    schedule="any: the loss says how far a run came",
)
DOWNSTREAM_ACCURACY = Law(
    name="downstream_accuracy",
    columns=("loss",),
    targets=("accuracy",),
    target_units=("fraction of answers",),
    parameters=ACCURACY,
    form=downstream_accuracy,
    starts=accuracy_starts,
    reference={},
    residual="linear",
    loss="squares",
    paper="https://arxiv.org/abs/2412.04403",
    schedule="any: the loss says how far a run came",
)
