"""The variance of a fit from the scatter of independent groups of rows, whatever the noise looks like inside them.

The sandwich of Huber (1967) and Liang and Zeger (https://doi.org/10.1093/biomet/73.1.13): it needs neither equal noise
everywhere nor a model of what the rows of a group share. Residuals are corrected for what the fit took up of them, and
each quantity has degrees of freedom of its own (Bell and McCaffrey 2002, "CR2"; Pustejovsky and Tipton 2018,
https://arxiv.org/abs/1601.01981), few where a handful of groups decides it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lbscale.laws.text import as_array

FEWEST_CLUSTERS = 20  # below this the groups' scatter says too little without a model of it
MOST_ROWS = 2000  # above this each quantity has the same degrees of freedom
TAKEN_WHOLLY = 1e-6  # what is left of a direction in which a group alone decides


@dataclass(frozen=True)
class Clusters:
    """A fit's scores, row by row, in the searched coordinates.

    Attributes:
        label: (n,) the row's group.
        pull: (n, p) how much a unit of a row's corrected score moves the coordinates.
        tangent: (n, p) the rows' weighted derivatives, n of them or none, where `freedom` serves every quantity.
        score: (n,) the rows' scores.
        inverse: (p, p) of the objective's curvature.
        freedom: degrees of freedom where there are too many rows to tell quantities apart.
    """

    label: NDArray[Any]
    pull: NDArray[Any]
    tangent: NDArray[Any]
    score: NDArray[Any]
    inverse: NDArray[Any]
    freedom: float

    @staticmethod
    def restored(saved: Mapping[str, Any]) -> Clusters:
        """Of the plain values that `dataclasses.asdict` gave."""
        arrays = {name: as_array(saved[name]) for name in ("label", "pull", "score", "inverse")}
        tangent = as_array(saved["tangent"]).reshape(-1, len(arrays["inverse"]))
        return Clusters(**arrays, tangent=tangent, freedom=float(saved["freedom"]))

    def variance(self, gradient: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any]]:
        """Variance (m,) and degrees of freedom (m,) of quantities with gradients (p, m)."""
        label = self.label.astype(int)
        n_groups = int(label.max()) + 1
        pulls = self.pull @ gradient
        moved = _group_sums(pulls * self.score[:, None], label, n_groups)
        variance = (moved**2).sum(axis=0)
        if not len(self.tangent):
            return variance, np.full(variance.shape, self.freedom)
        square = _group_sums(pulls**2, label, n_groups)
        taken = np.stack([_group_sums(pulls * column[:, None], label, n_groups) for column in self.tangent.T])
        overlap = np.einsum("pgm,pq,qgm->gm", taken, self.inverse, taken)
        inner = np.einsum("pgm,qgm->mpq", taken, taken) @ self.inverse
        expected = (square - overlap).sum(axis=0)
        unsure = (square**2 - 2.0 * square * overlap).sum(axis=0) + np.einsum("mpq,mqp->m", inner, inner)
        with np.errstate(divide="ignore", invalid="ignore"):
            freedom = np.where(unsure > 0, expected**2 / unsure, 0.0)
        return variance, freedom


def connect(labels: list[NDArray[Any]], n: int) -> NDArray[Any]:
    """The independent group (n,) of each row: rows that share a group under any of the labels are in one."""
    group = np.arange(n)
    while True:
        before = group
        for label in labels:
            code = np.unique(label, return_inverse=True)[1]
            lowest = np.full(int(code.max()) + 1, n)
            np.minimum.at(lowest, code, group)
            group = lowest[code]
        if (group == before).all():
            return np.unique(group, return_inverse=True)[1]


def estimate_clusters(
    label: NDArray[Any],
    score: NDArray[Any],
    jacobian: NDArray[Any],
    curvature: NDArray[Any],
    weight: NDArray[Any],
    inverse: NDArray[Any],
) -> Clusters:
    """The clusters of rows (n,) with slopes of the loss `score`, its smoothed curvature and row weights, (n,) each.

    `jacobian` (p, n) and `inverse` (p, p), of the objective's curvature, are at the optimum.
    """
    pull = (jacobian * weight).T @ inverse
    tangent = (jacobian * np.sqrt(weight * curvature)).T
    n, p = pull.shape
    n_groups = int(label.max()) + 1
    if n > MOST_ROWS:
        scale = np.sqrt(n_groups / max(n_groups - p, 1))
        return Clusters(label, scale * pull, np.empty((0, p)), score, inverse, float(max(n_groups - p, 0)))
    hat = tangent @ _root(inverse)
    if n_groups == n:
        left = 1.0 - np.square(hat).sum(axis=1)
        pull = pull * np.where(left > TAKEN_WHOLLY, 1.0 / np.sqrt(np.maximum(left, TAKEN_WHOLLY)), 0.0)[:, None]
        return Clusters(label, pull, tangent, score, inverse, 0.0)
    for group in range(n_groups):
        here = label == group
        left, size, _ = np.linalg.svd(hat[here], full_matrices=False)
        rest = 1.0 - size**2
        factor = np.where(rest > TAKEN_WHOLLY, 1.0 / np.sqrt(np.maximum(rest, TAKEN_WHOLLY)), 0.0) - 1.0
        pull[here] = pull[here] + (left * factor) @ (left.T @ pull[here])
    return Clusters(label, pull, tangent, score, inverse, 0.0)


def _root(matrix: NDArray[Any]) -> NDArray[Any]:
    """R with R R^T = matrix, symmetric and not negative."""
    values, vectors = np.linalg.eigh(matrix)
    return vectors * np.sqrt(np.maximum(values, 0.0))


def _group_sums(rows: NDArray[Any], label: NDArray[Any], n_groups: int) -> NDArray[Any]:
    """Sums (groups, m) over the groups of rows (n, m)."""
    if n_groups == len(rows):
        return rows[np.argsort(label)]
    sums = np.zeros((n_groups, rows.shape[1]))
    np.add.at(sums, label, rows)
    return sums
