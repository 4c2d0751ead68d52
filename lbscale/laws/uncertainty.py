"""How sure a fit is: bootstrap weights that keep dependent rows together, noise, small-sample intervals.

Runs of one cell (the same params and budget of tokens) share what the law gets wrong there, and runs of one seed
share its luck, in whichever cells it serves, so cells and seeds are weighted, not rows: a Bayesian bootstrap
(Rubin 1981), whose weights are never zero, so that a design of a dozen cells stays fittable. Crossed factors
multiply (Owen and Eckles 2012, https://arxiv.org/abs/1106.2125), which is slightly conservative.

With a dozen cells a bootstrap sees too little scatter where it matters, at the design's corners, which pull
the law towards themselves. Beside it stands the delta method under random effects of (cell, seed), whose
variances are pooled over all cells; every interval takes the wider of the two, and is symmetric about its value.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lbscale.laws.table import Rows

Z975 = 1.959963984540054


@dataclass(frozen=True)
class Noise:
    """Scatter of runs about the law, in the units of the residual (relative, for logarithmic residuals).

    Attributes:
        n_groups: independent groups (cells, or rows where nothing is repeated).
        degrees_of_freedom: groups less the parameters that differences between groups determine.
        inflation: factor by which the draws scatter too little in so few groups.
        t: the 97.5 % quantile of Student's t for those.
        stretch: inflation x t / 1.96, the factor that draws' spread is stretched by.
        within_sd: scatter of runs within a group.
        new_run_sd: scatter of one more run.
        seed_sd: scatter of runs that differ by their seeds alone; None where no setting is repeated.
        n_seed_runs: runs that `seed_sd` rests on.
    """

    n_groups: int
    degrees_of_freedom: float
    inflation: float
    t: float
    stretch: float
    within_sd: float
    new_run_sd: float
    seed_sd: float | None
    n_seed_runs: int


def is_grouped(rows: Rows) -> bool:
    """Whether any cell holds several rows; if none does, rows are the groups."""
    return bool(np.unique(rows.cell).size < rows.cell.size)


def bootstrap_weights(rows: Rows, n_draws: int, rng: np.random.Generator) -> NDArray[Any]:
    """Row weights (n_draws, n) of mean 1: products of those of cells, of seeds, and of trunks that cells share.

    A seed has one weight in all the cells it serves; weights of seeds that serve one cell alone share out that
    cell's. A table of a single seed is weighted by cells. Multinomial row weights where no cell is repeated.
    """
    n = rows.loss.size
    if not is_grouped(rows):
        return rng.multinomial(n, np.full(n, 1.0 / n), size=n_draws).astype(float)
    cells, cell = np.unique(rows.cell, return_inverse=True)
    weights = rng.standard_exponential((n_draws, cells.size))[:, cell]
    if rows.seed is not None:
        seeds, seed = np.unique(rows.seed, return_inverse=True)
        luck = rng.standard_exponential((n_draws, seeds.size))
        served, serving = np.unique(np.column_stack([cell, seed]), axis=0).T
        nested = np.bincount(serving)[serving] == 1
        owner, own = served[nested], serving[nested]
        total = np.zeros((n_draws, cells.size))
        np.add.at(total.T, owner, luck.T[own])
        luck[:, own] *= np.bincount(owner, minlength=cells.size)[owner] / total[:, owner]
        weights = weights * luck[:, seed]
    if rows.trunk is not None:
        trunks, trunk = np.unique(rows.trunk, return_inverse=True)
        shared = np.array([np.unique(cell[trunk == t]).size > 1 for t in range(trunks.size)])
        luck = np.where(shared, rng.standard_exponential((n_draws, trunks.size)), 1.0)
        weights = weights * luck[:, trunk]
    return weights * (n / weights.sum(axis=1, keepdims=True))


def estimate_noise(rows: Rows, residual: NDArray[Any], jacobian: NDArray[Any], *, log: bool) -> Noise:
    """Scatter between and within groups, by moments, after what the fit itself took up.

    `residual` (n,) and `jacobian` (p, n) are those at the optimum, of ln loss where `log`. The parameters used up
    are split into those that means of groups determine and those that differences within groups do, by the trace
    of the projection onto the law's tangent space.
    """
    used = ~rows.censored
    residual, jacobian = residual[used], jacobian[:, used]
    group = np.unique(rows.cell[used] if is_grouped(rows) else np.arange(used.sum()), return_inverse=True)[1]
    sizes = np.bincount(group)
    n, n_groups = residual.size, sizes.size
    basis = np.linalg.svd(jacobian, full_matrices=False)
    tangent = basis.Vh[basis.S / max(basis.S.max(), 1e-300) > 1e-9]
    sums = np.stack([np.bincount(group, weights=vector, minlength=n_groups) for vector in tangent])
    p_between = float((sums**2 / sizes).sum())
    p_within = len(tangent) - p_between
    means = np.bincount(group, weights=residual) / sizes
    freedom = max(1.0, n_groups - p_between)
    between = float((sizes * means**2).sum()) / freedom  # estimates within^2 + size * between^2
    within = float(((residual - means[group]) ** 2).sum()) / max(1.0, n - n_groups - p_within) if n > n_groups else 0.0
    typical = n / n_groups
    excess = max(0.0, (between - within) / typical)
    seed_sd, n_seed_runs = _seed_scatter(rows, log)
    new_run = max(within + excess, (seed_sd or 0.0) ** 2) if n > n_groups else between
    from scipy.special import stdtrit

    t = float(stdtrit(freedom, 0.975))
    inflation = float(np.sqrt(n_groups / freedom))
    within_sd, new_run_sd = float(np.sqrt(within)), float(np.sqrt(new_run))
    return Noise(n_groups, freedom, inflation, t, inflation * t / Z975, within_sd, new_run_sd, seed_sd, n_seed_runs)


def random_effects_covariance(
    rows: Rows, jacobian: NDArray[Any], noise: Noise, penalty: tuple[NDArray[Any], NDArray[Any], NDArray[Any]]
) -> NDArray[Any]:
    """Covariance (p, p) of the searched coordinates if runs of one cell and seed share an error.

    `jacobian` is (p, n), zero for what is held at a bound. The fit is taken as least squares, which a robust
    loss is near when its delta exceeds the noise. A seed that serves several cells is taken to have fresh luck in
    each: the part that they share is in the bootstrap's weights alone. Zero where nothing is repeated:
    rows are then the groups, and the bootstrap of hundreds of them needs no help.
    """
    p = len(jacobian)
    if not is_grouped(rows):
        return np.zeros((p, p))
    labels = rows.cell if rows.seed is None else np.column_stack([rows.cell, rows.seed])
    group = np.unique(labels, axis=0, return_inverse=True)[1].ravel()
    _, width, weight = penalty
    used = np.any(jacobian != 0.0, axis=1)
    inverse = np.linalg.pinv(jacobian @ jacobian.T + np.diag(np.where(used, weight, 0.0)), rcond=1e-13, hermitian=True)
    sums = np.zeros((p, group.max() + 1))
    np.add.at(sums.T, group, jacobian.T)
    shared = max(0.0, noise.new_run_sd**2 - noise.within_sd**2)
    guessed = np.where(weight > 0, weight * np.where(weight > 0, width, 0.0), 0.0)
    meat = noise.within_sd**2 * jacobian @ jacobian.T + shared * sums @ sums.T + np.diag(guessed**2)
    return inverse @ meat @ inverse


def _seed_scatter(rows: Rows, log: bool) -> tuple[float | None, int]:
    """Pooled standard deviation of loss, or ln loss, among finished runs that differ by seed alone; their number."""
    if rows.seed is None:
        return None, 0
    used = ~rows.censored
    settings = np.column_stack([rows.columns[name] for name in rows.columns])[used]
    setting = np.unique(settings, axis=0, return_inverse=True)[1].ravel()
    loss, seed = np.log(rows.loss[used]) if log else rows.loss[used], rows.seed[used]
    squares, freedom, runs = 0.0, 0, 0
    for s in range(setting.max() + 1):
        here = setting == s
        if np.unique(seed[here]).size > 1:
            squares += float(((loss[here] - loss[here].mean()) ** 2).sum())
            freedom, runs = freedom + int(here.sum()) - 1, runs + int(here.sum())
    return (float(np.sqrt(squares / freedom)), runs) if freedom else (None, 0)


def scaled_sd(draws: NDArray[Any], variance: NDArray[Any], noise: Noise) -> NDArray[Any]:
    """Standard deviation (...), scaled so that 1.96 of it reach the 95 % bounds; NaN with fewer than two draws.

    The wider of the spread of draws (k, ...), stretched for few groups, and of that of `variance` (...), which
    random effects give.
    """
    return np.maximum(spread(draws) * noise.stretch, np.sqrt(np.maximum(variance, 0.0)) * noise.t / Z975)


def spread(draws: NDArray[Any]) -> NDArray[Any]:
    """Standard deviation of draws (k, ...) over k from their central 68 %: one wild refit does not rule."""
    if len(draws) < 2:
        return np.full(draws.shape[1:], np.nan)
    low, high = np.quantile(draws, [0.1586552539, 0.8413447461], axis=0)
    return 0.5 * (high - low)
