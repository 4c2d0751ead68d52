"""A study designed before anything is trained: which runs, and how well a law fitted to them will predict a target.

The truth is assumed: a published surface, published best settings and a published bowl about them, joined in the form
of `joint`. Runs scatter about it independently, by one relative standard deviation. To first order, a fit of `joint` to
the design then has the covariance of least squares with the law's own mild penalties, of which the expected intervals
are made. Designs are grids of sizes x tokens per param x settings. Of those that a budget pays, the one is taken whose
half-width of the target's loss, and what its recommended settings will give up there, is least in sum.
"""

from __future__ import annotations

import functools
import itertools
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from lbscale.errors import InputError, check
from lbscale.laws.expectation import Truth, aim_at, expect
from lbscale.laws.joint import JOINT

N_SIZES = (3, 4, 5, 6)
SPACING = (1, 2, 3, 4)  # steps of the ladder between sizes
RATIOS = ((0.25, 1.0), (0.5, 2.0), (1.0, 4.0), (0.25, 1.0, 4.0), (0.5, 1.0, 2.0), (1.0, 4.0, 16.0))
FACTORS = (2.0, 4.0)  # from one setting of the grid to the next
FEWEST_UPDATES = 64
BATCH_EXPONENT = 0.5  # of the learning rate, between a cell's batches
RATE_STEP = math.sqrt(2.0)


class Setting(NamedTuple):
    """One setting of a cell, trained with `n_seeds` seeds."""

    learning_rate: float
    batch_size_tokens: int
    n_seeds: int


class Cell(NamedTuple):
    """Runs of one size and budget of tokens."""

    n_params: float
    n_tokens: int
    settings: tuple[Setting, ...]


@dataclass(frozen=True)
class Ladder:
    """Sizes (m,) that can be trained, ascending, and the training FLOPs of a token of each (m,)."""

    n_params: Sequence[float]
    flops_per_token: Sequence[float]


@dataclass(frozen=True)
class Design:
    """A design, its cost with every run trained alone, and what is to be expected of it.

    `expected` has the loss, {"value", "interval_mean", "interval_new_run"}, the best learning rate and batch, {"value",
    "interval"}, of the target, and "given_up", {"value"}: the nats per token that their errors cost on average.
    `factor` lies between neighbouring settings; `is_grid` says whether cells of the smallest budgets have all nine
    settings, or the star of five that the others have.
    """

    cells: tuple[Cell, ...]
    truth: Truth
    target: Mapping[str, float]
    run_sd: float
    factor: float
    is_grid: bool
    flops: float
    expected: dict[str, dict[str, Any]]

    @property
    def n_runs(self) -> int:
        """Runs, seeds counted."""
        return sum(setting.n_seeds for cell in self.cells for setting in cell.settings)

    def columns(self) -> dict[str, NDArray[Any]]:
        """The law's columns (n,), a row a run."""
        rows = [
            (cell.n_params, cell.n_tokens, setting.learning_rate, setting.batch_size_tokens)
            for cell in self.cells
            for setting in cell.settings
            for _ in range(setting.n_seeds)
        ]
        return dict(zip(JOINT.columns, np.array(rows, float).T, strict=True))


def design(
    truth: Truth,
    target: Mapping[str, float],
    budget: float,
    ladder: Ladder,
    *,
    seq_len: int,
    run_sd: float = 0.003,
    n_seeds: int = 3,
) -> Design:
    """The design for `budget` FLOPs that predicts the loss at `target`, n_params and n_tokens, best.

    Args:
        run_sd: standard deviation of ln loss of a run, its seed's included.
        n_seeds: seeds of the best setting of the smallest size's cells, one elsewhere.
        seq_len: batches are powers of two times it.

    Raises InputError where the budget pays no design, or a number is out of range.
    """
    check(0.0 < run_sd < 1.0, "run_sd", run_sd, "a relative standard deviation above 0 and below 1")
    check(1 <= n_seeds <= 100, "seeds", n_seeds, "a whole number from 1 to 100")
    found: list[Design] = []
    cheapest, aim = math.inf, aim_at(truth, target)
    for make in _families(truth, target, ladder, seq_len, n_seeds):
        affordable: tuple[tuple[Cell, ...], float, float, bool] | None = None
        low, high = 0, len(ladder.n_params)
        while low < high:  # the largest that the budget pays; cost grows with the place on the ladder
            middle = (low + high) // 2
            made = make(middle)
            if made is None:
                low = middle + 1
                continue
            cost = _cost(made[0], ladder)
            cheapest = min(cheapest, cost)
            if cost <= budget:
                affordable, low = (made[0], cost, *made[1:]), middle + 1
            else:
                high = middle
        if affordable is not None:
            cells, cost, factor, is_grid = affordable
            whole = Design(cells, truth, dict(target), run_sd, factor, is_grid, cost, {})
            expected = expect(truth, whole.columns(), run_sd, aim)
            if expected is not None:
                found.append(Design(cells, truth, dict(target), run_sd, factor, is_grid, cost, expected))
    if not found:
        least = _least_cost(truth, target, ladder, seq_len, n_seeds)
        raise InputError("budget", budget, f"at least the {min(cheapest, least):.3g} FLOPs of the smallest design")
    return min(found, key=lambda one: _error(one.expected))


