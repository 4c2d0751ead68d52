"""Variances of a fit when rows share errors: random effects of cell, seed and trunk, by moments.

A robust fit responds, to first order, to the slopes psi of its loss as least squares does to residuals, so one linear
mixed model serves every loss: slopes are what the law's tangent explains, plus an error for each group of each factor,
plus one for each row. How well the variance of each kind is known (`components`) gives each quantity its own degrees of
freedom (Satterthwaite 1946, https://doi.org/10.2307/3002019).

Where the factors leave enough groups of rows that share nothing, the scatter of those groups takes the place of the
model (`clusters`), so that noise need not be alike everywhere.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lbscale.laws.clusters import FEWEST_CLUSTERS, Clusters, connect, estimate_clusters
from lbscale.laws.components import RUN, SMALLEST_SHARE, UNKNOWN, components_of, estimate_variances
from lbscale.laws.factors import factors
from lbscale.laws.losses import LossValue
from lbscale.laws.search import Problem
from lbscale.laws.table import Rows
from lbscale.laws.text import as_array

ROUNDING = 1e-20  # a parameter that moves squared residuals by less than this share of another's does not
WIDENING = 2.0  # of Silverman's width: curvatures of five parameters need more rows than a density does
LOOSE = 1e-8  # share of a squared gradient in undetermined directions that makes a quantity undetermined
Z975 = 1.959963984540054


@dataclass(frozen=True)
class Effects:
    """Variance components and what each does to the searched coordinates.

    Attributes:
        names: of the K components: factor, or "run", and the target where there are several.
        n_groups: (K,) groups of each.
        variances: (K,) of the loss's slopes.
        uncertainty: (K, K) sampling covariance of `variances`.
        spreads: (K, p, p) covariance of the searched coordinates for one unit of each.
        inverse: (p, p) inverse of the objective's curvature, averaged over the kinks of its loss; zero for held ones.
        clusters: the scores of independent groups, where there are enough for their scatter to give the variance
            without a model of it.
        guessed: (p, p) covariance that stems from mild penalties.
        open: (p, d) orthonormal directions of the searched coordinates that the data leaves undetermined.
        shift: (p, p) by which the coordinates of gradients are made from those searched.
        new_run: (k,) variance of one more run of each target, in the units of the squared residual.
        within: (k,) its part that runs of a group do not share.
    """

    names: list[str]
    n_groups: NDArray[Any]
    variances: NDArray[Any]
    uncertainty: NDArray[Any]
    spreads: NDArray[Any]
    inverse: NDArray[Any]
    clusters: Clusters | None
    guessed: NDArray[Any]
    open: NDArray[Any]
    shift: NDArray[Any]
    new_run: NDArray[Any]
    within: NDArray[Any]

    @staticmethod
    def restored(saved: Mapping[str, Any]) -> Effects:
        """Of the plain values that `dataclasses.asdict` gave."""
        clusters = Clusters.restored(saved["clusters"]) if saved["clusters"] is not None else None
        arrays = {name: as_array(value) for name, value in saved.items() if name not in ("names", "clusters")}
        return Effects(names=saved["names"], clusters=clusters, **arrays)

    def said(self) -> dict[str, dict[str, float]]:
        """Component -> its share of all variance, and its number of groups."""
        total = max(float(self.variances.sum()), 1e-300)
        found = zip(self.names, self.variances, self.n_groups, strict=True)
        return {name: {"variance_share": float(part / total), "n_groups": int(n)} for name, part, n in found}

    def moved(self, shift: NDArray[Any]) -> Effects:
        """The same for coordinates `shift` @ u."""
        return replace(self, shift=shift @ self.shift)

    def variance(self, gradient: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any]]:
        """Variance (m,) and its degrees of freedom (m,) of quantities with gradients (p, m) by the searched
        coordinates; infinite where the data leaves a quantity undetermined."""
        gradient = self.shift.T @ gradient
        if self.clusters is not None:
            estimated, freedom = self.clusters.variance(gradient)
            with np.errstate(divide="ignore", invalid="ignore"):
                unsure = np.where(freedom > 0, 2.0 * estimated**2 / freedom, UNKNOWN)
        else:
            shares = np.einsum("pm,kpq,qm->km", gradient, self.spreads, gradient)
            estimated = (shares * self.variances[:, None]).sum(axis=0)
            unsure = np.einsum("km,kl,lm->m", shares, self.uncertainty, shares)
        known = np.einsum("pm,pq,qm->m", gradient, self.guessed, gradient)
        loose = ((self.open.T @ gradient) ** 2).sum(axis=0) > LOOSE * (gradient**2).sum(axis=0)
        total = np.where(loose, np.inf, np.maximum(estimated + known, 0.0))
        with np.errstate(divide="ignore", invalid="ignore"):
            freedom = np.where(unsure > 0, 2.0 * (estimated + known) ** 2 / unsure, np.inf)
        return total, freedom

    @property
    def freedom_of_a_run(self) -> float:
        """Degrees of freedom, at least 1, of the summed variances."""
        total, unsure = self.variances.sum(), self.uncertainty.sum()
        return float(np.clip(2.0 * total**2 / unsure, 1.0, 1e9)) if unsure > 0 else 1e9

    @property
    def curvature(self) -> NDArray[Any]:
        """Second derivative (p,) of the profiled objective by each coordinate; zero where the data says nothing."""
        scale = np.diag(self.shift @ self.inverse @ self.shift.T)
        loose = np.square(self.shift @ self.open).sum(axis=1) > LOOSE * np.square(self.shift).sum(axis=1)
        return np.where(loose | (scale <= 0), 0.0, 1.0 / np.where(scale > 0, scale, 1.0))

    def reach(self, gradient: NDArray[Any]) -> NDArray[Any]:
        """Half-widths (m,) of 95 % intervals of quantities with gradients (p, m); NaN where unknown."""
        variance, freedom = self.variance(gradient)
        return half_width(variance, freedom)


def half_width(variance: NDArray[Any], freedom: NDArray[Any]) -> NDArray[Any]:
    """Student's 95 % half-width; NaN where the variance is infinite or rests on less than one degree of freedom."""
    from scipy.special import stdtrit

    known = np.isfinite(variance) & (freedom >= 1.0 - 1e-9)
    t = np.where(np.isfinite(freedom), stdtrit(np.where(known, np.minimum(freedom, 1e9), 1.0), 0.975), Z975)
    return np.where(known, np.sqrt(np.where(known, variance, 0.0)) * t, np.nan)


