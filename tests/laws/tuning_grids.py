"""Raw tuning grids with a planted optimum, as sweeps of learning rate and batch leave them."""

from __future__ import annotations

import numpy as np
import pandas as pd

SIZES = (2e8, 4e8, 8e8, 1.6e9)
TOKENS = (4e9, 1.6e10, 6.4e10)
LR = (2.0, -0.6, 0.2)  # coefficient, exponents of params and tokens
BATCH = (0.4, 0.58)
LR_CURVATURE, BATCH_CURVATURE, CROSS = 0.012, 0.006, -0.004  # of ln loss in ln settings


def best_settings(n_params: float, n_tokens: float) -> tuple[float, float]:
    """The planted best learning rate and batch in tokens."""
    return LR[0] * n_params ** LR[1] * n_tokens ** LR[2], BATCH[0] * n_tokens ** BATCH[1]


def tuning_grid(rng: np.random.Generator, noise: float = 5e-4, n_diverged: int = 1) -> pd.DataFrame:
    """A grid of 9 learning rates, a factor sqrt(2) apart and rounded in two ways, by 7 batches in each of 12 cells.

    Centred off the optimum by part of a step. The largest learning rates at the `n_diverged` smallest batches diverge.
    """
    rows = []
    for cell, (n_params, n_tokens) in enumerate((n, d) for n in SIZES for d in TOKENS):
        lr, batch = best_settings(n_params, n_tokens)
        middle_lr = 2.0 ** (np.round(2.0 * np.log2(lr)) / 2.0)
        middle_batch = 2.0 ** np.round(np.log2(batch))
        for i in range(-4, 5):
            tried_lr = float(f"{middle_lr * 2.0 ** (i / 2):.{3 + cell % 2}g}")
            for j in range(-3, 4):
                tried_batch = middle_batch * 2.0**j
                x, z = np.log(tried_lr / lr), np.log(tried_batch / batch)
                log_loss = np.log(1.8 + 400 / n_params**0.33) + LR_CURVATURE * x**2 + BATCH_CURVATURE * z**2
                log_loss += CROSS * x * z + noise * rng.normal()
                if i == 4 and j + 3 < n_diverged:
                    log_loss += 1.0
                rows.append((n_params, n_tokens, tried_lr, tried_batch, np.exp(log_loss)))
    return pd.DataFrame(rows, columns=["n_params", "n_tokens", "learning_rate", "batch_size_tokens", "loss"])
