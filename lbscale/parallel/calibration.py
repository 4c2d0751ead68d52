"""How fast a program is at each number of lanes a group on this machine, found out once and kept.

What is measured is kept; what is chosen is computed from it each time, since it depends on the study: how many runs
could sit together, and how long they would take.
"""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lbscale.cache import cache_folder
from lbscale.plan import Layout, Program, layout_document, program_name

_LEAST_GROWTH = 1.05


@dataclass(frozen=True)
class _Trials:
    """The largest group tried, and the share of a cohort's expected seconds that a further compilation may cost: as
    much as twice the lanes may spare, little on a CPU and half elsewhere."""

    largest: int
    most_spent: float


_ON_CPU, _ELSEWHERE = _Trials(4, 0.1), _Trials(64, 0.5)


@dataclass(frozen=True)
class Timing:
    """Seconds of one device at one group size, while all are busy: of a micro-step of the whole group, what an update
    adds to it, what a call adds, of the last losses of the group on one row; and before the first micro-step, to
    compile, and in a later process that finds the programs kept."""

    group_size: int
    step_seconds: float
    update_seconds: float
    call_seconds: float
    row_seconds: float
    compile_seconds: float
    load_seconds: float

    def __post_init__(self) -> None:
        numbers = dataclasses.astuple(self)
        if not all(isinstance(number, (int, float)) and 0 <= number < math.inf for number in numbers):
            raise ValueError(f"finite numbers of at least 0 are needed: {numbers}")
        if self.group_size < 1 or self.step_seconds <= 0:
            raise ValueError(f"a group and a micro-step that takes time are needed: {numbers}")


@dataclass(frozen=True)
class Calibration:
    """What was measured of a program; None where a group size did not fit into memory."""

    micro_batch_tokens: int
    timings: Mapping[int, Timing | None]

    @property
    def tokens_per_second(self) -> dict[int, float]:
        """Of one device, by group size, with an update after every micro-step; 0 where it did not fit."""
        return {size: self._rate(timing) for size, timing in sorted(self.timings.items())}

    def _rate(self, timing: Timing | None) -> float:
        if timing is None:
            return 0.0
        return timing.group_size * self.micro_batch_tokens / (timing.step_seconds + timing.update_seconds)

    def group_size(self, most_together: int) -> int:
        """Of the sizes measured, up to `most_together`, the last by which throughput grew enough."""
        return self._climbed(most_together)[0]

    def next_size(self, most_together: int, n_tokens: int, n_slots: int, backend: str) -> int | None:
        """The group size to measure next, or None where nothing is to be won: throughput no longer grows, runs cannot
        fill twice the lanes, or a cohort of `n_tokens` in `n_slots` is done too soon to win a compilation back."""
        if 1 not in self.timings:
            return 1
        size, is_top = self._climbed(most_together)
        timing = self.timings[size]
        trials = _ON_CPU if backend == "cpu" else _ELSEWHERE
        if timing is None or not is_top or 2 * size > min(most_together, trials.largest):
            return None
        seconds = n_tokens / (n_slots * self.tokens_per_second[size])
        return 2 * size if timing.compile_seconds <= trials.most_spent * seconds else None

    def _climbed(self, most_together: int) -> tuple[int, bool]:
        """The size at which growth ends, and whether that is because the next was not measured."""
        rates, size = self.tokens_per_second, 1
        while 2 * size <= most_together and {size, 2 * size} <= rates.keys():
            if rates[2 * size] <= _LEAST_GROWTH * rates[size]:
                return size, False
            size *= 2
        return size, 2 * size not in rates

    def with_timing(self, group_size: int, timing: Timing | None) -> Calibration:
        """With one more measurement."""
        return dataclasses.replace(self, timings={**self.timings, group_size: timing})


def kept_calibration(program: Program, layout: Layout, machine: Mapping[str, Any]) -> Calibration:
    """What was measured of the program under the layout on this machine; nothing where no readable file is kept."""
    try:
        document = json.loads(_path(program, layout, machine).read_bytes())
        timings = {
            int(size): None if fields is None else Timing(int(size), **fields) for size, fields in document.items()
        }
    except (OSError, ValueError, TypeError, AttributeError, RecursionError):
        timings = {}
    return Calibration(program.micro_batch_tokens, {size: timing for size, timing in timings.items() if size >= 1})


def keep_calibration(calibration: Calibration, program: Program, layout: Layout, machine: Mapping[str, Any]) -> None:
    """Keep it for later processes; where the user's cache cannot be written they measure again."""
    document: dict[int, Any] = {}
    for size, timing in calibration.timings.items():
        document[size] = None if timing is None else dataclasses.asdict(timing)
        if timing is not None:
            del document[size]["group_size"]
    path = _path(program, layout, machine)
    with contextlib.suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(document, indent=1))


def _path(program: Program, layout: Layout, machine: Mapping[str, Any]) -> Path:
    """A folder a machine, a file a program under one mesh, chunk length and policy of what is computed again."""
    kind = re.sub("[^a-z0-9]+", "-", str(machine["device_kind"]).lower())
    folder = f"{kind}-{machine['n_devices']}-jax-{machine['jax']}-cores-{machine['cores']}"
    same = json.dumps(layout_document(layout.with_group_size(1)), sort_keys=True)
    digest = hashlib.sha256(same.encode()).hexdigest()[:8]
    return cache_folder("calibrations") / folder / f"{program_name(program)}-{digest}.json"
