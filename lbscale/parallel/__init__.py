"""Devices: how many this process has, the mesh over them, and the layout that suits them."""

from lbscale.parallel.devices import lane_mesh, machine_layout, one_device_per_core

__all__ = ["lane_mesh", "machine_layout", "one_device_per_core"]
