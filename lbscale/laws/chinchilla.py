"""The loss surface L(N, D) = E + A / N^alpha + B / D^beta.

Hoffmann et al. 2022, approach 3, equation 2 (https://arxiv.org/abs/2203.15556); replicated, with the optimum
that a search stopped early had missed, by Besiroglu et al. 2024 (https://arxiv.org/abs/2404.10102).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from lbscale.laws.form import Array, Columns, Law, Parameter

# Coefficients are bounded at the centre of the data, where they are a part of the loss there.
SURFACE = (
    Parameter("E", "nats per token", 0.0, None, "irreducible loss"),
    Parameter("A", "nats per token x params^alpha", 1e-6, 1e3, "coefficient of the params term", "log",
              (("n_params", "alpha", -1),)),
    Parameter("B", "nats per token x tokens^beta", 1e-6, 1e3, "coefficient of the tokens term", "log",
              (("n_tokens", "beta", -1),)),
    Parameter("alpha", "1", 0.0, 3.0, "exponent of params"),
    Parameter("beta", "1", 0.0, 3.0, "exponent of tokens"),
)  # fmt: skip
EXPONENT_GRID = (0.05, 0.1, 0.15, 0.2, 0.27, 0.35, 0.45, 0.6, 0.8, 1.05, 1.4, 1.9)
N_STARTS = 6


def surface(theta: Array, logs: Columns) -> Array:
    """Loss (..., n) for theta (..., 5) = E, A, B, alpha, beta and logs of n_params and n_tokens."""
    E, A, B, alpha, beta = (theta[..., j, None] for j in range(5))
    return E + A * np.exp(-alpha * logs["n_params"]) + B * np.exp(-beta * logs["n_tokens"])


def surface_jacobian(theta: Array, logs: Columns) -> tuple[Array, Array]:
    """Loss (..., n) and its derivative by E, A, B, alpha, beta (..., 5, n)."""
    E, A, B, alpha, beta = (theta[..., j, None] for j in range(5))
    log_n, log_d = logs["n_params"], logs["n_tokens"]
    by_A, by_B = np.exp(-alpha * log_n), np.exp(-beta * log_d)
    of_params, of_tokens = A * by_A, B * by_B
    loss = E + of_params + of_tokens
    return loss, np.stack([np.ones_like(loss), by_A, by_B, -log_n * of_params, -log_d * of_tokens], axis=-2)


def surface_starts(logs: Columns, loss: Array, exponents: Sequence[float] = EXPONENT_GRID) -> Array:
    """The best starts (s, 5) of a grid over both exponents, the linear part solved at each point of it.

    Residuals are taken relative to the loss, so that the linear solve agrees with logarithmic residuals near
    the data. Coefficients below zero are refused by dropping their term.
    """
    alpha, beta = (grid.ravel() for grid in np.meshgrid(exponents, exponents))
    terms = np.stack(
        [np.ones((alpha.size, loss.size)), np.exp(-alpha[:, None] * logs["n_params"]),
         np.exp(-beta[:, None] * logs["n_tokens"])], axis=-1) / loss[:, None]  # fmt: skip
    gram, moment = terms.swapaxes(1, 2) @ terms, terms.sum(axis=1)
    floor = np.array([0.0, 1e-3, 1e-3])
    found = []
    for kept in ((0, 1, 2), (1, 2)):
        part = list(kept)
        ridge = 1e-10 * gram[:, part, part][:, None, :] * np.eye(len(part))
        coefficients = np.zeros((alpha.size, 3))
        solved = np.linalg.solve(gram[:, part][:, :, part] + ridge, moment[:, part, None])
        coefficients[:, part] = solved[..., 0]
        coefficients = np.maximum(coefficients, floor)
        misfit = np.square(np.einsum("gnt,gt->gn", terms, coefficients) - 1.0).sum(axis=1)
        found.append((misfit, np.column_stack([coefficients, alpha, beta])))
    misfits = np.concatenate([misfit for misfit, _ in found])
    starts = np.concatenate([start for _, start in found])
    return starts[np.argsort(misfits, kind="stable")[:N_STARTS]]


def compute_optimal(theta: Array) -> dict[str, Array]:
    """Exponents of the compute-optimal N ~ C^a and D ~ C^b (Hoffmann et al. 2022, equation 4)."""
    alpha, beta = theta[..., 3], theta[..., 4]
    total = np.maximum(alpha + beta, 1e-12)
    return {"exponent_n_params_of_flops": beta / total, "exponent_n_tokens_of_flops": alpha / total}


CHINCHILLA = Law(
    name="chinchilla",
    columns=("n_params", "n_tokens"),
    parameters=SURFACE,
    form=surface,
    jacobian=surface_jacobian,
    starts=surface_starts,
    derived=compute_optimal,
    reference={},
    paper="https://arxiv.org/abs/2203.15556",
    schedule="learning rate decayed over the run's own token budget",
    params_convention="total",
)
