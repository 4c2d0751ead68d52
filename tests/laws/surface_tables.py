"""Designs for the tests of loss surfaces."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pandas as pd
import pytest


def grid_table(n_sizes: int = 12, n_budgets: int = 16) -> pd.DataFrame:
    """Every size at every budget of tokens, without losses."""
    sizes, tokens = np.meshgrid(np.geomspace(5e7, 1e10, n_sizes), np.geomspace(1e9, 4e11, n_budgets), indexing="ij")
    return pd.DataFrame({"n_params": sizes.ravel(), "n_tokens": tokens.ravel()})


def isoflop_table(truth: np.ndarray, budgets: np.ndarray, span: float = 4.0, n_sizes: int = 9) -> pd.DataFrame:
    """Groups of equal 6ND about the optimum of an additive surface with constants E, A, B, alpha, beta."""
    E, A, B, alpha, beta = truth
    rows = []
    for flops in budgets:
        best = (alpha * A / (beta * B)) ** (1 / (alpha + beta)) * (flops / 6) ** (beta / (alpha + beta))
        rows += [(n, flops / 6 / n) for n in best * np.geomspace(1 / span, span, n_sizes)]
    table = pd.DataFrame(rows, columns=["n_params", "n_tokens"])
    return table.assign(loss=E + A / table.n_params**alpha + B / table.n_tokens**beta)


def redpajama_table() -> pd.DataFrame:
    """Gadre et al.'s runs on RedPajama with C4 eval loss; `five` marks those that the paper's loss law is fitted to."""
    folder = os.environ.get("LBSCALE_TABLES")
    if not folder:
        pytest.skip("LBSCALE_TABLES does not name the folder of public tables")
    table = pd.read_csv(Path(folder) / "gadre_overtraining.csv").query("dataset == 'rpj'")
    multiplier, size = table.token_multiplier.round(), table.n_params_total
    five = ((multiplier == 20) & (size < 1e9)) | ((multiplier == 320) & (size < 2e7))
    return table.assign(multiplier=multiplier, five=five, loss=table.loss_c4_val_nats_per_token)
