"""A small run, with any of its fields changed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from lbscale.spec import AdamW, ConstantBatch, Corpus, Decoder, Run, WarmupStableDecay, fraction

MakeRun = Callable[..., Run]


@pytest.fixture(scope="session")
def make_run() -> MakeRun:
    """`make_run(field=value, ...)`: a small run with those fields of its own."""

    def make(**changes: Any) -> Run:
        fields: dict[str, Any] = {
            "model": Decoder(d_model=32, n_layers=2, n_heads=2, d_ff=88),
            "data": Corpus(name="text", fingerprint="3-files", seq_len=64),
            "optimizer": AdamW(),
            "schedule": WarmupStableDecay(decay_tokens=fraction(0.25)),
            "batch": ConstantBatch(128),
            "learning_rate": 0.01,
            "n_tokens": 4096,
        }
        return Run(**{**fields, **changes})

    return make
