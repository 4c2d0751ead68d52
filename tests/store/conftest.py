"""A run and what was measured of it."""

from __future__ import annotations

from pathlib import Path

import pytest

from lbscale.spec import AdamW, ConstantBatch, Corpus, Decoder, Run, WarmupStableDecay
from lbscale.store import CurvePoint, Result, Store


@pytest.fixture
def run() -> Run:
    """A run of 32 updates."""
    return Run(
        model=Decoder(d_model=32, n_layers=2, n_heads=2, d_ff=88),
        data=Corpus(name="text", fingerprint="3-files", seq_len=64),
        optimizer=AdamW(),
        schedule=WarmupStableDecay(1024, warmup_tokens=512),
        batch=ConstantBatch(128),
        learning_rate=0.01,
        n_tokens=4100,
        init_seed=3,
        data_seed=5,
    )


@pytest.fixture
def result() -> Result:
    """A finished result with a curve."""
    return Result(
        status="finished",
        loss=2.5,
        loss_se=0.01,
        bits_per_byte=3.6,
        loss_split="validation",
        n_tokens=4096,
        n_tokens_real=4000,
        epochs=0.25,
        annealed=True,
        diverged_tokens=None,
        seconds=1.5,
        curve=(CurvePoint(1024, 4.0, 0.02), CurvePoint(4096, 2.6, 0.02)),
        machine={"device": "cpu", "n_devices": 2},
    )


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """An empty store."""
    return Store(tmp_path / "study")