def estimate_effects(
    problem: Problem, rows: Rows, u: NDArray[Any], loss: Callable[[NDArray[Any]], LossValue]
) -> Effects:
    """The effects at the optimum u (p,); censored rows, and coordinates at a bound, take no part."""
    used = ~problem.censored
    n_targets = problem.target.size // rows.n
    held = problem.held_at(u)
    residual, jacobian = (array[0] for array in problem.residuals(u[None]))
    jacobian = np.where(held[:, None], 0.0, jacobian)[:, used]
    residual, root = residual[used], np.sqrt(rows.weight[used])
    target = np.repeat(np.arange(n_targets), rows.n)[used]
    components = components_of(rows, problem.law.targets, used)

    slope, curvature = loss(residual).slope, np.empty_like(residual)
    for j in range(n_targets):
        here = target == j
        curvature[here] = smooth_curvature(residual[here], loss, np.linalg.matrix_rank(jacobian[:, here]))
    tangent = jacobian * root * (curvature if (curvature > 0).any() else 1.0)
    variances, uncertainty = estimate_variances(np.stack([slope, residual]) * root, tangent, components)
    _, width, stiffness = problem.law.penalty
    inverse, open_ = _inverse(jacobian * root * np.sqrt(curvature), stiffness, held)
    influence = inverse @ (jacobian * root)
    connected = connect([factor.label for factor in factors(rows, fewest=2)], rows.n)
    connected = np.unique(np.tile(connected, n_targets)[used], return_inverse=True)[1]
    enough = connected.max() + 1 >= FEWEST_CLUSTERS
    clusters = estimate_clusters(connected, slope, jacobian, curvature, root**2, inverse) if enough else None
    sums = [component.sums(influence) for component in components]
    pull = np.where(stiffness > 0, stiffness * np.where(stiffness > 0, width, 0.0), 0.0)
    of_target = np.array([component.target for component in components])
    alone = np.array([component.name == RUN for component in components])
    return Effects(
        names=[component.said(problem.law.targets) for component in components],
        n_groups=np.array([component.n_groups for component in components]),
        variances=variances[0],
        uncertainty=uncertainty,
        spreads=np.stack([part @ part.T for part in sums]),
        inverse=inverse,
        clusters=clusters,
        guessed=inverse @ np.diag(pull**2) @ inverse,
        open=open_,
        shift=np.eye(u.size),
        new_run=np.array([variances[1][of_target == j].sum() for j in range(n_targets)]),
        within=np.array([variances[1][(of_target == j) & alone].sum() for j in range(n_targets)]),
    )


def smooth_curvature(residual: NDArray[Any], loss: Callable[[NDArray[Any]], LossValue], n_taken: int) -> NDArray[Any]:
    """The slope of psi at residuals (n,), by a difference as wide as a kernel density estimate of them.

    Row by row, so that noise may differ between rows (Powell 1991, as in Koenker 2005, section 3.4.2). The `n_taken`
    residuals nearest zero, through which a robust fit passes whatever the noise, do not enter the width.
    """
    rest = residual[np.argsort(np.abs(residual), kind="stable")[min(n_taken, residual.size // 2) :]]
    low, high = np.quantile(rest, [0.25, 0.75])
    scale = min(float(rest.std()), float(high - low) / 1.349)
    if not scale > 0:
        return loss(residual).majorant
    width = WIDENING * 1.06 * scale * rest.size**-0.2
    return (loss(residual + width).slope - loss(residual - width).slope) / (2.0 * width)


def _inverse(jacobian: NDArray[Any], stiffness: NDArray[Any], held: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any]]:
    """The inverse (p, p) of the curvature in what is not held, and directions (p, d) in which it has none."""
    free = ~held
    curvature = jacobian @ jacobian.T + np.diag(stiffness)
    idle = np.diag(curvature) <= ROUNDING * np.diag(curvature).max()
    curvature[idle], curvature[:, idle] = 0.0, 0.0
    size = np.sqrt(np.where(np.diag(curvature) > 0, np.diag(curvature), 1.0))
    values, vectors = np.linalg.eigh((curvature / np.outer(size, size))[np.ix_(free, free)])
    known = values > SMALLEST_SHARE
    inverse, open_ = np.zeros(curvature.shape), np.zeros((free.size, int((~known).sum())))
    inverse[np.ix_(free, free)] = (vectors[:, known] / values[known]) @ vectors[:, known].T
    open_[free] = vectors[:, ~known] / size[free, None]
    return inverse / np.outer(size, size), np.linalg.qr(open_)[0]
