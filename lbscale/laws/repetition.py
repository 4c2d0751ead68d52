"""Loss of data-constrained runs: repeated tokens and excess params count for less and less.

    L = E + A / N'^alpha + B / D'^beta
    D' = U_D (1 + R_D* (1 - exp(-R_D / R_D*))),   U_D = D / epochs,             R_D = epochs - 1
    N' = U_N (1 + R_N* (1 - exp(-R_N / R_N*))),   U_N = min(N, N_opt(U_D)),     R_N = N / U_N - 1

Muennighoff et al. 2023, equations 5, 6 and 18 (https://arxiv.org/abs/2305.16264). N_opt(D) is the size whose optimal
budget of tokens is D where FLOPs are 6ND: alpha A / N_opt^alpha = beta B / D^beta. R_D* is the number of repeats
that all further ones together are worth. The paper holds alpha = beta; here they are free. A run that sees less
than all of its tokens once repeats none.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from lbscale.errors import check
from lbscale.laws.chinchilla import SURFACE, surface_starts
from lbscale.laws.form import Array, Columns, Law, Parameter
from lbscale.laws.starts import best, thin

UNIQUE = "n_tokens_unique"
LARGEST_GAP = 300.0  # of ln N above ln U_N: the exponential of more would overflow
PARAMETERS = (
    *SURFACE[:3],
    Parameter("alpha", "1", 1e-2, 3.0, "exponent of effective params"),
    Parameter("beta", "1", 1e-2, 3.0, "exponent of effective tokens"),
    Parameter("R_D_star", "repeats", 1e-2, 1e4, "fresh passes that any number of repeats is worth", "log"),
    Parameter("R_N_star", "1", 1e-2, 1e4, "sizes U_N that any excess of params is worth", "log"),
)


def repetition(theta: Array, logs: Columns) -> Array:
    """Loss (..., n) for theta (..., 7) and logs of n_params, n_tokens and epochs."""
    E, A, B, alpha, beta = (theta[..., j, None] for j in range(5))
    log_n, log_d = effective(theta, logs)
    return E + A * np.exp(-alpha * log_n) + B * np.exp(-beta * log_d)


def effective(theta: Array, logs: Columns) -> tuple[Array, Array]:
    """Logs of effective params N' and tokens D', each (..., n), relative to the references of `logs`."""
    log_n, log_u, repeats = _counted(logs)
    log_base, excess = _base_params(theta, log_n, log_u)
    tokens_star, params_star = theta[..., 5, None], theta[..., 6, None]
    return log_base + np.log(_worth(excess, params_star)), log_u + np.log(_worth(repeats, tokens_star))


def repetition_jacobian(theta: Array, logs: Columns) -> tuple[Array, Array]:
    """Loss (..., n) and its derivative by theta (..., 7, n)."""
    E, A, B, alpha, beta, tokens_star, params_star = (theta[..., j, None] for j in range(7))
    log_n, log_u, repeats = _counted(logs)
    log_base, excess = _base_params(theta, log_n, log_u)
    worth_n, worth_d = _worth(excess, params_star), _worth(repeats, tokens_star)
    log_params, log_tokens = log_base + np.log(worth_n), log_u + np.log(worth_d)
    by_a, by_b = np.exp(-alpha * log_params), np.exp(-beta * log_tokens)
    slope_n, slope_d = -alpha * A * by_a, -beta * B * by_b  # by ln N' and ln D'
    # ln N' by ln U_N, whose own derivatives follow; zero where N is not in excess, since U_N is then N.
    moved = np.where(excess > 0, 1.0 - (1.0 + excess) * np.exp(-excess / params_star) / worth_n, 0.0)
    by_base = slope_n * moved
    loss = E + A * by_a + B * by_b
    columns = [
        np.ones_like(loss),
        by_a + by_base / (alpha * A),
        by_b - by_base / (alpha * B),
        -log_params * A * by_a + by_base * (1.0 / alpha - log_base) / alpha,
        -log_tokens * B * by_b + by_base * (log_u - 1.0 / beta) / alpha,
        slope_d * _worth_by_star(repeats, tokens_star) / worth_d,
        slope_n * _worth_by_star(excess, params_star) / worth_n,
    ]
    return loss, np.stack(columns, axis=-2)


def repetition_starts(logs: Columns, loss: Array) -> Array:
    """Starts (s, 7): surfaces through the runs of at most one epoch, if enough, and four values of each star."""
    logs, loss = thin(logs, loss)
    once = logs["epochs"] < np.log(1.05)
    if once.sum() < 8:
        once = np.ones(loss.size, bool)
    surfaces = surface_starts({name: values[once] for name, values in logs.items()}, loss[once])[:4]
    stars = np.array([(d, n) for d in (1.0, 5.0, 15.0, 60.0) for n in (1.0, 5.0, 25.0)])
    starts = np.hstack([np.repeat(surfaces, len(stars), axis=0), np.tile(stars, (len(surfaces), 1))])
    starts[:, 3:5] = np.maximum(starts[:, 3:5], 0.02)
    return best(starts, np.square(np.log(repetition(starts, logs) / loss)).sum(axis=1))


def count_epochs(frame: pd.DataFrame) -> pd.DataFrame:
    """The frame with `epochs`, made of n_tokens and n_tokens_unique where it is missing; InputError without both."""
    if "epochs" in frame:
        return frame
    check(UNIQUE in frame, "table", "epochs", f"the table has neither epochs nor {UNIQUE} (rename with --map)")
    return frame.assign(epochs=pd.to_numeric(frame["n_tokens"]) / pd.to_numeric(frame[UNIQUE]))


def _counted(logs: Columns) -> tuple[Array, Array, Array]:
    """Logs of params and of unique tokens, and repeats, each (n,)."""
    log_epochs = np.maximum(logs["epochs"], 0.0)
    return logs["n_params"], logs["n_tokens"] - log_epochs, np.expm1(log_epochs)


def _base_params(theta: Array, log_n: Array, log_u: Array) -> tuple[Array, Array]:
    """ln U_N and R_N, each (..., n)."""
    A, B, alpha, beta = (theta[..., j, None] for j in range(1, 5))
    log_optimum = (np.log(alpha * A / (beta * B)) + beta * log_u) / alpha
    log_base = np.where(log_optimum.real < log_n, log_optimum, log_n)
    gap = log_n - log_base
    return log_base, np.exp(np.where(gap.real < LARGEST_GAP, gap, LARGEST_GAP)) - 1.0


def _worth(repeats: Array, star: Array) -> Array:
    """Fresh passes that one pass and its repeats are worth."""
    return 1.0 + star * (1.0 - np.exp(-repeats / star))


def _worth_by_star(repeats: Array, star: Array) -> Array:
    """The derivative of `_worth` by star."""
    decayed = np.exp(-repeats / star)
    return 1.0 - decayed - decayed * repeats / star


REPETITION = Law(
    name="repetition",
    columns=("n_params", "n_tokens", "epochs"),
    parameters=PARAMETERS,
    form=repetition,
    jacobian=repetition_jacobian,
    starts=repetition_starts,
    reduce=count_epochs,
    reference={},
    paper="https://arxiv.org/abs/2305.16264",
    schedule="cosine decayed over the run's own token budget, repeats included",
    params_convention="total",
)
