"""Devices: the mesh over them, the layout that suits them, and how parameters are partitioned."""

from lbscale.parallel.calibration import Calibration, Timing, keep_calibration, kept_calibration
from lbscale.parallel.compilations import Compilations, counted_compilations, keep_compilations
from lbscale.parallel.devices import (
    device_memory_bytes,
    machine_document,
    machine_layout,
    make_mesh,
    one_device_per_core,
)
from lbscale.parallel.partition import DEFAULT_RULES, check_fit, partition, specs_like

__all__ = [
    "DEFAULT_RULES",
    "Calibration",
    "Compilations",
    "Timing",
    "check_fit",
    "counted_compilations",
    "device_memory_bytes",
    "keep_calibration",
    "keep_compilations",
    "kept_calibration",
    "machine_document",
    "machine_layout",
    "make_mesh",
    "one_device_per_core",
    "partition",
    "specs_like",
]
