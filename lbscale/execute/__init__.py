"""Carry out a plan: claim its trees, drive the trainer over them, save on the way, and write what comes out."""

from lbscale.execute.course import Upkeep
from lbscale.execute.hopeless import EarlyStop
from lbscale.execute.interruption import Interruption, interruption
from lbscale.execute.loop import Progress
from lbscale.execute.settle import Settled, measured_speeds, settle_group_sizes, settle_layout
from lbscale.execute.work import execute, kept_states, layout_name

__all__ = [
    "EarlyStop",
    "Interruption",
    "Progress",
    "Settled",
    "Upkeep",
    "execute",
    "interruption",
    "kept_states",
    "layout_name",
    "measured_speeds",
    "settle_group_sizes",
    "settle_layout",
]
