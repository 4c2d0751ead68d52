"""The surface L(N, D) = E + (a/N^p + b/D^q)^kappa: two power laws joined more or less sharply.

Busbridge et al. 2025 (https://arxiv.org/abs/2502.08606) fit it to supervised losses. It contains the laws of Hoffmann
et al. (kappa = 1, https://arxiv.org/abs/2203.15556) and of Kaplan et al. (E = 0 and q = 1,
https://arxiv.org/abs/2001.08361). It is fitted as

    L = E + ((A N^-alpha)^(1/kappa) + (B D^-beta)^(1/kappa))^kappa,

so that A, B, alpha and beta mean what they mean in Hoffmann's law, each alone in charge where the other term is
small: p = alpha / kappa, q = beta / kappa, a = A^(1/kappa), b = B^(1/kappa). As kappa falls the larger term rules.
"""

from __future__ import annotations

import numpy as np

from lbscale.laws.chinchilla import SURFACE
from lbscale.laws.form import Array, Columns, Law, Parameter
from lbscale.laws.starts import EXPONENTS, best, grid, project, thin

JOINED = (
    *SURFACE,
    Parameter("kappa", "1", 0.02, 20.0, "sharpness of the joint: 1 adds the terms, 0 takes the larger", "log"),
)


def join(log_p: Array, log_q: Array, kappa: Array) -> tuple[Array, Array]:
    """(P^(1/kappa) + Q^(1/kappa))^kappa for ln P and ln Q, and the share of P in the sum."""
    first = log_p.real > log_q.real
    larger, smaller = np.where(first, log_p, log_q), np.where(first, log_q, log_p)
    ratio = np.exp((smaller - larger) / kappa)
    share = 1.0 / (1.0 + ratio)
    return np.exp(larger + kappa * np.log(1.0 + ratio)), np.where(first, share, ratio * share)


def skaling(theta: Array, logs: Columns) -> Array:
    """Loss (..., n) for theta (..., 6) = E, A, B, alpha, beta, kappa and logs of n_params and n_tokens."""
    E, A, B, alpha, beta, kappa = (theta[..., j, None] for j in range(6))
    return E + join(np.log(A) - alpha * logs["n_params"], np.log(B) - beta * logs["n_tokens"], kappa)[0]


def skaling_jacobian(theta: Array, logs: Columns) -> tuple[Array, Array]:
    """Loss (..., n) and its derivative by theta (..., 6, n)."""
    E, A, B, alpha, beta, kappa = (theta[..., j, None] for j in range(6))
    log_n, log_d = logs["n_params"], logs["n_tokens"]
    excess, share = join(np.log(A) - alpha * log_n, np.log(B) - beta * log_d, kappa)
    by_p, by_q = excess * share, excess * (1.0 - share)
    columns = [np.ones_like(excess), by_p / A, by_q / B, -log_n * by_p, -log_d * by_q, excess * entropy(share)]
    return E + excess, np.stack(columns, axis=-2)


def entropy(share: Array) -> Array:
    """Entropy in nats of (share, 1 - share): the derivative of the joined terms' logarithm by kappa."""
    rest = 1.0 - share
    return -share * np.log(np.maximum(share, 1e-300)) - rest * np.log(np.maximum(rest, 1e-300))


def skaling_starts(logs: Columns, loss: Array) -> Array:
    """The best starts (s, 6) of a grid over E, kappa and both exponents: (L - E)^(1/kappa) is linear in the rest."""
    logs, loss = thin(logs, loss)
    E, kappa, alpha, beta = grid((0.0, 0.5, 0.8, 0.95), (0.2, 0.5, 1.0, 2.0), EXPONENTS, EXPONENTS)
    E = E * loss.min()
    excess = loss - E[:, None]
    log_terms = np.stack([-alpha[:, None] * logs["n_params"], -beta[:, None] * logs["n_tokens"]], axis=1)
    terms = np.exp((log_terms - np.log(excess)[:, None]) / kappa[:, None, None])
    # A small relative error of the bracket moves ln L by kappa (L - E) / L of it.
    coefficients, misfit = project(terms, np.ones_like(excess), kappa[:, None] * excess / loss)
    with np.errstate(over="ignore"):
        A, B = (np.clip(coefficients[:, j] ** kappa, 1e-6, 1e3) for j in range(2))
    return best(np.column_stack([E, A, B, alpha, beta, kappa]), misfit)


def bracket(theta: Array) -> dict[str, Array]:
    """The exponents p and q inside the bracket, and those of the compute-optimal sizes on the surface's flanks."""
    alpha, beta, kappa = theta[..., 3], theta[..., 4], theta[..., 5]
    total = np.where((alpha + beta).real > 0, alpha + beta, 1.0)
    return {
        "bracket_exponent_n_params": alpha / kappa,
        "bracket_exponent_n_tokens": beta / kappa,
        "exponent_n_params_of_flops": beta / total,
        "exponent_n_tokens_of_flops": alpha / total,
    }


SKALING = Law(
    name="skaling",
    columns=("n_params", "n_tokens"),
    parameters=JOINED,
    form=skaling,
    jacobian=skaling_jacobian,
    starts=skaling_starts,
    derived=bracket,
    reference={},
    paper="https://arxiv.org/abs/2502.08606",
    schedule="learning rate decayed over the run's own token budget",
)
