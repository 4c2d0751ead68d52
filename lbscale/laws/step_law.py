"""The best learning rate and batch as power laws of params and tokens, from raw tuning grids.

    lr*(N, D) = lr_coefficient N^lr_exponent_n_params D^lr_exponent_n_tokens
    B*(D)     = batch_coefficient D^batch_exponent_n_tokens                        (in tokens)

Li et al. 2025, Step Law (https://arxiv.org/abs/2503.04715). The law is fitted to one optimum a cell, each weighted
by its uncertainty, and judged by the loss it gives up (`loss_given_up`). The learning rate is that at the best
batch, which grows with the tokens: most of lr's exponent of tokens is the batch's (`learning_rate.AT_BATCH`).

`upper_edge` is the deployable answer: the largest batch that gives up no more than some per cent.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from lbscale.laws.cell_optimum import check_some, optima_table, plateau
from lbscale.laws.form import Array, Columns, Law, Parameter
from lbscale.laws.grid import read_grid
from lbscale.laws.loss_given_up import choose_threshold

HELD = "betas, epsilon, weight decay (so its decay timescale), schedule and sequence length, as in the table's runs"
BATCH = (
    Parameter("batch_coefficient", "tokens", 1e-2, 1e12, "best batch at the reference", "log",
              (("n_tokens", "batch_exponent_n_tokens", 1),)),
    Parameter("batch_exponent_n_tokens", "1", -2.0, 3.0, "exponent of tokens in the best batch"),
)  # fmt: skip
PARAMETERS = (
    Parameter("lr_coefficient", "1", 1e-12, 1e6, "best learning rate at the reference and the best batch", "log",
              (("n_params", "lr_exponent_n_params", 1), ("n_tokens", "lr_exponent_n_tokens", 1))),
    Parameter("lr_exponent_n_params", "1", -3.0, 2.0, "exponent of params in the best learning rate"),
    Parameter("lr_exponent_n_tokens", "1", -3.0, 3.0, "exponent of tokens, the batch following its optimum"),
    *BATCH,
)  # fmt: skip


def optimum(theta: Array, logs: Columns) -> Array:
    """Best learning rates, then best batches in tokens (..., 2 n), for theta (..., 5)."""
    best = log_optimum(theta, logs)
    return np.exp(np.concatenate([best["learning_rate"], best["batch_size_tokens"]], axis=-1))


def log_optimum(theta: Array, logs: Columns) -> dict[str, Array]:
    """Logs of the best learning rate and of the best batch, each (..., n)."""
    lr, by_n, by_d, batch, batch_by_d = (theta[..., j, None] for j in range(5))
    return {
        "learning_rate": np.log(lr) + by_n * logs["n_params"] + by_d * logs["n_tokens"],
        "batch_size_tokens": np.log(batch) + batch_by_d * logs["n_tokens"],
    }


def inside(theta: Array, logs: Columns) -> dict[str, Array]:
    """Zeros: the cells that the law is fitted to have their optimum within what was tried, the others are dropped."""
    return {name: 0.0 * values for name, values in log_optimum(theta, logs).items()}


def starts(logs: Columns, target: Array) -> Array:
    """The least-squares power laws (1, 5)."""
    rates, batches = np.log(target).reshape(2, -1)
    lr = slopes([logs["n_params"], logs["n_tokens"]], rates)
    batch = slopes([logs["n_tokens"]], batches)
    return np.array([[np.exp(lr[0]), *lr[1:], np.exp(batch[0]), batch[1]]])


def slopes(logs: list[Array], log_target: Array) -> Array:
    """Least-squares level at 1 and slopes (1 + k,) of a log target on k logs; slopes left open by the rows are 0."""
    centred = [values - values.mean() for values in logs]
    design = np.column_stack([np.ones(log_target.size), *centred])
    solved = np.linalg.lstsq(design, log_target, rcond=1e-9)[0]
    return np.array([solved[0] - sum(s * v.mean() for s, v in zip(solved[1:], logs, strict=True)), *solved[1:]])


def one_optimum_a_cell(frame: pd.DataFrame) -> pd.DataFrame:
    """The optimum of each cell of raw runs, at the threshold whose law gives up least where it left a size out."""
    found, dropped, notes = read_grid(frame)
    percent = choose_threshold(found)
    notes.append(f"optima are those of surfaces through the runs within {percent:g} % of the best of each cell")
    table = optima_table(found, percent / 100.0, dropped, notes)
    check_some(table, len(found))
    return table


def upper_edge(percent: float = 1.0) -> Law:
    """A law of the largest batch in tokens that gives up at most `percent` of the loss, the learning rate retuned."""

    def edges(frame: pd.DataFrame) -> pd.DataFrame:
        table = plateau(frame, percent)
        return table.rename(columns={"batch_size_tokens_high": "batch_size_tokens"})

    return Law(
        name="batch_upper_edge",
        columns=("n_tokens",),
        parameters=BATCH,
        form=lambda theta, logs: theta[..., 0, None] * np.exp(theta[..., 1, None] * logs["n_tokens"]),
        starts=_edge_starts,
        targets=("batch_size_tokens",),
        target_units=("tokens",),
        reduce=edges,
        reference={},
        paper=STEP_LAW.paper,
        schedule=STEP_LAW.schedule,
        valid=f"at most {percent:g} % of the loss given up; {HELD}",
        residual="log",
        loss="squares",
    )


def _edge_starts(logs: Columns, target: Array) -> Array:
    level, slope = slopes([logs["n_tokens"]], np.log(target))
    return np.array([[np.exp(level), slope]])


STEP_LAW = Law(
    name="step_law",
    columns=("n_params", "n_tokens"),
    parameters=PARAMETERS,
    form=optimum,
    starts=starts,
    targets=("learning_rate", "batch_size_tokens"),
    target_units=("1", "tokens"),
    reduce=one_optimum_a_cell,
    reference={},
    tuned=("learning_rate", "batch_size_tokens"),
    tuning=log_optimum,
    offsets=inside,
    paper="https://arxiv.org/abs/2503.04715",
    schedule="the one schedule of the table's runs; the paper's is a cosine to a fixed final learning rate of 1e-5",
    params_convention="non_embedding",
    valid=f"held constant: {HELD}",
    residual="log",
    loss="squares",
)
UPPER_EDGE = upper_edge()
