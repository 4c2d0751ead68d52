"""Fixtures of the laws' tests."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest


@pytest.fixture
def rng() -> np.random.Generator:
    """A fixed random generator."""
    return np.random.default_rng(7)


@pytest.fixture
def chinchilla_csv() -> Path:
    """The public table of Hoffmann et al.'s runs, where LBSCALE_TABLES names its folder."""
    folder = os.environ.get("LBSCALE_TABLES")
    if not folder:
        pytest.skip("LBSCALE_TABLES does not name the folder of public tables")
    return Path(folder) / "chinchilla.csv"
