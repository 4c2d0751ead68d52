"""The runs of one recipe at its own best settings: of each cell, those at the learning rate and batch that lost least.

A cell holds the runs of one size on one budget of tokens. A setting is judged by the mean loss of its runs, over seeds;
one at which a run diverged is not chosen while another is left. Whether the best lies inside what was tried is counted.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from lbscale.laws.grid import snap
from lbscale.laws.reading import as_numbers
from lbscale.laws.table import BUDGET, DIVERGED, UNFINISHED, cells

SETTINGS = ("learning_rate", "batch_size_tokens")
UNKNOWN = -1.0  # a setting of its own
NOT_BEST = "not at the best setting of its cell"


@dataclass(frozen=True)
class Tuning:
    """How a recipe was tuned.

    Attributes:
        settings: columns that were compared; empty where the table has none.
        n_cells: cells with a finished run.
        n_single: those in which one setting was tried.
        at_edge: setting -> cells whose best value is the smallest or largest of several that were tried.
        tried: median number of settings tried in a cell.
    """

    settings: tuple[str, ...]
    n_cells: int
    n_single: int
    at_edge: dict[str, int]
    tried: float

    def warnings(self, recipe: str) -> list[str]:
        """What a reader should know, a sentence each."""
        said = [
            f"{recipe}: the best {name} lies at the edge of what was tried in {count} of {self.n_cells} cells,"
            " so that its optimum may be better"
            for name, count in self.at_edge.items()
            if count
        ]
        if self.settings and self.n_single:
            said.append(
                f"{recipe}: a single setting in {self.n_single} of {self.n_cells} cells, of which none is tuned"
            )
        return said


def tuned_runs(frame: pd.DataFrame) -> tuple[pd.DataFrame, Tuning, int]:
    """Of one recipe's rows, those at the best setting of their cell; how it was tuned; and how many rows were left out.

    Rows without a loss to compare (unfinished, not annealed, no numbers) stay in, for their reasons to be counted
    where the table is prepared for a law.
    """
    names = tuple(name for name in SETTINGS if name in frame)
    numbers = {name: as_numbers(frame, name) for name in ("n_params", "n_tokens", "loss", *names)}
    cell = cells(numbers["n_params"], _budget(frame, numbers["n_tokens"]))
    tried, lost, counted = _runs(frame, numbers, cell)
    values = {name: _settings(numbers[name]) for name in names}
    kept = counted.copy()
    edges, n_cells, n_single, n_tried = dict.fromkeys(names, 0), 0, 0, []
    for code in np.unique(cell[tried & ~lost]):
        here = (cell == code) & tried
        setting = _codes([values[name][here] for name in names], int(here.sum()))
        best = _best(numbers["loss"][here], lost[here], setting)
        chosen = np.flatnonzero(here)[(setting == best) & ~lost[here]]
        kept[chosen] = True
        n_cells, n_single = n_cells + 1, n_single + int(setting.max() == 0)
        n_tried.append(int(setting.max()) + 1)
        for name in names:
            edges[name] += _is_at_edge(values[name][here], values[name][chosen[0]])
    report = Tuning(names, n_cells, n_single, edges, float(np.median(n_tried)) if n_tried else 0.0)
    return frame[kept], report, int((~kept).sum())


def _runs(
    frame: pd.DataFrame, numbers: dict[str, NDArray[Any]], cell: NDArray[Any]
) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any]]:
    """Which rows (n,) are runs of a known size and budget, annealed where they finished; which were lost on the way;
    and which cannot be used for a reason that is counted elsewhere."""
    sizes, loss = [numbers[name] for name in ("n_params", "n_tokens")], numbers["loss"]
    tried = np.logical_and.reduce([np.isfinite(size) & (size > 0) for size in sizes])
    bad = ~(np.isfinite(loss) & (loss > 0))
    if "status" in frame:
        bad |= frame["status"].isin(UNFINISHED).to_numpy(bool)
    if "annealed" in frame:
        unannealed = frame["annealed"].astype(str).str.strip().str.lower().isin(("false", "0", "0.0"))
        tried &= ~unannealed.to_numpy(bool) | bad
    best = np.full(int(cell.max(initial=0)) + 1, np.inf)
    np.minimum.at(best, cell, np.where(bad | ~tried, np.inf, loss))
    with np.errstate(invalid="ignore"):
        return tried, bad | (loss > DIVERGED * best[cell]), ~tried | bad


def _best(loss: NDArray[Any], lost: NDArray[Any], setting: NDArray[Any]) -> int:
    """The setting of least mean loss (m,), among those none of whose runs was lost while there are such."""
    count = np.bincount(setting, weights=~lost)
    mean = np.bincount(setting, weights=np.where(lost, 0.0, loss)) / np.maximum(count, 1.0)
    mean[count == 0] = np.inf
    safe = np.bincount(setting, weights=lost) == 0
    return int(np.argmin(np.where(safe, mean, np.inf) if safe.any() else mean))


def _is_at_edge(values: NDArray[Any], best: float) -> bool:
    """Whether `best` is the smallest or largest of several known values (m,)."""
    known = values[values != UNKNOWN]
    return bool(known.size and known.max() > known.min() and best in (known.min(), known.max()))


def _settings(values: NDArray[Any]) -> NDArray[Any]:
    """Values (n,) with those that were rounded in several ways made one, and what is no setting `UNKNOWN`."""
    known = np.isfinite(values) & (values > 0)
    found = np.where(known, values, UNKNOWN)
    if known.any():
        found[known] = snap(values[known])
    return found


def _codes(columns: list[NDArray[Any]], n: int) -> NDArray[Any]:
    """A number (n,) for each distinct combination of the columns' values."""
    if not columns:
        return np.zeros(n, int)
    return np.unique(np.column_stack(columns), axis=0, return_inverse=True)[1].ravel()


def _budget(frame: pd.DataFrame, n_tokens: NDArray[Any]) -> NDArray[Any]:
    """The budget of tokens (n,): the table's own where it states one."""
    if BUDGET not in frame:
        return n_tokens
    budget = as_numbers(frame, BUDGET)
    return np.where(np.isfinite(budget), budget, n_tokens)
