"""Exact matrix-multiplication FLOPs of a token, attention and head included.

At small sizes 6N is under half of them. Elementwise work is not counted, as is the custom (Chowdhery et al. 2022, arXiv
2204.02311, appendix B), nor what a backward pass computes again; attention counts the keys that are really multiplied,
causal blocks of 128 queries at a time.
"""

from __future__ import annotations

import functools

from lbscale.count.params import count_params, model_count
from lbscale.spec import FlaxModel, Model

_ATTENTION_BLOCK = 128


@functools.lru_cache(maxsize=64)
def _keys_per_query(seq_len: int) -> float:
    """Mean number of keys that a query is multiplied with: those up to the end of its block."""
    blocks = [(first, min(first + _ATTENTION_BLOCK, seq_len)) for first in range(0, seq_len, _ATTENTION_BLOCK)]
    return sum((last - first) * last for first, last in blocks) / seq_len


def forward_flops_per_token(model: Model, seq_len: int) -> float:
    """FLOPs of one token's forward pass in a row of `seq_len` positions, as its author counts them for a Flax model."""
    if isinstance(model, FlaxModel):
        return model_count(model).forward_flops_per_token(seq_len)
    scores_and_values = 4 * model.n_layers * model.n_heads * model.head_dim * _keys_per_query(seq_len)
    return 2 * count_params(model).matmul + scores_and_values


def training_flops_per_token(model: Model, seq_len: int) -> float:
    """FLOPs of forward and backward: each multiplication has two in its gradient."""
    return 3 * forward_flops_per_token(model, seq_len)


def training_flops(model: Model, seq_len: int, n_tokens: int) -> float:
    """FLOPs of training on `n_tokens` row positions."""
    return n_tokens * training_flops_per_token(model, seq_len)
