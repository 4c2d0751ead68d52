"""Variances of a fit when rows share errors: random effects of cell, seed and trunk, by moments.

A robust fit responds, to first order, to the slopes psi of its loss as least squares does to residuals, so one linear
mixed model serves every loss: slopes are what the law's tangent explains, plus an error for each group of each factor,
plus one for each row. The variance of each kind is estimated by equating quadratic forms with their expectations
(MINQUE, Rao 1972, https://doi.org/10.1080/01621459.1972.10481213), which corrects for what the fit took up, and none
is let below zero. How well they are known comes from simulating that model, and gives each quantity its own degrees
of freedom (Satterthwaite 1946, https://doi.org/10.2307/3002019).

Where the factors leave enough groups of rows that share nothing, the scatter of those groups takes the place of the
model (`clusters`), so that noise need not be alike everywhere.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from lbscale.laws.clusters import FEWEST_CLUSTERS, Clusters, connect, estimate_clusters
from lbscale.laws.losses import LossValue
from lbscale.laws.search import Problem
from lbscale.laws.table import Rows
from lbscale.laws.text import as_array

FEWEST_GROUPS = 5  # of a factor whose variance is estimated
SIMULATIONS = 400
MOST_SIMULATED = 5000  # rows
RUN = "run"
ROUNDING = 1e-20  # a parameter that moves squared residuals by less than this share of another's does not
WIDENING = 2.0  # of Silverman's width: curvatures of five parameters need more rows than a density does
UNKNOWN = 1e100  # a sampling variance that leaves no degrees of freedom
LOOSE = 1e-8  # share of a squared gradient in undetermined directions that makes a quantity undetermined
SMALLEST_SHARE = 1e-10  # of curvature in a direction, below which the data does not determine it
Z975 = 1.959963984540054


class Factor(NamedTuple):
    """Rows that share errors: a number (n,) for each row's group."""

    name: str
    label: NDArray[Any]


class _Component(NamedTuple):
    """One variance: of a factor's groups, or of the rows, in one target's values.

    `where` (m,) are the values that it touches, `code` (m,) their groups, and `scale` (m,) by how much one unit of
    a group's error moves each weighted value.
    """

    name: str
    target: int
    where: NDArray[Any]
    code: NDArray[Any]
    scale: NDArray[Any]

    @property
    def n_groups(self) -> int:
        return int(self.code.max()) + 1

    def sums(self, rows: NDArray[Any]) -> NDArray[Any]:
        """Sums (m, groups) over the groups of vectors of values (m, n)."""
        weighted = rows[:, self.where] * self.scale
        return np.stack([np.bincount(self.code, weights=row, minlength=self.n_groups) for row in weighted])

    def apply(self, rows: NDArray[Any]) -> NDArray[Any]:
        """Vectors of values (m, n) times the covariance matrix that one unit of this variance gives."""
        out = np.zeros_like(rows)
        out[:, self.where] = (self.sums(rows)[:, self.code] if len(rows) else 0.0) * self.scale
        return out

    def overlap(self, other: _Component) -> float:
        """Trace of the product of the two covariance matrices."""
        if self.target != other.target:
            return 0.0
        pair = np.unique(self.code * other.n_groups + other.code, return_inverse=True)[1]
        return float((np.bincount(pair, weights=self.scale * other.scale) ** 2).sum())


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


def factors(rows: Rows, fewest: int = FEWEST_GROUPS) -> list[Factor]:
    """The factors whose groups may share errors, by run (n,): the caller's choice of column, or cell, seed in a
    cell, trunk and data seed. One that tells no two rows apart, or all, or has under `fewest` groups, is left
    out, as is one that groups like another."""
    if rows.group is not None:
        candidates = [Factor("group", rows.group)]
    else:
        candidates = [Factor("cell", rows.cell)]
        if rows.trunk is not None:
            candidates.append(Factor("trunk", rows.trunk))
        if rows.seed is not None:
            both = np.column_stack([rows.cell, rows.seed])
            candidates.append(Factor("seed", np.unique(both, axis=0, return_inverse=True)[1].ravel()))
        if rows.data_seed is not None:
            candidates.append(Factor("data_seed", rows.data_seed))
    found: dict[bytes, Factor] = {}
    for name, label in candidates:
        first, code = np.unique(label, return_index=True, return_inverse=True)[1:]
        order = np.argsort(np.argsort(first))[code]
        enough = fewest <= first.size < label.size or name == "group"
        if enough and order.tobytes() not in found:
            found[order.tobytes()] = Factor(name, order)
    return list(found.values())


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
    components = _components(rows, problem.law.targets, used)

    slope, curvature = loss(residual).slope, np.empty_like(residual)
    for j in range(n_targets):
        here = target == j
        curvature[here] = smooth_curvature(residual[here], loss, np.linalg.matrix_rank(jacobian[:, here]))
    tangent = jacobian * root * (curvature if (curvature > 0).any() else 1.0)
    variances, uncertainty = _variances(np.stack([slope, residual]) * root, tangent, components)
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
        names=[_named(component, problem.law.targets) for component in components],
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


