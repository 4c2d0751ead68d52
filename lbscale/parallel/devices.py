"""The devices of this process, as lanes see them."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

import jax
from jax.sharding import AxisType, Mesh

from lbscale.errors import check, check_choice
from lbscale.plan import Layout

MESH_AXES = ("lane", "data", "fsdp", "tensor")

# A row of 64 tokens at a time was as fast as any micro-batch at widths 24 to 48 on one core: the activations of more
# leave the cache. From width 64 on, adding to the sums of gradients costs more: 256 tokens were 1.15 times as fast
# there, 1.3 at width 128, 1.4 at 256. An accelerator wants its matrix units full.
_CPU_MICRO_BATCH_TOKENS = 64
_CPU_LARGE_MICRO_BATCH_TOKENS = 256
_ACCELERATOR_MICRO_BATCH_TOKENS = 8_192
_ACCELERATOR_GROUP_SIZE = 16


def one_device_per_core() -> None:
    """Give the CPU back end one device a core; without effect once jax has started or where an accelerator is found.

    Two devices trained 1.5 to 2.1 times the tokens a second of one on 2 cores.
    """
    if "xla_force_host_platform_device_count" in os.environ.get("XLA_FLAGS", ""):
        return
    try:
        jax.config.update("jax_num_cpu_devices", _usable_cores())
    except RuntimeError:  # jax has started: the process keeps the devices it has
        return


def _usable_cores() -> int:
    """Cores this process may run on, where the system can say; all of them elsewhere."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def machine_document() -> dict[str, Any]:
    """What of this process's machine decides how fast a program is: plain JSON values."""
    return {
        "backend": jax.default_backend(),
        "device_kind": jax.devices()[0].device_kind,
        "n_devices": jax.device_count(),
        "jax": jax.__version__,
        "cores": os.cpu_count(),
    }


def device_memory_bytes() -> int | None:
    """What one device may hold, on a CPU its share of the host's memory; None where it is not known."""
    stats = jax.local_devices()[0].memory_stats()
    if stats is not None:
        return stats.get("bytes_limit")
    if jax.default_backend() == "cpu" and {"SC_PHYS_PAGES", "SC_PAGE_SIZE"} <= os.sysconf_names.keys():
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // jax.local_device_count()
    return None


def make_mesh(layout: Layout) -> Mesh:
    """The layout's mesh over this process's first devices; raises InputError when there are too few.

    Every axis is Auto: `lane` is made manual where lanes are mapped, and the compiler propagates the others inside. (A
    map over a lane axis that is sharded fails under Explicit axes, which jax.make_mesh would default to.)
    """
    sizes = {axis: getattr(layout, axis) for axis in MESH_AXES}
    allowed = f"a product of at most the {jax.device_count()} devices of this process is needed"
    check(layout.n_devices <= jax.device_count(), "mesh", sizes, allowed)
    devices = jax.devices()[: layout.n_devices]
    return jax.make_mesh(tuple(sizes.values()), MESH_AXES, (AxisType.Auto,) * len(MESH_AXES), devices=devices)


def machine_layout(mesh: Mapping[str, int] | None = None, remat: str = "none") -> Layout:
    """The layout for this process's devices; lanes take all that the axes given (data, fsdp, tensor) leave.

    On a CPU lanes are mapped, not vectorised: a second one leaves the cache (`benchmarks/lanes.py`). Raises InputError
    for an unknown axis or `remat`, or where the axes given do not divide the devices.
    """
    axes = dict(mesh or {})
    for axis, size in axes.items():
        check_choice("mesh", axis, MESH_AXES)
        check(size >= 1, f"mesh.{axis}", size, "a positive integer is needed")
    data, fsdp, tensor = (axes.get(axis, 1) for axis in MESH_AXES[1:])
    n_devices = jax.device_count()
    allowed = f"axes that divide this process's {n_devices} devices are needed"
    check(n_devices % (data * fsdp * tensor) == 0, "mesh", axes, allowed)
    lane = axes.get("lane", n_devices // (data * fsdp * tensor))
    is_cpu = jax.default_backend() == "cpu"
    micro_batch_tokens = _CPU_MICRO_BATCH_TOKENS if is_cpu else _ACCELERATOR_MICRO_BATCH_TOKENS
    group_size = 1 if is_cpu else _ACCELERATOR_GROUP_SIZE
    shards = data * fsdp
    large = shards * _CPU_LARGE_MICRO_BATCH_TOKENS if is_cpu else None
    return Layout(
        lane, shards * micro_batch_tokens, group_size, data=data, fsdp=fsdp, tensor=tensor,
        large_micro_batch_tokens=large, remat=remat,
    )  # fmt: skip
