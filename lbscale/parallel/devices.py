"""The devices of this process, as lanes see them."""

from __future__ import annotations

import os

import jax
from jax.sharding import AxisType, Mesh

from lbscale.plan import Layout

# A row of 64 tokens at a time was as fast as any micro-batch at widths 24 to 48 on 2 cores: the activations of more
# leave the cache. One size also means one compilation a shape. An accelerator wants its matrix units full.
_CPU_MICRO_BATCH_TOKENS = 64
_ACCELERATOR_MICRO_BATCH_TOKENS = 8_192
_ACCELERATOR_GROUP_SIZE = 16


def one_device_per_core() -> None:
    """Give the CPU back end one device a core; without effect once jax has started or where an accelerator is found.

    Two devices trained 1.5 to 2.1 times the tokens a second of one on 2 cores.
    """
    if "xla_force_host_platform_device_count" in os.environ.get("XLA_FLAGS", ""):
        return
    try:
        jax.config.update("jax_num_cpu_devices", len(os.sched_getaffinity(0)))
    except RuntimeError:  # jax has started: the process keeps the devices it has
        return


def lane_mesh(n_devices: int) -> Mesh:
    """A mesh of the first `n_devices` devices along the axis `lane`."""
    return jax.make_mesh((n_devices,), ("lane",), (AxisType.Auto,), devices=jax.devices()[:n_devices])


def machine_layout() -> Layout:
    """The layout for this process's devices. On a CPU, whose cache a second lane would leave, lanes are mapped."""
    if jax.default_backend() == "cpu":
        return Layout(jax.device_count(), _CPU_MICRO_BATCH_TOKENS, group_size=1)
    return Layout(jax.device_count(), _ACCELERATOR_MICRO_BATCH_TOKENS, _ACCELERATOR_GROUP_SIZE)
