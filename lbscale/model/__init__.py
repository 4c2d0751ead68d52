"""The model as plain pytrees and pure functions."""

from lbscale.model.decoder import hidden_states, init, loss_terms
from lbscale.model.parameters import ParameterEntry, parameter_table

__all__ = ["ParameterEntry", "hidden_states", "init", "loss_terms", "parameter_table"]
