"""How much runs scatter about a law, and what that makes of a small number of groups."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lbscale.laws.bootstrap import spread
from lbscale.laws.effects import Z975, Effects
from lbscale.laws.factors import factors
from lbscale.laws.table import Rows

__all__ = ["Z975", "Noise", "estimate_noise", "scaled_sd", "spread"]


@dataclass(frozen=True)
class Noise:
    """Scatter of runs about the law, in the units of the residual (relative, for logarithmic residuals).

    Attributes:
        n_groups: independent groups: of the factor that has fewest (cell, seed, trunk, or rows if none is shared).
        degrees_of_freedom: groups less the parameters that differences between groups determine.
        inflation: factor by which the draws scatter too little in so few groups.
        t: the 97.5 % quantile of Student's t for those.
        stretch: inflation x t / 1.96, the factor that draws' spread is stretched by.
        within_sd: scatter of runs within a group.
        new_run_sd: scatter of one more run.
        new_run_t: the 97.5 % quantile of Student's t for how well that is known.
        seed_sd: scatter of runs that differ by their seeds alone; None where no setting is repeated.
        n_seed_runs: runs that `seed_sd` rests on.

    Of a law of several targets, the scatters are those of the first.
    """

    n_groups: int
    degrees_of_freedom: float
    inflation: float
    t: float
    stretch: float
    within_sd: float
    new_run_sd: float
    new_run_t: float
    seed_sd: float | None
    n_seed_runs: int


def estimate_noise(rows: Rows, effects: Effects, jacobian: NDArray[Any], *, log: bool) -> Noise:
    """The scatter that `effects` found, and the correction for few groups that bootstrap draws need.

    `jacobian` (p, k n) at the optimum spans what the fit took up; the part of it that differences between groups
    determine is the trace of its projection onto them.
    """
    used = ~rows.censored
    labels = [factor.label[used] for factor in factors(rows)] or [np.arange(used.sum())]
    group = np.unique(min(labels, key=lambda label: np.unique(label).size), return_inverse=True)[1]
    sizes = np.bincount(group)
    first = jacobian[:, : rows.n][:, used]
    basis = np.linalg.svd(first, full_matrices=False)
    tangent = basis.Vh[basis.S / max(basis.S.max(), 1e-300) > 1e-9]
    p_between = sum(float((np.bincount(group, weights=row) ** 2 / sizes).sum()) for row in tangent)
    freedom = max(1.0, sizes.size - p_between)
    seed_sd, n_seed_runs = _seed_scatter(rows, log)
    from scipy.special import stdtrit

    t = float(stdtrit(freedom, 0.975))
    inflation = float(np.sqrt(sizes.size / freedom))
    return Noise(
        n_groups=int(sizes.size),
        degrees_of_freedom=freedom,
        inflation=inflation,
        t=t,
        stretch=inflation * t / Z975,
        within_sd=float(np.sqrt(effects.within[0])),
        new_run_sd=max(float(np.sqrt(effects.new_run[0])), seed_sd or 0.0),
        new_run_t=float(stdtrit(effects.freedom_of_a_run, 0.975)),
        seed_sd=seed_sd,
        n_seed_runs=n_seed_runs,
    )


def scaled_sd(draws: NDArray[Any], noise: Noise) -> NDArray[Any]:
    """Standard deviation (...) of draws (k, ...), stretched for few groups so that 1.96 of it reach the 95 % bounds."""
    return spread(draws) * noise.stretch


def _seed_scatter(rows: Rows, log: bool) -> tuple[float | None, int]:
    """Pooled standard deviation of the first target, or its ln, among finished runs that differ by seed alone; their
    number."""
    if rows.seed is None:
        return None, 0
    used = ~rows.censored
    settings = np.column_stack([rows.columns[name] for name in rows.columns])[used]
    setting = np.unique(settings, axis=0, return_inverse=True)[1].ravel()
    target, seed = rows.target[: rows.n][used], rows.seed[used]
    target = np.log(target) if log else target
    n_runs = np.bincount(setting)
    n_seeds = np.bincount(np.unique(np.column_stack([setting, seed]), axis=0)[:, 0])
    mean = np.bincount(setting, weights=target) / n_runs
    repeated = (n_seeds > 1)[setting]
    freedom = int((n_runs - 1)[n_seeds > 1].sum())
    squares = float(((target - mean[setting]) ** 2)[repeated].sum())
    return (float(np.sqrt(squares / freedom)), int(repeated.sum())) if freedom else (None, 0)
