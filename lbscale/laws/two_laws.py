"""Two fits of one law as a single law of twice the parameters, so that noise which their rows share cancels.

The fits have no parameter in common, and their optimum together is that of each. What they share is noise: runs of
one cell under one seed see the same data in the same order. Treated as one law on the rows of both, the errors that
groups of rows share are estimated across the two (`effects`), and the interval of a difference knows of them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lbscale.laws.criterion import Criterion
from lbscale.laws.effects import Effects, estimate_effects, half_width
from lbscale.laws.form import Array, Columns, Law
from lbscale.laws.result import Fit
from lbscale.laws.search import Problem
from lbscale.laws.table import Rows

SECOND = "is_second"  # the column that says which of the two a row belongs to
AT_BOUND = 1e-9
Path = Callable[[NDArray[Any]], tuple[NDArray[Any], NDArray[Any]]]


@dataclass(frozen=True)
class TwoLaws:
    """Two fitted laws of loss along a path through sizes and tokens, and what is known of both together.

    Attributes:
        laws: both, stated at the centre of their data, where parameters are least correlated.
        law: the two as one, theirs the parameters `theta` (2p,).
        paths: of each, ln FLOPs (m,) -> (ln n_params (m,), ln n_tokens (m,)).
        paired: what rows of both share cancels in differences.
        unpaired: as if no row of one had anything in common with a row of the other.
    """

    laws: tuple[Law, Law]
    law: Law
    theta: NDArray[Any]
    paths: tuple[Path, Path]
    paired: Effects
    unpaired: Effects

    def log_loss(self, which: int, log_flops: Array, theta: Array | None = None) -> Array:
        """ln loss (..., m) of one of the two, 0 or 1, at ln FLOPs (m,), tuned settings at their optimum."""
        p = self.theta.size // 2
        law = self.laws[which]
        own = (self.theta if theta is None else theta)[..., p * which : p * (which + 1)]
        logs = _own(law, dict(zip(("n_params", "n_tokens"), self.paths[which](log_flops), strict=True)))
        with np.errstate(all="ignore"):  # far beyond the data a law need not be finite
            if law.tuning is not None:
                logs = {**logs, **law.tuning(own, logs)}
            return np.log(law.form(own, logs))

    def difference(self, one: Array, other: Array, paired: bool = True) -> tuple[Array, Array]:
        """ln loss of the second at ln FLOPs `other` (m,) less that of the first at `one` (m,), and the half-width of
        its 95 % interval; NaN where unknown."""
        gap = self.log_loss(1, other) - self.log_loss(0, one)
        return gap, half_width(*self.variance(one, other, paired))

    def variance(self, one: Array, other: Array, paired: bool = True) -> tuple[Array, Array]:
        """Variance (m,) of that difference, and its degrees of freedom (m,)."""
        by = self.law.gradient(self.theta, lambda t: self.log_loss(1, other, t) - self.log_loss(0, one, t))
        return (self.paired if paired else self.unpaired).variance(by)

    def band(self, which: int, log_flops: Array) -> tuple[Array, Array]:
        """ln loss (m,) of one of the two and the half-width of its 95 % interval."""
        by = self.law.gradient(self.theta, lambda t: self.log_loss(which, log_flops, t))
        return self.log_loss(which, log_flops), self.paired.reach(by)


def join(
    fits: tuple[Fit, Fit], rows: Rows, second: NDArray[Any], criterion: Criterion, paths: tuple[Path, Path]
) -> TwoLaws:
    """Two fits of one law and the rows of both, `second` (n,) of bool the second's."""
    sides = (~second, second)
    laws, coordinates, bounds = [], [], []
    for fit, here in zip(fits, sides, strict=True):
        centre = {name: float(np.exp(np.log(rows.columns[name][here]).mean())) for name in fit.law.scaled}
        laws.append(fit.law.at(centre))
        u = fit.law.shift(fit.law.reference or {}, centre) @ fit.law.to_search(fit.theta)
        ends = [fit.law.to_search(end) for end in fit.law.bounds(float(rows.target[here & ~rows.censored].min()))]
        for end in ends:
            u = np.where(np.abs(u - end) < AT_BOUND, end, u)
        coordinates.append(u)
        bounds.append(ends)
    u = np.concatenate(coordinates)
    lower, upper = (np.concatenate(ends) for ends in zip(*bounds, strict=True))
    law = both(laws[0], laws[1])
    logs = {**{name: np.log(values) for name, values in rows.columns.items()}, SECOND: second.astype(float)}
    target = np.log(rows.target) if criterion.residual == "log" else rows.target
    problem = Problem(law, logs, target, rows.censored_targets, criterion.residual, lower, upper)
    paired, unpaired = (
        estimate_effects(problem, each, u, criterion.exact)
        for each in (with_recipe_cells(rows, second), apart(rows, second))
    )
    return TwoLaws((laws[0], laws[1]), law, law.from_search(u), paths, paired, unpaired)


def both(one: Law, other: Law) -> Law:
    """The law of the rows of both: `one` where `SECOND` is 0, `other` where it is 1, of logs of unscaled columns."""
    p = len(one.parameters)

    def form(theta: Array, logs: Columns) -> Array:
        values = one.form(theta[..., :p], _own(one, logs)), other.form(theta[..., p:], _own(other, logs))
        return np.where(logs[SECOND] > 0, values[1], values[0])

    def jacobian(theta: Array, logs: Columns) -> tuple[Array, Array]:
        second = logs[SECOND] > 0
        first_value, by_first = one.value_and_jacobian(theta[..., :p], _own(one, logs))
        value, by_second = other.value_and_jacobian(theta[..., p:], _own(other, logs))
        slopes = [np.where(second, 0.0, by_first), np.where(second, by_second, 0.0)]
        return np.where(second, value, first_value), np.concatenate(slopes, axis=-2)

    return Law(
        name=one.name,
        columns=(*one.columns, SECOND),
        parameters=(*one.parameters, *other.parameters),
        form=form,
        jacobian=jacobian,
        starts=one.starts,
        paper=one.paper,
        schedule=one.schedule,
    )


def apart(rows: Rows, second: NDArray[Any]) -> Rows:
    """The rows with no group that holds runs of both recipes."""
    labels = {}
    for name in ("cell", "seed", "data_seed", "trunk", "group"):
        label = getattr(rows, name)
        if label is not None:
            labels[name] = label + second * (int(label.max()) + 1)
    return replace(rows, **labels)


def with_recipe_cells(rows: Rows, second: NDArray[Any]) -> Rows:
    """The rows with the runs of a recipe in a cell as a factor, where they have no trunks.

    What the law gets wrong of one recipe in a cell is shared by its seeds and not by the other recipe, as the luck of a
    trunk is.
    """
    label = 2 * rows.cell + second
    if rows.trunk is not None or np.unique(label).size == label.size:
        return rows
    return replace(rows, trunk=label)


def _own(law: Law, logs: Columns) -> dict[str, Array]:
    """Logs of unscaled columns as the law's form takes them."""
    reference = law.reference or {}
    return {name: logs[name] - np.log(reference.get(name, 1.0)) for name in law.columns if name in logs}