def _named(component: _Component, targets: tuple[str, ...]) -> str:
    return component.name if len(targets) == 1 else f"{component.name} of {targets[component.target]}"


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


def _components(rows: Rows, names: tuple[str, ...], used: NDArray[Any]) -> list[_Component]:
    """Each factor, and the row itself, once for each target, on the used values."""
    root = np.sqrt(rows.weight)[used]
    target = np.repeat(np.arange(len(names)), rows.n)[used]
    found = []
    for name, label in [*factors(rows), Factor(RUN, np.arange(rows.n))]:
        tiled = np.tile(label, len(names))[used]
        for j in np.unique(target):
            where = np.flatnonzero(target == j)
            code = np.unique(tiled[where], return_inverse=True)[1]
            scale = np.ones(where.size) if name == RUN else root[where]
            found.append(_Component(name, int(j), where, code, scale))
    return found


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


def _variances(
    values: NDArray[Any], tangent: NDArray[Any], components: list[_Component]
) -> tuple[NDArray[Any], NDArray[Any]]:
    """Variance of each component (v, K) for vectors of values (v, n), and the sampling covariance (K, K) of the first.

    `tangent` (p, n) spans what the fit took up.
    """
    basis = _basis(tangent)
    spread = [component.apply(basis) for component in components]
    inner = [basis @ part.T for part in spread]
    n_components = len(components)
    gram = np.zeros((n_components, n_components))
    for a, one in enumerate(components):
        for b, other in enumerate(components[: a + 1]):
            taken = 2.0 * float((spread[a] * spread[b]).sum()) - float((inner[a] * inner[b].T).sum())
            gram[a, b] = gram[b, a] = one.overlap(other) - taken

    def estimate(vectors: NDArray[Any]) -> NDArray[Any]:
        rest = vectors - (vectors @ basis.T) @ basis
        return _solve(gram, np.stack([(c.sums(rest) ** 2).sum(axis=1) for c in components], axis=-1))

    found = estimate(values)
    freedom = values.shape[1] - len(basis)
    if freedom < 1:
        return found, UNKNOWN * np.eye(n_components)
    if n_components == 1:
        return found, np.array([[2.0 * found[0, 0] ** 2 / freedom]])
    if values.shape[1] > MOST_SIMULATED:  # so many rows that only the number of groups matters
        groups = np.array([component.n_groups for component in components], float)
        return found, np.diag(2.0 * found[0] ** 2 / np.maximum(groups - len(basis), 1.0))
    simulated = np.concatenate([estimate(part) for part in _simulate(found[0], components, values.shape[1])])
    return found, np.asarray(np.cov(simulated.T))


def _simulate(variances: NDArray[Any], components: list[_Component], n: int) -> Iterator[NDArray[Any]]:
    """Portions of tables (m, n) of errors with these variances of the components."""
    rng = np.random.default_rng(0)
    for some in np.array_split(np.arange(SIMULATIONS), max(1, SIMULATIONS * n // 1_000_000)):
        values = np.zeros((some.size, n))
        for component, variance in zip(components, variances, strict=True):
            luck = rng.standard_normal((some.size, component.n_groups))
            values[:, component.where] += np.sqrt(variance) * component.scale * luck[:, component.code]
        yield values


def _solve(gram: NDArray[Any], squares: NDArray[Any]) -> NDArray[Any]:
    """Components (m, K), none below zero, from quadratic forms (m, K) with expectations gram @ components."""
    size = np.sqrt(np.maximum(np.diag(gram), 1e-300))
    scaled, moment = gram / np.outer(size, size), squares / size
    active = np.broadcast_to(np.diag(gram) > 1e-9, squares.shape)
    found: NDArray[Any] = np.zeros(squares.shape)
    for _ in range(len(gram)):
        both = active[:, :, None] & active[:, None, :]
        matrix = np.where(both, scaled, 0.0) + np.where(active, 1e-10, 1.0)[:, :, None] * np.eye(len(gram))
        found = np.linalg.solve(matrix, np.where(active, moment, 0.0)[..., None])[..., 0]
        worst = (found == found.min(axis=1, keepdims=True)) & (found < 0)
        if not worst.any():
            break
        active = active & ~worst
    return np.maximum(found, 0.0) / size


def _basis(tangent: NDArray[Any]) -> NDArray[Any]:
    """Orthonormal rows (r, n) that span those of tangent (p, n)."""
    tangent = tangent[np.any(tangent != 0.0, axis=1)]
    if not len(tangent):
        return tangent
    tangent = tangent / np.linalg.norm(tangent, axis=1, keepdims=True)
    values, vectors = np.linalg.eigh(tangent @ tangent.T)
    known = values > SMALLEST_SHARE
    return (vectors[:, known] / np.sqrt(values[known])).T @ tangent
