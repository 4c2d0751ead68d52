"""Adam's direction (Kingma & Ba 2014, arXiv 1412.6980); the decoupled decay is the common update's."""

from __future__ import annotations

import optax

from lbscale.optim.rule import Hyper, Rule, Switches


def _direction(hyper: Hyper, switches: Switches) -> optax.GradientTransformation:
    return optax.scale_by_adam(b1=hyper["beta1"], b2=hyper["beta2"], eps=hyper["eps"])


RULE = Rule(_direction, ("beta1", "beta2", "eps"))
