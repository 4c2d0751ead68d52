"""The loss along a run of any size at any batch: L(N, S, B) after S steps at a batch of B tokens.

    L = A / N^alpha_N + C / S_min^alpha_S
    S_min = S / (1 + B_crit(L) / B),   B_crit(L) = B_3 (3 / L)^(1 / alpha_B)

Su et al. 2024, Unraveling the Mystery of Scaling Laws (https://arxiv.org/abs/2403.06563), after Kaplan et al. 2020
(https://arxiv.org/abs/2001.08361): A = N_c^alpha_N, C = S_c^alpha_S, and B_* = B_3 3^(1 / alpha_B), the critical batch
at a loss of one nat, which runs of language models are far from, so that it is stated at three. The critical batch
follows the loss along the run, so the loss is the root of an equation. There is no irreducible loss.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from lbscale.errors import check
from lbscale.laws.form import Array, Columns, Law, Parameter, positive
from lbscale.laws.prediction import around
from lbscale.laws.starts import grid, project, thin

if TYPE_CHECKING:
    from lbscale.laws.result import Fit

STATED_AT = 3.0  # nats per token
TOLERANCE = 1e-7  # Newton squares it in the last step
MAX_ITERATIONS = 60
PARAMETERS = (
    Parameter("A", "nats per token x params^alpha_N", 1e-6, 1e3, "loss that a run without end leaves", "log",
              (("n_params", "alpha_N", -1),)),
    Parameter("alpha_N", "1", 1e-3, 3.0, "exponent of params"),
    Parameter("C", "nats per token x steps^alpha_S", 1e-6, 1e3, "coefficient of the steps term", "log",
              (("steps", "alpha_S", -1),)),
    Parameter("alpha_S", "1", 1e-3, 3.0, "exponent of the fewest steps"),
    Parameter("B_3", "tokens", 1e-3, 1e15, "critical batch at a loss of 3 nats per token", "log"),
    Parameter("alpha_B", "1", 1e-2, 5.0, "the critical batch goes as loss^(-1/alpha_B)", "log"),
)  # fmt: skip


def loss_of(theta: Array, logs: Columns) -> Array:
    """Loss (..., n) for theta (..., 6) and logs of n_params, steps and batch_size_tokens."""
    return np.exp(_solve(theta, logs)[0])


def loss_jacobian(theta: Array, logs: Columns) -> tuple[Array, Array]:
    """Loss (..., n) and its derivative by theta (..., 6, n), by the implicit function theorem."""
    log_loss, share, excess, bend = _solve(theta, logs)
    A, _, C, alpha_s, b_3, alpha_b = (theta[..., j, None] for j in range(6))
    by_batch = share * alpha_s * bend
    parts = [
        (1.0 - share) / A,
        -(1.0 - share) * logs["n_params"],
        share / C,
        share * (excess - logs["steps"]),
        by_batch / b_3,
        by_batch * (log_loss - np.log(STATED_AT)) / alpha_b**2,
    ]
    loss = np.exp(log_loss)
    return loss, np.stack(parts, axis=-2) * (loss / (1.0 + by_batch / alpha_b))[..., None, :]


def _solve(theta: Array, logs: Columns) -> tuple[Array, Array, Array, Array]:
    """ln L, the share of the steps term in L, ln(1 + B_crit / B), and B_crit / (B + B_crit), each (..., n).

    Newton's method on x - G(x) with x = ln L, where G = ln(A term + C term at the B_crit of x) is convex and falls
    with x: from x at an endless batch, which lies below the root, it rises to the root and never passes it. The step
    after the one that is within `TOLERANCE` is exact to rounding, and so is its imaginary part for complex theta.
    """
    A, alpha_n, C, alpha_s, b_3, alpha_b = (theta[..., j, None] for j in range(6))
    floor = np.log(A) - alpha_n * logs["n_params"]
    log_steps_term = np.log(C) - alpha_s * logs["steps"]
    log_ratio = np.log(b_3) + np.log(STATED_AT) / alpha_b - logs["batch_size_tokens"]
    x = _log_sum(floor, log_steps_term)
    resting = False
    for _ in range(MAX_ITERATIONS):
        ratio = log_ratio - x / alpha_b
        excess = _log_sum(0.0 * ratio, ratio)
        total = _log_sum(floor, log_steps_term + alpha_s * excess)
        share = np.exp(log_steps_term + alpha_s * excess - total)
        bend = np.exp(ratio - excess)
        step = (total - x) / (1.0 + share * alpha_s * bend / alpha_b)
        x = x + step
        if resting:
            break
        resting = bool((np.abs(step.real) <= TOLERANCE * (1.0 + np.abs(x.real))).all())
    return x, share, excess, bend


def _log_sum(a: Array, b: Array) -> Array:
    """ln(e^a + e^b) of real or complex arrays, ordered by their real parts."""
    first = a.real > b.real
    return np.where(first, a, b) + np.log1p(np.exp(np.where(first, b - a, a - b)))


def trajectory_starts(logs: Columns, loss: Array) -> Array:
    """The best starts (s, 6) of a grid over exponents and critical batch: with the measured loss in B_crit, the loss
    is linear in both coefficients."""
    logs, loss = thin(logs, loss)
    middle = float(np.median(logs["batch_size_tokens"]))
    alpha_n, alpha_s, alpha_b, log_b = grid(
        (0.05, 0.12, 0.3, 0.6), (0.1, 0.25, 0.5, 0.9), (0.1, 0.2, 0.4, 1.0), (-5.0, -2.5, 0.0, 2.5, 5.0)
    )
    log_ratio = middle + log_b[:, None] - (np.log(loss) - np.log(STATED_AT)) / alpha_b[:, None]
    fewest = logs["steps"] - np.logaddexp(0.0, log_ratio - logs["batch_size_tokens"])
    terms = np.stack([np.exp(-alpha_n[:, None] * logs["n_params"]), np.exp(-alpha_s[:, None] * fewest)], axis=1)
    coefficients, misfit = project(terms, loss, 1.0 / loss)
    A, C = (np.clip(coefficients[:, j], 1e-5, 1e2) for j in range(2))
    order = np.argsort(misfit, kind="stable")[:6]
    return np.column_stack([A, alpha_n, C, alpha_s, np.exp(middle + log_b), alpha_b])[order]


def critical_sizes(theta: Array) -> dict[str, Array]:
    """ln N_c, ln S_c and ln B_* of the published form, from coefficients stated at N = 1 and S = 1."""
    A, alpha_n, C, alpha_s, b_3, alpha_b = (theta[..., j] for j in range(6))
    return {
        "log_n_params_critical": np.log(A) / alpha_n,
        "log_steps_critical": np.log(C) / alpha_s,
        "log_batch_star": np.log(b_3) + np.log(STATED_AT) / alpha_b,
    }


def minimum_loss(theta: Array, n_params: float) -> Array:
    """Loss in nats per token (...,) that a run without end of `n_params` leaves."""
    return theta[..., 0] * np.exp(-theta[..., 1] * np.log(n_params))


def critical_batch(theta: Array, loss: float) -> Array:
    """Critical batch in tokens (...,) at `loss`."""
    return theta[..., 4] * np.exp((np.log(STATED_AT) - np.log(loss)) / theta[..., 5])


def fewest_steps(theta: Array, n_params: float, loss: float) -> Array:
    """Steps (...,) to `loss` at an endless batch; NaN where that is below the minimum loss."""
    rest = loss - minimum_loss(theta, n_params)
    rest = np.where(rest.real > 0.0, rest, np.nan)
    return np.exp((np.log(theta[..., 2]) - np.log(rest)) / theta[..., 3])


def trajectory_predictions(
    fitted: Fit, *, n_params: float, loss: float, batch_size_tokens: float
) -> dict[str, dict[str, Any]]:
    """The paper's predictions for a model of `n_params`: quantity -> {"value", "interval" of 95 %}.

    "minimum_loss"; "critical_batch_size_tokens" at `loss`; "fewest_steps" and "fewest_tokens" to `loss`; "steps" and
    "tokens" to it at `batch_size_tokens`. The whole trajectory is `fitted.predict` at each number of steps. Raises
    InputError for values that are not positive, and for a loss that the law says is out of reach.
    """
    check(fitted.law.name == TRAJECTORY.name, "law", fitted.law.name, TRAJECTORY.name)
    given = {"n_params": n_params, "loss": loss, "batch_size_tokens": batch_size_tokens}
    n_params, loss, batch = (positive(name, value) for name, value in given.items())
    least = float(minimum_loss(fitted.theta, n_params))
    check(loss > least, "loss", loss, f"more than {least:.6g} nats per token, which {n_params:.6g} params never reach")

    def fewest_tokens(theta: Array) -> Array:
        return fewest_steps(theta, n_params, loss) * critical_batch(theta, loss)

    quantities: dict[str, Callable[[Array], Array]] = {
        "minimum_loss": lambda theta: minimum_loss(theta, n_params),
        "critical_batch_size_tokens": lambda theta: critical_batch(theta, loss),
        "fewest_steps": lambda theta: fewest_steps(theta, n_params, loss),
        "fewest_tokens": fewest_tokens,
        "steps": lambda theta: fewest_steps(theta, n_params, loss) + fewest_tokens(theta) / batch,
        "tokens": lambda theta: fewest_steps(theta, n_params, loss) * batch + fewest_tokens(theta),
    }
    return {name: _with_interval(fitted, quantity) for name, quantity in quantities.items()}


def _with_interval(fitted: Fit, quantity: Callable[[Array], Array]) -> dict[str, Any]:
    value = float(quantity(fitted.theta))
    return {"value": value, "interval": around(value, fitted.uncertainty(lambda theta: np.log(quantity(theta))))}


TRAJECTORY = Law(
    name="trajectory",
    columns=("n_params", "steps", "batch_size_tokens"),
    parameters=PARAMETERS,
    form=loss_of,
    jacobian=loss_jacobian,
    starts=trajectory_starts,
    derived=critical_sizes,
    reference={},
    paper="https://arxiv.org/abs/2403.06563",
    schedule="one schedule for all runs, losses read along them after warm-up",
    params_convention="non_embedding",
    valid="data that do not repeat; learning rate tuned",
)
