"""The token clock: every schedule of a run as an array over its updates and micro-steps (numpy only)."""

from lbscale.clock.controls import Controls, controls, curve_tokens, evaluation_tokens, hyperparameters
from lbscale.clock.order import row_indices
from lbscale.clock.prefix import (
    agreeing_updates,
    control_columns,
    n_updates,
    optimizer_structure,
    origin,
    prefix_key,
    shared_tokens,
    trunk_key,
)
from lbscale.clock.schedule import is_annealed, learning_rate_factor
from lbscale.clock.updates import EqualUpdates, equal_updates, trained_tokens, update_edges

__all__ = [
    "Controls",
    "EqualUpdates",
    "agreeing_updates",
    "control_columns",
    "controls",
    "curve_tokens",
    "equal_updates",
    "evaluation_tokens",
    "hyperparameters",
    "is_annealed",
    "learning_rate_factor",
    "n_updates",
    "optimizer_structure",
    "origin",
    "prefix_key",
    "row_indices",
    "shared_tokens",
    "trained_tokens",
    "trunk_key",
    "update_edges",
]
