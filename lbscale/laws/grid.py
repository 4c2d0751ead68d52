"""Raw tuning grids, made ready: the runs of each cell with learning rates snapped and diverged runs counted.

A cell holds the runs of one size on one budget of tokens. Grids gathered from several sources round the same
setting in several ways, so learning rates within a per cent of their neighbour are one setting.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from lbscale.errors import check
from lbscale.laws.reading import as_numbers, check_column
from lbscale.laws.table import DIVERGED, UNFINISHED, cells

SAME_SETTING = 0.01
COLUMNS = ("n_params", "n_tokens", "learning_rate", "batch_size_tokens", "loss")


@dataclass(frozen=True)
class Cell:
    """The runs of one size and budget: m of them that finished, `tried` in all.

    Attributes:
        log_lr, log_batch: ln of the snapped learning rate and of the batch in tokens (m,).
        loss: nats per token (m,).
        diverged_log_lr, diverged_log_batch: of the runs that diverged (d,).
        diverged_loss: theirs, infinite where none was recorded (d,).
    """

    n_params: float
    n_tokens: float
    log_lr: NDArray[Any]
    log_batch: NDArray[Any]
    loss: NDArray[Any]
    diverged_log_lr: NDArray[Any]
    diverged_log_batch: NDArray[Any]
    diverged_loss: NDArray[Any]

    @property
    def excess(self) -> NDArray[Any]:
        """Loss over the cell's best, less 1 (m,)."""
        return self.loss / self.loss.min() - 1.0

    def given_up(self, learning_rate: float, batch_size_tokens: float) -> tuple[float, float, float]:
        """Learning rate and batch of the tried setting nearest in log distance, and the share of loss it gives up.

        A setting whose run diverged counts with the loss it recorded, an infinite one where it recorded none.
        """
        log_lr = np.concatenate([self.log_lr, self.diverged_log_lr])
        log_batch = np.concatenate([self.log_batch, self.diverged_log_batch])
        loss = np.concatenate([self.loss, self.diverged_loss])
        nearest = np.argmin(np.hypot(log_lr - np.log(learning_rate), log_batch - np.log(batch_size_tokens)))
        share = float(loss[nearest] / self.loss.min() - 1.0)
        return float(np.exp(log_lr[nearest])), float(np.exp(log_batch[nearest])), share


def snap(values: NDArray[Any], tolerance: float = SAME_SETTING) -> NDArray[Any]:
    """Positive values (n,) with each chain of neighbours closer than `tolerance`, a ratio less 1, set to its middle.

    The middle is the geometric mean of the chain's distinct values.
    """
    distinct, which = np.unique(values, return_inverse=True)
    logs = np.log(distinct)
    chain = np.concatenate([[0], np.cumsum(np.diff(logs) > np.log1p(tolerance))]).astype(int)
    middle = np.bincount(chain, weights=logs) / np.bincount(chain)
    return np.exp(middle)[chain][which]


def read_grid(frame: pd.DataFrame) -> tuple[list[Cell], dict[str, int], list[str]]:
    """The cells of a table of raw runs, what was left out {reason: count}, and a sentence on each thing changed.

    A run diverged if the table's `status` says so, if its loss is not finite, or if its loss exceeds `DIVERGED`
    times its cell's best. Raises InputError for a missing column and where no run is left.
    """
    for name in COLUMNS:
        check_column(frame, name)
    numbers = {name: as_numbers(frame, name) for name in COLUMNS}
    dropped: dict[str, int] = {}
    settings = COLUMNS[:-1]
    usable = np.logical_and.reduce([np.isfinite(numbers[name]) & (numbers[name] > 0) for name in settings])
    annealed = np.ones(len(frame), bool)
    if "annealed" in frame:
        annealed = ~frame["annealed"].astype(str).str.strip().str.lower().isin(("false", "0", "0.0")).to_numpy(bool)
    for reason, kept in (("settings not positive numbers", usable), ("not annealed", annealed | ~usable)):
        if not kept.all():
            dropped[reason] = int((~kept).sum())
    usable &= annealed
    check(bool(usable.any()), "table", f"{len(frame)} rows", f"a tuning grid; dropped: {dropped or 'nothing'}")
    numbers = {name: values[usable] for name, values in numbers.items()}
    loss = numbers["loss"]
    bad = ~(np.isfinite(loss) & (loss > 0))
    if "status" in frame:
        bad |= frame["status"].isin(UNFINISHED).to_numpy()[usable]
    rates = snap(numbers["learning_rate"])
    found, diverged = [], 0
    code = cells(numbers["n_params"], numbers["n_tokens"])
    for c in np.unique(code):
        here = code == c
        best = loss[here & ~bad].min(initial=np.inf)
        lost = here & (bad | (loss > DIVERGED * best))
        diverged += int(lost.sum())
        if (here & ~lost).any():
            found.append(_cell(numbers, np.log(rates), here & ~lost, lost, bad))
    if diverged:
        dropped["diverged"] = diverged
    check(bool(found), "table", f"{len(frame)} rows", f"a cell with a finished run; dropped: {dropped}")
    notes = []
    before, after = np.unique(numbers["learning_rate"]).size, np.unique(rates).size
    if after < before:
        notes.append(f"{before} learning rates are {after} settings: those within {SAME_SETTING:.0%} are one")
    return found, dropped, notes


def _cell(
    numbers: dict[str, NDArray[Any]], log_lr: NDArray[Any], kept: NDArray[Any], lost: NDArray[Any], bad: NDArray[Any]
) -> Cell:
    log_batch = np.log(numbers["batch_size_tokens"])
    return Cell(
        n_params=float(numbers["n_params"][kept][0]),
        n_tokens=float(np.median(numbers["n_tokens"][kept])),
        log_lr=log_lr[kept],
        log_batch=log_batch[kept],
        loss=numbers["loss"][kept],
        diverged_log_lr=log_lr[lost],
        diverged_log_batch=log_batch[lost],
        diverged_loss=np.where(bad, np.inf, numbers["loss"])[lost],
    )
