"""From runs to what trains them: the forest of shared prefixes as cohorts of lanes, with its cost. No device is
touched."""

from lbscale.plan.apart import kept_apart
from lbscale.plan.cohorts import Cohort, Group, Plan, make_plan, run_flops, tokens_reached
from lbscale.plan.forest import Stretch, grow_forest
from lbscale.plan.layout import (
    LARGE_MODEL_PARAMS,
    REMAT_POLICIES,
    Layout,
    PartitionRules,
    Program,
    UpdateRule,
    micro_batch_tokens,
)
from lbscale.plan.marginal import marginal_cost

__all__ = [
    "LARGE_MODEL_PARAMS",
    "REMAT_POLICIES",
    "Cohort",
    "Group",
    "Layout",
    "PartitionRules",
    "Plan",
    "Program",
    "Stretch",
    "UpdateRule",
    "grow_forest",
    "kept_apart",
    "make_plan",
    "marginal_cost",
    "micro_batch_tokens",
    "run_flops",
    "tokens_reached",
]
