"""The best learning rate and batch as power laws of the training compute.

    lr* = lr_coefficient C^lr_exponent_flops,   B* = batch_coefficient C^batch_exponent_flops,   C = 6 N D

DeepSeek-AI 2024, equation 1 (https://arxiv.org/abs/2401.02954), whose C counts attention beside 6 N D: a tenth of it or
less where a sequence is shorter than a few widths, which moves lr* by 1 % and B* by 3 %.
"""

from __future__ import annotations

import numpy as np

from lbscale.laws.form import Array, Columns, Law, Parameter
from lbscale.laws.step_law import HELD, one_optimum_a_cell, slopes

LOG_SIX = float(np.log(6.0))


def log_optimum(theta: Array, logs: Columns) -> dict[str, Array]:
    """Logs of the best learning rate and of the best batch, each (..., n), for theta (..., 4)."""
    lr, lr_by_c, batch, batch_by_c = (theta[..., j, None] for j in range(4))
    log_c = LOG_SIX + logs["n_params"] + logs["n_tokens"]
    return {"learning_rate": np.log(lr) + lr_by_c * log_c, "batch_size_tokens": np.log(batch) + batch_by_c * log_c}


def optimum(theta: Array, logs: Columns) -> Array:
    """Best learning rates, then best batches in tokens (..., 2 n)."""
    best = log_optimum(theta, logs)
    return np.exp(np.concatenate([best["learning_rate"], best["batch_size_tokens"]], axis=-1))


def inside(theta: Array, logs: Columns) -> dict[str, Array]:
    """Zeros: the cells that the law is fitted to have their optimum within what was tried."""
    return {name: 0.0 * values for name, values in log_optimum(theta, logs).items()}


def starts(logs: Columns, target: Array) -> Array:
    """The least-squares power laws (1, 4)."""
    log_c = LOG_SIX + logs["n_params"] + logs["n_tokens"]
    lr, batch = (slopes([log_c], values) for values in np.log(target).reshape(2, -1))
    return np.array([[np.exp(lr[0]), lr[1], np.exp(batch[0]), batch[1]]])


BY_FLOPS = Law(
    name="by_flops",
    columns=("n_params", "n_tokens"),
    parameters=(
        Parameter("lr_coefficient", "1", 1e-12, 1e6, "best learning rate at one FLOP", "log"),
        Parameter("lr_exponent_flops", "1", -3.0, 2.0, "exponent of compute in the best learning rate"),
        Parameter("batch_coefficient", "tokens", 1e-12, 1e12, "best batch at one FLOP", "log"),
        Parameter("batch_exponent_flops", "1", -2.0, 3.0, "exponent of compute in the best batch"),
    ),
    form=optimum,
    starts=starts,
    targets=("learning_rate", "batch_size_tokens"),
    target_units=("1", "tokens"),
    reduce=one_optimum_a_cell,
    reference={},
    tuned=("learning_rate", "batch_size_tokens"),
    tuning=log_optimum,
    offsets=inside,
    paper="https://arxiv.org/abs/2401.02954",
    schedule="the one schedule of the table's runs; the paper's falls in three steps",
    params_convention="non_embedding",
    valid=f"sizes near the optimum of each budget; held constant: {HELD}",
    residual="log",
    loss="squares",
)
