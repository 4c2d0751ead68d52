"""Devices: the mesh over them, the layout that suits them, and how parameters are partitioned."""

from lbscale.parallel.devices import keep_compilations, machine_layout, make_mesh, one_device_per_core
from lbscale.parallel.partition import DEFAULT_RULES, check_fit, partition, specs_like

__all__ = [
    "DEFAULT_RULES",
    "check_fit",
    "keep_compilations",
    "machine_layout",
    "make_mesh",
    "one_device_per_core",
    "partition",
    "specs_like",
]
