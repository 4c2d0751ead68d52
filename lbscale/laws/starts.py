"""Promising starts for a law's search: a grid over what is nonlinear, the linear rest solved at each point of it."""

from __future__ import annotations

import numpy as np

from lbscale.laws.form import Array, Columns

EXPONENTS = (0.05, 0.12, 0.2, 0.3, 0.45, 0.7, 1.1)
N_ROWS = 400  # a start needs no more rows than this
N_STARTS = 6


def thin(logs: Columns, target: Array) -> tuple[dict[str, Array], Array]:
    """At most `N_ROWS` of the rows, evenly spaced in the order of their targets: logs and target."""
    order = np.argsort(target, kind="stable")
    order = order[np.linspace(0, order.size - 1, min(order.size, N_ROWS)).astype(int)]
    return {name: values[order] for name, values in logs.items()}, target[order]


def grid(*axes: tuple[float, ...]) -> list[Array]:
    """Every combination of the axes' values: one flat array (g,) an axis."""
    return [values.ravel() for values in np.meshgrid(*axes, indexing="ij")]


def project(terms: Array, target: Array, weight: Array | float = 1.0, floor: float = 1e-9) -> tuple[Array, Array]:
    """Coefficients (g, t), at least `floor`, of terms (g, t, n) that add up to target (n,) or (g, n), and the misfit.

    Residuals are multiplied by weight, of the target's shape. A coefficient that would fall below the floor is
    set there and the others are solved again; the misfit (g,) is that of the coefficients returned.
    """
    terms = terms * np.expand_dims(weight, -2) if np.ndim(weight) else terms * weight
    target = np.broadcast_to(target * weight, (len(terms), terms.shape[-1]))
    scale = np.linalg.norm(terms, axis=-1, keepdims=True) + 1e-300
    terms = terms / scale
    n_terms = terms.shape[1]
    lowest = np.broadcast_to(floor * scale[..., 0], (len(terms), n_terms))
    held = np.zeros(lowest.shape, bool)
    solved = lowest
    for _ in range(n_terms + 1):
        fixed = np.where(held, lowest, 0.0)
        rest = target - np.einsum("gtn,gt->gn", terms, fixed)
        gram = terms @ terms.swapaxes(1, 2)
        free = ~held
        gram = gram * (free[:, :, None] & free[:, None, :]) + np.eye(n_terms) * np.where(held, 1.0, 1e-11)[:, None, :]
        moment = np.einsum("gtn,gn->gt", terms, rest) * free
        solved = np.where(held, lowest, np.linalg.solve(gram, moment[..., None])[..., 0])
        if not (solved < lowest).any():
            break
        held = held | (solved < lowest)
    misfit = np.square(np.einsum("gtn,gt->gn", terms, np.maximum(solved, lowest)) - target).sum(axis=1)
    return np.maximum(solved, lowest) / scale[..., 0], misfit


def best(starts: Array, misfit: Array, n_starts: int = N_STARTS) -> Array:
    """The starts (n_starts, p) of least misfit, those that are not finite left out."""
    usable = np.isfinite(starts).all(axis=1) & np.isfinite(misfit)
    return starts[usable][np.argsort(misfit[usable], kind="stable")[:n_starts]]
