"""Tables with planted constants, as a study of tiny models would leave them."""

from __future__ import annotations

import numpy as np
import pandas as pd

from lbscale.laws import JOINT

CHINCHILLA_TRUTH = np.array([1.8, 480.0, 2100.0, 0.35, 0.37])
REFERENCE = {"n_params": 34e3, "n_tokens": 280e3}
#          E    A     B     alpha beta  lr     by_N  by_D  by_B batch by_D  k    above h     above
JOINT_TRUTH = np.array([1.2, 0.45, 0.65, 0.25, 0.35, 1.2e-2, -0.5, -0.1, 0.4, 200.0, 0.7, 0.06, 1.8, 0.02, 1.5])
TARGET = {"n_params": 1.8 * 83e3, "n_tokens": 524288.0}
TRUE_LAW = JOINT.at(REFERENCE)


def surface_table(rng: np.random.Generator, n_rows: int = 60, noise: float = 0.005) -> pd.DataFrame:
    """Runs of the planted loss surface with independent relative noise."""
    n_params, n_tokens = np.exp(rng.uniform(18, 23, n_rows)), np.exp(rng.uniform(20, 26, n_rows))
    E, A, B, alpha, beta = CHINCHILLA_TRUTH
    loss = E + A / n_params**alpha + B / n_tokens**beta
    loss = loss * np.exp(noise * rng.normal(size=n_rows))
    return pd.DataFrame({"n_params": n_params, "n_tokens": n_tokens, "loss": loss})


def star_table(
    rng: np.random.Generator, seed_sd: float = 0.005, run_sd: float = 0.003, corners: bool = False
) -> pd.DataFrame:
    """Four sizes, three budgets, a star of settings in each cell, three seeds in two of them.

    Runs of one cell and seed share an error of `seed_sd`; each has its own of `run_sd`. The stars' centres
    lie a third off the optimum. `corners` adds both settings moved at once, and wider arms.
    """
    arms = [(1.0, 1.0), (2.8, 1.0), (1 / 2.8, 1.0), (1.0, 4.0), (1.0, 0.25)]
    if corners:
        arms += [
            (2.8, 4.0),
            (1 / 2.8, 0.25),
            (2.8, 0.25),
            (8.0, 1.0),
            (1 / 8, 1.0),
            (1.0, 16.0),
            (1.0, 1 / 16),
        ]
    rows = []
    for n_params in (14e3, 25e3, 45e3, 83e3):
        for n_tokens in (98304.0, 262144.0, 786432.0):
            lr, batch, _ = TRUE_LAW.optimum(JOINT_TRUTH, n_params=n_params, n_tokens=n_tokens)
            seeds = (0, 1, 2) if n_tokens == 262144.0 and 20e3 < n_params < 50e3 else (0,)
            for seed in seeds:
                luck = seed_sd * rng.normal()
                for lr_factor, batch_factor in arms if seed == 0 else arms[:1]:
                    settings = (1.3 * lr[0] * lr_factor, 0.8 * batch[0] * batch_factor)
                    rows.append((n_params, n_tokens, *settings, seed, seed, luck + run_sd * rng.normal()))
    names = [*JOINT.columns, "init_seed", "data_seed", "error"]
    frame = pd.DataFrame(rows, columns=names)
    frame["loss"] = TRUE_LAW.predict(JOINT_TRUTH, frame) + frame.pop("error")
    return frame
