"""Heavy-ball or Nesterov momentum (Sutskever et al. 2013)."""

from __future__ import annotations

import optax

from lbscale.optim.rule import Hyper, Rule


def _direction(hyper: Hyper, nesterov: bool) -> optax.GradientTransformation:
    return optax.trace(decay=hyper["momentum"], nesterov=nesterov)


RULE = Rule(_direction, ("momentum",))
