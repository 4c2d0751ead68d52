"""Adam's direction (Kingma & Ba 2014, arXiv 1412.6980); the decoupled decay is the common update's."""

from __future__ import annotations

import optax

from lbscale.optim.rule import Hyper, Rule


def _direction(hyper: Hyper, nesterov: bool) -> optax.GradientTransformation:
    return optax.scale_by_adam(b1=hyper["beta1"], b2=hyper["beta2"], eps=hyper["eps"], nesterov=nesterov)


RULE = Rule(_direction, ("beta1", "beta2", "eps"))
