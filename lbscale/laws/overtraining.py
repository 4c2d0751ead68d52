"""Loss when over-trained by a token multiplier M = D/N: L(C, M) = E + (a M^eta + b M^-eta) C^-eta.

Gadre et al. 2024, equation 4 (https://arxiv.org/abs/2403.08540). With C = 6ND the bracket is a term of the params
and one of the tokens of equal exponent 2 eta: M^eta C^-eta = (6 N^2)^-eta and M^-eta C^-eta = (6 D^2)^-eta.
N counts total params. The fit's defaults are the authors': least squares of the loss itself.

The paper's predictions on RedPajama (C4 eval loss) come from five small runs: the four models below a billion params
at M = 20, and the smallest (11 M) at M = 320. With these the relative error is 0.71 % for 1.4 B params at M = 640 and
0.73 % for 6.9 B at M = 20.
"""

from __future__ import annotations

import numpy as np

from lbscale.laws.form import Array, Columns, Law, Parameter
from lbscale.laws.starts import best, project, thin

LOG_6 = float(np.log(6.0))
PARAMETERS = (
    Parameter("E", "nats per token", 0.0, None, "irreducible loss"),
    Parameter("a", "nats per token x FLOPs^eta", 1e-6, 1e3, "coefficient of the params term, which M^eta weighs", "log",
              (("n_params", "eta", -2),)),
    Parameter("b", "nats per token x FLOPs^eta", 1e-6, 1e3, "coefficient of the tokens term, which M^-eta weighs",
              "log", (("n_tokens", "eta", -2),)),
    Parameter("eta", "1", 1e-3, 1.5, "exponent of FLOPs at any fixed token multiplier"),
)  # fmt: skip


def overtraining(theta: Array, logs: Columns) -> Array:
    """Loss (..., n) for theta (..., 4) = E, a, b, eta and logs of n_params and n_tokens."""
    E, a, b, eta = (theta[..., j, None] for j in range(4))
    return E + a * np.exp(-eta * (LOG_6 + 2 * logs["n_params"])) + b * np.exp(-eta * (LOG_6 + 2 * logs["n_tokens"]))


def overtraining_jacobian(theta: Array, logs: Columns) -> tuple[Array, Array]:
    """Loss (..., n) and its derivative by theta (..., 4, n)."""
    E, a, b, eta = (theta[..., j, None] for j in range(4))
    log_n, log_d = LOG_6 + 2 * logs["n_params"], LOG_6 + 2 * logs["n_tokens"]
    by_a, by_b = np.exp(-eta * log_n), np.exp(-eta * log_d)
    loss = E + a * by_a + b * by_b
    return loss, np.stack([np.ones_like(loss), by_a, by_b, -log_n * a * by_a - log_d * b * by_b], axis=-2)


def overtraining_starts(logs: Columns, loss: Array) -> Array:
    """The best starts (s, 4) of a grid over eta, the rest solved."""
    logs, loss = thin(logs, loss)
    eta = np.geomspace(0.01, 1.0, 40)
    log_terms = np.stack([LOG_6 + 2 * logs[name] for name in ("n_params", "n_tokens")])
    powers = np.exp(-eta[:, None, None] * log_terms)
    terms = np.concatenate([np.ones((eta.size, 1, loss.size)), powers], axis=1)
    coefficients, misfit = project(terms, loss, 1.0 / loss, floor=1e-6)
    return best(np.column_stack([coefficients, eta]), misfit)


OVERTRAINING = Law(
    name="overtraining",
    columns=("n_params", "n_tokens"),
    parameters=PARAMETERS,
    form=overtraining,
    jacobian=overtraining_jacobian,
    starts=overtraining_starts,
    reference={},
    residual="linear",
    loss="squares",
    paper="https://arxiv.org/abs/2403.08540",
    schedule="cosine to near zero over the run's own token budget",
    params_convention="total",
)
