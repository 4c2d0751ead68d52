"""Variance components: how much of the rows' errors each factor's groups share, by moments.

Quadratic forms are equated with their expectations (MINQUE, Rao 1972, https://doi.org/10.1080/01621459.1972.10481213),
which corrects for what a fit took up, and no variance is let below zero. How well they are known comes from simulating
the model.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from lbscale.laws.factors import Factor, factors
from lbscale.laws.table import Rows

SIMULATIONS = 400
MOST_SIMULATED = 5000  # rows
RUN = "run"
UNKNOWN = 1e100  # a sampling variance that leaves no degrees of freedom
SMALLEST_SHARE = 1e-10  # of curvature in a direction, below which the data does not determine it


class Component(NamedTuple):
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

    def said(self, targets: tuple[str, ...]) -> str:
        """Its name, and its target where there are several."""
        return self.name if len(targets) == 1 else f"{self.name} of {targets[self.target]}"

    def sums(self, rows: NDArray[Any]) -> NDArray[Any]:
        """Sums (m, groups) over the groups of vectors of values (m, n)."""
        weighted = rows[:, self.where] * self.scale
        return np.stack([np.bincount(self.code, weights=row, minlength=self.n_groups) for row in weighted])

    def apply(self, rows: NDArray[Any]) -> NDArray[Any]:
        """Vectors of values (m, n) times the covariance matrix that one unit of this variance gives."""
        out = np.zeros_like(rows)
        out[:, self.where] = (self.sums(rows)[:, self.code] if len(rows) else 0.0) * self.scale
        return out

    def overlap(self, other: Component) -> float:
        """Trace of the product of the two covariance matrices."""
        if self.target != other.target:
            return 0.0
        pair = np.unique(self.code * other.n_groups + other.code, return_inverse=True)[1]
        return float((np.bincount(pair, weights=self.scale * other.scale) ** 2).sum())


def components_of(rows: Rows, names: tuple[str, ...], used: NDArray[Any]) -> list[Component]:
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
            found.append(Component(name, int(j), where, code, scale))
    return found


def estimate_variances(
    values: NDArray[Any], tangent: NDArray[Any], components: list[Component]
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


def _simulate(variances: NDArray[Any], components: list[Component], n: int) -> Iterator[NDArray[Any]]:
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
