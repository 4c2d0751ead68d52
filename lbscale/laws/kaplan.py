"""The surface L(N, D) = ((N_c/N)^(alpha_N/alpha_D) + D_c/D)^alpha_D.

Kaplan et al. 2020, equation 1.5 (https://arxiv.org/abs/2001.08361). It has no irreducible loss. N counts
non-embedding params. It is fitted through A = N_c^alpha_N and B = D_c^alpha_D, the losses in nats per token that
either would leave alone at N = 1 or D = 1; N_c and D_c are derived.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from lbscale.laws.form import Array, Columns, Law, Parameter
from lbscale.laws.skaling import entropy, join
from lbscale.laws.starts import EXPONENTS, best, grid, project, thin

PARAMETERS = (
    Parameter("A", "nats per token x params^alpha_N", 1e-6, 1e3, "loss that the params alone would leave", "log",
              (("n_params", "alpha_N", -1),)),
    Parameter("B", "nats per token x tokens^alpha_D", 1e-6, 1e3, "loss that the tokens alone would leave", "log",
              (("n_tokens", "alpha_D", -1),)),
    Parameter("alpha_N", "1", 1e-3, 3.0, "exponent of params"),
    Parameter("alpha_D", "1", 1e-3, 3.0, "exponent of tokens, and sharpness of the joint"),
)  # fmt: skip


def kaplan(theta: Array, logs: Columns) -> Array:
    """Loss (..., n) for theta (..., 4) = A, B, alpha_N, alpha_D and logs of n_params and n_tokens."""
    A, B, alpha_n, alpha_d = (theta[..., j, None] for j in range(4))
    return join(np.log(A) - alpha_n * logs["n_params"], np.log(B) - alpha_d * logs["n_tokens"], alpha_d)[0]


def kaplan_jacobian(theta: Array, logs: Columns) -> tuple[Array, Array]:
    """Loss (..., n) and its derivative by theta (..., 4, n)."""
    A, B, alpha_n, alpha_d = (theta[..., j, None] for j in range(4))
    log_n, log_d = logs["n_params"], logs["n_tokens"]
    loss, share = join(np.log(A) - alpha_n * log_n, np.log(B) - alpha_d * log_d, alpha_d)
    by_p, by_q = loss * share, loss * (1.0 - share)
    return loss, np.stack([by_p / A, by_q / B, -log_n * by_p, -log_d * by_q + loss * entropy(share)], axis=-2)


def kaplan_starts(logs: Columns, loss: Array) -> Array:
    """The best starts (s, 4) of a grid over both exponents: L^(1/alpha_D) is linear in the rest."""
    logs, loss = thin(logs, loss)
    alpha_n, alpha_d = grid((0.02, *EXPONENTS), (0.02, *EXPONENTS))
    log_terms = np.stack([-alpha_n[:, None] * logs["n_params"], -alpha_d[:, None] * logs["n_tokens"]], axis=1)
    terms = np.exp((log_terms - np.log(loss)) / alpha_d[:, None, None])
    coefficients, misfit = project(terms, np.ones(loss.size), np.repeat(alpha_d[:, None], loss.size, axis=1))
    with np.errstate(over="ignore"):
        A, B = (np.clip(coefficients[:, j] ** alpha_d, 1e-6, 1e3) for j in range(2))
    return best(np.column_stack([A, B, alpha_n, alpha_d]), misfit)


def critical_sizes(theta: Array) -> dict[str, NDArray[Any]]:
    """ln N_c and ln D_c of the published form, from coefficients stated at N = 1 and D = 1."""
    A, B, alpha_n, alpha_d = (theta[..., j] for j in range(4))
    return {"log_n_params_critical": np.log(A) / alpha_n, "log_n_tokens_critical": np.log(B) / alpha_d}


KAPLAN = Law(
    name="kaplan",
    columns=("n_params", "n_tokens"),
    parameters=PARAMETERS,
    form=kaplan,
    jacobian=kaplan_jacobian,
    starts=kaplan_starts,
    derived=critical_sizes,
    reference={},
    paper="https://arxiv.org/abs/2001.08361",
    schedule="early stopping at the best validation loss; one schedule for all runs, cosine after 3,000 warm-up steps",
    params_convention="non_embedding",
)
