"""From runs to what trains them: the forest of shared prefixes as cohorts of lanes, with its cost. No device is
touched."""

from lbscale.plan.apart import kept_apart
from lbscale.plan.cohorts import Cohort, Group, Plan, make_plan, next_ends, run_flops, tokens_reached
from lbscale.plan.forest import Stretch, grow_forest, tokens_at
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
from lbscale.plan.remaining import Kept, remaining

__all__ = [
    "LARGE_MODEL_PARAMS",
    "REMAT_POLICIES",
    "Cohort",
    "Group",
    "Kept",
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
    "next_ends",
    "remaining",
    "run_flops",
    "tokens_at",
    "tokens_reached",
]