Made = tuple[tuple[Cell, ...], float, bool]


def _families(
    truth: Truth, target: Mapping[str, float], ladder: Ladder, seq_len: int, n_seeds: int
) -> Iterator[Callable[[int], Made | None]]:
    """Designs by the place of their largest size on the ladder; None where the ladder has too few smaller ones."""
    ratio = target["n_tokens"] / target["n_params"]
    cell_of = functools.cache(functools.partial(_cell, truth))
    for n_sizes, spacing, ratios, factor, is_grid in itertools.product(
        N_SIZES, SPACING, RATIOS, FACTORS, (True, False)
    ):

        def make(
            top: int,
            n_sizes: int = n_sizes,
            spacing: int = spacing,
            ratios: tuple[float, ...] = ratios,
            factor: float = factor,
            is_grid: bool = is_grid,
        ) -> Made | None:
            places = [top - spacing * k for k in reversed(range(n_sizes))]
            if places[0] < 0:
                return None
            sizes = [ladder.n_params[place] for place in places]
            cells = [
                cell_of(size, ratio * share * size, seq_len, factor, is_grid and share == ratios[0],
                      n_seeds if size == sizes[0] else 1)
                for size in sizes
                for share in ratios
            ]  # fmt: skip
            return tuple(cells), factor, is_grid

        yield make


def _cell(
    truth: Truth, n_params: float, n_tokens: float, seq_len: int, factor: float, is_grid: bool, n_seeds: int
) -> Cell:
    """The settings about the best ones of a size and budget: a grid of nine, or a star of five."""
    tokens = max(FEWEST_UPDATES, round(n_tokens / seq_len)) * seq_len
    best = truth.best(n_params, tokens)
    most = max(1.0, tokens / FEWEST_UPDATES / seq_len)
    middle = 2 ** round(math.log2(min(max(1.0, best["batch_size_tokens"] / seq_len), most)))
    steps = round(factor)
    found: dict[tuple[float, int], Setting] = {}
    for up_batch, up_rate in itertools.product((0, -1, 1), (0, -1, 1)):
        if not is_grid and up_batch and up_rate:
            continue
        rows = middle * steps**up_batch if up_batch >= 0 else max(1, middle // steps)
        ratio = rows * seq_len / best["batch_size_tokens"]
        rate = _snapped(best["learning_rate"] * ratio**BATCH_EXPONENT * factor**up_rate)
        centre = not up_batch and not up_rate
        found.setdefault((rate, rows), Setting(rate, rows * seq_len, n_seeds if centre else 1))
    return Cell(n_params, tokens, tuple(found.values()))


def _snapped(rate: float) -> float:
    """The nearest power of the square root of two, so that cells meet at the same rates and may share trunks."""
    return float(f"{RATE_STEP ** round(math.log(rate) / math.log(RATE_STEP)):.6g}")


def _cost(cells: tuple[Cell, ...], ladder: Ladder) -> float:
    per_token = dict(zip(ladder.n_params, ladder.flops_per_token, strict=True))
    runs = [sum(setting.n_seeds for setting in cell.settings) for cell in cells]
    return float(sum(n * cell.n_tokens * per_token[cell.n_params] for n, cell in zip(runs, cells, strict=True)))


def _least_cost(truth: Truth, target: Mapping[str, float], ladder: Ladder, seq_len: int, n_seeds: int) -> float:
    costs = []
    for make in _families(truth, target, ladder, seq_len, n_seeds):
        made = next((made for top in range(len(ladder.n_params)) if (made := make(top)) is not None), None)
        costs.append(math.inf if made is None else _cost(made[0], ladder))
    return min(costs)


def _error(expected: Mapping[str, Mapping[str, Any]]) -> float:
    """Nats per token by which the loss and the settings are expected to err."""
    low, high = expected["loss"]["interval_mean"]
    return float(0.5 * (high - low) + expected["given_up"]["value"])
