"""Small runs on the real corpus."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from lbscale.data import corpus_spec
from lbscale.execute import execute
from lbscale.plan import Layout, make_plan
from lbscale.spec import AdamW, Decoder, Run, WarmupStableDecay, run_key
from lbscale.store import Result, Store

TINY = Decoder(d_model=16, n_layers=1, n_heads=1, d_ff=40)


@pytest.fixture
def base() -> dict[str, Any]:
    """What the runs share: a model of 3 k params, 50 updates of 128 tokens."""
    return {
        "model": TINY,
        "data": corpus_spec(seq_len=64),
        "optimizer": AdamW(),
        "schedule": WarmupStableDecay(decay_tokens=1_280, warmup_updates=5),
        "n_tokens": 6_400,
    }


@pytest.fixture
def train(tmp_path: Path) -> Callable[..., dict[str, Result]]:
    """Train runs under a layout into a store of its own; results by key."""
    count = iter(range(100))

    def train(runs: list[Run], layout: Layout) -> dict[str, Result]:
        store = Store(tmp_path / str(next(count)))
        for _ in execute(make_plan(runs, layout), layout, store):
            pass
        return {run_key(run): store.read(run_key(run))[1] for run in runs}

    return train
