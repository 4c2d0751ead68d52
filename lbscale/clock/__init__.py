"""The token clock: every schedule of a run as an array over its updates and micro-steps (numpy only)."""

from lbscale.clock.controls import Controls, controls, evaluation_steps, hyperparameters
from lbscale.clock.order import row_indices
from lbscale.clock.schedule import is_annealed, learning_rate_factor
from lbscale.clock.updates import trained_tokens, update_edges

__all__ = [
    "Controls",
    "controls",
    "evaluation_steps",
    "hyperparameters",
    "is_annealed",
    "learning_rate_factor",
    "row_indices",
    "trained_tokens",
    "update_edges",
]
