"""A slot: a group of lanes on its way through training, on the host's side."""

from __future__ import annotations

import time
from dataclasses import dataclass, field

import numpy as np

from lbscale.clock import Controls, controls, evaluation_steps, row_indices
from lbscale.plan import Group
from lbscale.store import CurvePoint

# A curve's points are read on this share of the validation rows, the final loss on all of them: on a short run the
# points would otherwise cost as much as the training.
_CURVE_SHARE = 8


@dataclass
class Slot:
    """Where a group stands, in micro-steps, and where it stops to be measured; its last stop is its end."""

    group: Group
    controls: tuple[Controls, ...]
    stops: list[int]
    position: int = 0
    began: float = field(default_factory=time.perf_counter)
    curves: list[list[CurvePoint]] = field(default_factory=list)

    @classmethod
    def of(cls, group: Group, micro_batch_tokens: int) -> Slot:
        """A slot before its first micro-step."""
        every = tuple(controls(run, micro_batch_tokens) for run in group.runs)
        return cls(group, every, list(evaluation_steps(every[0])), curves=[[] for _ in group.runs])

    @property
    def at_stop(self) -> bool:
        """Whether it is time to measure."""
        return self.position == self.stops[0]

    @property
    def n_tokens(self) -> int:
        """Row positions trained by each lane so far."""
        return int(self.controls[0].tokens_S[self.position - 1]) if self.position else 0

    def rows_wanted(self, n_rows: int) -> int:
        """How many of `n_rows` validation rows the next stop measures."""
        return n_rows if len(self.stops) == 1 else max(1, n_rows // _CURVE_SHARE)


@dataclass(frozen=True)
class Window:
    """Control arrays of all slots for one call, padded to the call's fixed length; axes as in train.lanes."""

    apply_GS: np.ndarray
    hyper_GLS: dict[str, np.ndarray]
    index_GLSB: np.ndarray


def window(
    slots: list[Slot | None], group_size: int, chunk_steps: int, n_steps: int, n_rows: int, template: Controls
) -> Window:
    """The next `n_steps` micro-steps of every slot. Empty slots and missing lanes get zeros: an update of learning rate
    and decay zero on row 0, whose result nobody reads. `template` gives the arrays' names and the micro-batch."""
    micro_batch_rows = template.micro_batch_rows
    shape = (len(slots), group_size, chunk_steps)
    apply_GS = np.zeros((len(slots), chunk_steps), bool)
    hyper_GLS = {name: np.zeros(shape, np.float32) for name in template.hyper}
    index_GLSB = np.zeros((*shape, micro_batch_rows), np.int32)
    for g, slot in enumerate(slots):
        if slot is None:
            continue
        steps = slice(slot.position, slot.position + n_steps)
        rows = (steps.start * micro_batch_rows, steps.stop * micro_batch_rows)
        apply_GS[g, :n_steps] = slot.controls[0].apply_S[steps]
        for lane, (run, arrays) in enumerate(zip(slot.group.runs, slot.controls, strict=True)):
            for name, values_S in arrays.hyper.items():
                hyper_GLS[name][g, lane, :n_steps] = values_S[steps]
            index = row_indices(run.data_seed, *rows, n_rows)
            index_GLSB[g, lane, :n_steps] = index.reshape(n_steps, micro_batch_rows)
    return Window(apply_GS, hyper_GLS, index_GLSB)
