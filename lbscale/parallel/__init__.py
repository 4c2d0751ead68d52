"""Devices: the mesh over them, the layout that suits them, and how parameters are partitioned."""

from lbscale.parallel.compilations import Compilations, counted_compilations, keep_compilations
from lbscale.parallel.devices import machine_layout, make_mesh, one_device_per_core
from lbscale.parallel.partition import DEFAULT_RULES, check_fit, partition, specs_like

__all__ = [
    "DEFAULT_RULES",
    "Compilations",
    "check_fit",
    "counted_compilations",
    "keep_compilations",
    "machine_layout",
    "make_mesh",
    "one_device_per_core",
    "partition",
    "specs_like",
]
