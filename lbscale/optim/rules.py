"""Every optimizer by its spec's kind."""

from __future__ import annotations

from lbscale.optim import adamw, sgd
from lbscale.optim.rule import Rule

RULES: dict[str, Rule] = {"adamw": adamw.RULE, "sgd": sgd.RULE}
