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
    "schedule": WarmupStableDecay(decay_tokens=5_120, warmup_tokens=1_280),
    "batch": ConstantBatch(128),
    "learning_rate": 4e-3,
}
'''

# Budgets and decay shapes of one trunk, ramps off it into other micro-batches, a trunk that diverges, and runs alone.
_FOREST = """
RUNS = sweep.chain(
    sweep.product(BASE, n_tokens=[15_360, 20_480, 30_720]),
    sweep.product(BASE, n_tokens=[20_480], decay_shape=["sqrt"]),
    sweep.product(
        BASE, n_tokens=[30_720], batch=[RampedBatch((128, 160), (10_240,)), RampedBatch((128, 384), (12_800,))]
    ),
    sweep.product(BASE, schedule=[Constant(warmup_tokens=1_280)], n_tokens=[15_360], init_seed=[1, 2]),
    sweep.product(BASE, learning_rate=[1e30], n_tokens=[15_360, 20_480]),
)
"""

# Many small trees of two runs each: most ends fall between trees.
_TREES = """
RUNS = sweep.product(BASE, init_seed=[0, 1, 2, 3, 4], n_tokens=[10_240, 15_360])
"""

# A long trunk that many short branches leave: most ends fall on it.
_TRUNK = """
RUNS = sweep.chain(
    sweep.product(BASE, n_tokens=[10_240, 15_360, 20_480, 30_720, 40_960]),
    sweep.product(BASE, n_tokens=[20_480, 30_720], decay_shape=["sqrt"]),
    sweep.product(BASE, n_tokens=[30_720], batch=[RampedBatch((128, 160), (20_480,))]),
    sweep.product(BASE, schedule=[Constant(warmup_tokens=1_280)], n_tokens=[35_840, 40_960]),
)
"""

# Two stages: what follows is decided from the fit of the first.
_STAGES = """
SHAPES = [Decoder(d_model=d, n_layers=1, n_heads=1, d_ff=2 * d) for d in (16, 24, 32)]
RUNS = sweep.product(BASE, model=SHAPES, n_tokens=[6_400, 10_240, 15_360])
LAWS = {"surface": "chinchilla"}


def follow_up(fits):
    return sweep.product(BASE, model=SHAPES[:1], n_tokens=[30_720], init_seed=[1])
"""

# For many workers at once.
WORKERS = (
    _HEAD
    + """
RUNS = sweep.product(BASE, init_seed=range(12), n_tokens=[15_360, 20_480])
"""
)

STUDIES = {
    "forest": _HEAD + _FOREST,
    "trees": _HEAD + _TREES,
    "trunk": _HEAD + _TRUNK,
    "stages": _HEAD + _STAGES,
}
