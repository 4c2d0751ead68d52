"""Read the collectives off a compiled program: what moves, how many bytes, along which axes of the mesh."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass

import numpy as np

_INSTRUCTION = re.compile(
    r"= (?P<shapes>.*?) (?P<kind>all-reduce|all-gather|reduce-scatter|all-to-all|collective-permute)(?:-start)?\("
)
_ARRAY = re.compile(r"(pred|[subf]+\d+)\[([\d,]*)\]")
_LISTED = re.compile(r"replica_groups=\{(\{[\d,{} ]*\})\}")
_NAMED = re.compile(r"replica_groups=mesh\[(.*?)\](?:, device_ids=\((.*?)\))? \{(.*?)\}")
_IOTA = re.compile(r"replica_groups=\[(\d+),(\d+)\]<=\[([\d,]+)\](?:T\(([\d,]+)\))?")


@dataclass(frozen=True)
class Collective:
    """One instruction; `n_bytes` is the size of its result on a device, `axes` the mesh axes it spans."""

    kind: str
    n_bytes: int
    axes: tuple[str, ...]
    source: str


def collectives(hlo: str, mesh_shape: dict[str, int]) -> list[Collective]:
    """Every collective in a compiled module's text. A loop's body is written once, so that the bytes of a training
    program are those of one micro-step, or of one update where the name of the source says so."""
    found = []
    for line in hlo.splitlines():
        match = _INSTRUCTION.search(line)
        if match and "-done(" not in line:
            source = re.search(r'op_name="([^"]*)"', line)
            axes = _axes(line, mesh_shape)
            found.append(Collective(match["kind"], _bytes(match["shapes"]), axes, source[1] if source else ""))
    return found


def _bytes(shapes: str) -> int:
    total = 0
    for dtype, dimensions in _ARRAY.findall(shapes):
        width = 1 if dtype == "pred" else int(re.sub(r"\D", "", dtype)) // 8
        total += width * math.prod(int(size) for size in dimensions.split(",") if size)
    return total


def _axes(line: str, mesh_shape: dict[str, int]) -> tuple[str, ...]:
    coordinates = np.array(np.unravel_index(np.arange(math.prod(mesh_shape.values())), tuple(mesh_shape.values())))
    varying: set[str] = set()
    for group in _groups(line) or [list(range(coordinates.shape[1]))]:
        place = coordinates[:, group]
        varying |= {axis for axis, row in zip(mesh_shape, place, strict=True) if len(set(row.tolist())) > 1}
    return tuple(axis for axis in mesh_shape if axis in varying)


def _device_order(iota: str | None, n_devices: int) -> np.ndarray:
    """Device numbers from "[4,2]T(1,0)": counted up in that shape, then transposed."""
    order = np.arange(n_devices)
    if iota is None or not (match := re.match(r"\[([\d,]+)\](?:T\(([\d,]+)\))?", iota)):
        return order
    order = order.reshape([int(size) for size in match[1].split(",")])
    return order.transpose([int(axis) for axis in match[2].split(",")]) if match[2] else order


def _groups(line: str) -> list[list[int]]:
    if match := _NAMED.search(line):
        sizes = {name: int(size) for name, size in re.findall(r"'(\w+)'=(\d+)", match[1])}
        places = _device_order(match[2], math.prod(sizes.values())).reshape(tuple(sizes.values()))
        spanned = [i for i, name in enumerate(sizes) if f"'{name}'" in match[3]]
        group_size = math.prod(places.shape[i] for i in spanned)
        return np.moveaxis(places, spanned, range(-len(spanned), 0)).reshape(-1, group_size).tolist()
    if match := _IOTA.search(line):
        n_groups, size = int(match[1]), int(match[2])
        order = np.arange(n_groups * size).reshape([int(n) for n in match[3].split(",")])
        if match[4]:
            order = order.transpose([int(n) for n in match[4].split(",")])
        return order.reshape(n_groups, size).tolist()
    if match := _LISTED.search(line):
        return [[int(n) for n in group.split(",")] for group in re.findall(r"\{([\d,]+)\}", match[1])]
    pairs = re.search(r"source_target_pairs=\{(.*?)\}\}", line)
    return [[int(n) for n in pair.split(",")] for pair in re.findall(r"\{([\d,]+)", pairs[0])] if pairs else []
