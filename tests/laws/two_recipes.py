"""Simulated tables of two recipes whose multiplier is known, with noise that runs of one order and seed share."""

from __future__ import annotations

import numpy as np
import pandas as pd

SURFACE = np.array([1.8, 480.0, 2100.0, 0.35, 0.37])
TARGET = {"n_params": 3e9, "n_tokens": 6e10}
SIZES = np.geomspace(2e7, 1e9, 5)
RATIOS = np.geomspace(5, 160, 5)


def loss_of(truth: np.ndarray, n_params, n_tokens):
    """The planted surface with constants E, A, B, alpha, beta."""
    E, A, B, alpha, beta = truth
    return E + A / n_params**alpha + B / n_tokens**beta


def needing(multiplier: float, truth: np.ndarray = SURFACE) -> np.ndarray:
    """The surface that needs `multiplier` times the compute of `truth` for every loss at every tokens per param."""
    E, A, B, alpha, beta = truth
    return np.array([E, A * multiplier ** (alpha / 2), B * multiplier ** (beta / 2), alpha, beta])


def recipes_table(
    rng: np.random.Generator,
    multiplier: float = 1.2,
    noise: float = 0.003,
    correlation: float = 0.8,
    n_seeds: int = 1,
    second: np.ndarray | None = None,
    sizes: np.ndarray = SIZES,
    ratios: np.ndarray = RATIOS,
) -> pd.DataFrame:
    """Runs of "adam" and "muon" in every cell under every seed, a pair of which shares a part of its relative noise."""
    n_params, ratio, seed = (grid.ravel() for grid in np.meshgrid(sizes, ratios, np.arange(n_seeds)))
    shared = np.sqrt(correlation) * rng.normal(size=n_params.size)
    tables = []
    for name, truth in (("adam", SURFACE), ("muon", needing(multiplier) if second is None else second)):
        luck = noise * (shared + np.sqrt(1.0 - correlation) * rng.normal(size=n_params.size))
        loss = loss_of(truth, n_params, n_params * ratio) * np.exp(luck)
        tables.append(
            pd.DataFrame({
                "optimizer": name, "n_params": n_params, "n_tokens": n_params * ratio,
                "data_seed": np.arange(seed.size), "init_seed": np.arange(seed.size), "loss": loss,
            })
        )  # fmt: skip
    return pd.concat(tables, ignore_index=True)
