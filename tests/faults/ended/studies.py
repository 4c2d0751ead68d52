"""Four small studies, 40 runs in all, that are seconds of training each: what a forest can hold is in them."""

from __future__ import annotations

_HEAD = '''"""A small study that is killed again and again."""
from lbscale import sweep
from lbscale.data import corpus_spec
from lbscale.spec import AdamW, Constant, ConstantBatch, Decoder, RampedBatch, WarmupStableDecay

BASE = {
    "model": Decoder(d_model=16, n_layers=1, n_heads=1, d_ff=40),
    "data": corpus_spec(seq_len=32),
    "optimizer": AdamW(),
    "schedule": WarmupStableDecay(decay_tokens=20_480, warmup_tokens=5_120),
    "batch": ConstantBatch(128),
    "learning_rate": 4e-3,
}
'''

# Budgets and decay shapes of one trunk, ramps off it into other micro-batches, a trunk that diverges, and runs alone.
_FOREST = """
RUNS = sweep.chain(
    sweep.product(BASE, n_tokens=[61_440, 81_920, 122_880]),
    sweep.product(BASE, n_tokens=[81_920], decay_shape=["sqrt"]),
    sweep.product(
        BASE, n_tokens=[122_880], batch=[RampedBatch((128, 160), (40_960,)), RampedBatch((128, 384), (51_200,))]
    ),
    sweep.product(BASE, schedule=[Constant(warmup_tokens=5_120)], n_tokens=[61_440], init_seed=[1, 2]),
    sweep.product(BASE, learning_rate=[1e30], n_tokens=[61_440, 81_920]),
)
"""

# Many small trees of two runs each: most ends fall between trees.
_TREES = """
RUNS = sweep.product(BASE, init_seed=[0, 1, 2, 3, 4], n_tokens=[40_960, 61_440])
"""

# A long trunk that many short branches leave: most ends fall on it.
_TRUNK = """
RUNS = sweep.chain(
    sweep.product(BASE, n_tokens=[40_960, 61_440, 81_920, 122_880, 163_840]),
    sweep.product(BASE, n_tokens=[81_920, 122_880], decay_shape=["sqrt"]),
    sweep.product(BASE, n_tokens=[122_880], batch=[RampedBatch((128, 160), (81_920,))]),
    sweep.product(BASE, schedule=[Constant(warmup_tokens=5_120)], n_tokens=[143_360, 163_840]),
)
"""

# Two stages: what follows is decided from the fit of the first.
_STAGES = """
SHAPES = [Decoder(d_model=d, n_layers=1, n_heads=1, d_ff=2 * d) for d in (16, 24, 32)]
RUNS = sweep.product(BASE, model=SHAPES, n_tokens=[25_600, 40_960, 61_440])
LAWS = {"surface": "chinchilla"}


def follow_up(fits):
    return sweep.product(BASE, model=SHAPES[:1], n_tokens=[122_880])
"""

STUDIES = {
    "forest": _HEAD + _FOREST,
    "trees": _HEAD + _TREES,
    "trunk": _HEAD + _TRUNK,
    "stages": _HEAD + _STAGES,
}
