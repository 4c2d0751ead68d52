"""How many more runs would settle a small difference in compute between two recipes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from lbscale.errors import check
from lbscale.laws.two_laws import TwoLaws

POWER = 0.8
LEVEL = 0.975
WIDTH = 0.01  # of ln FLOPs, over which the slope of ln loss is taken
MOST_RUNS = 10**9
ASSUMES = (
    "further runs come in pairs, one of each recipe, in the table's cells in its own proportions, at each cell's best"
    " settings (runs that tune are not counted), each pair under a seed of its own that its two runs share; they"
    " scatter as the runs of the table do, so that the variance of the difference falls as one over the number of"
    f" runs; settled: a 95 % interval that leaves out 1 with a probability of {POWER:g}"
)


@dataclass(frozen=True)
class Settling:
    """What it takes to settle a `difference` in compute, a share, at a place.

    `n_runs` are the further runs of both recipes together, 0 where the table does, None where nothing is known of the
    noise or more than `MOST_RUNS` would be needed.
    """

    difference: float
    n_runs: int | None
    power_now: float | None
    assumes: str = ASSUMES

    def document(self) -> dict[str, Any]:
        """As plain values."""
        names = ("difference", "n_runs", "power_now", "assumes")
        return {name: getattr(self, name) for name in names}


def runs_to_settle(two: TwoLaws, log_flops: float, n_rows: int, difference: float = 0.03) -> Settling:
    """The further runs with which a multiplier of 1 + `difference` at ln FLOPs would be told from 1.

    The power is that of Student's t, noncentral by the difference over its standard error, as the table's own rows
    give it. Raises InputError for a difference that is no positive number.
    """
    check(bool(np.isfinite(difference) and difference > 0), "difference", difference, "a positive number, 0.03 for 3 %")
    at = np.array([log_flops])
    variance, freedom = (float(found[0]) for found in two.variance(at, at))
    effect = np.log1p(difference) * fall(two, log_flops)
    if not (np.isfinite(variance) and freedom >= 1.0 and effect > 0):
        return Settling(difference, None, None)

    def power(n_pairs: int) -> float:
        more = (n_rows + 2 * n_pairs) / n_rows
        # Further seeds in the same cells leave the number of independent groups, and so the freedom, as it is.
        return _power(effect / np.sqrt(max(variance / more, 1e-300)), min(freedom, 1e6))

    now = power(0)
    if now >= POWER:
        return Settling(difference, 0, now)
    low, high = 0, 1
    while power(high) < POWER:
        low, high = high, 2 * high
        if 2 * high > MOST_RUNS:
            return Settling(difference, None, now)
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if power(middle) >= POWER else (middle, high)
    return Settling(difference, 2 * high, now)


def fall(two: TwoLaws, log_flops: float) -> float:
    """By how much ln loss falls per unit of ln FLOPs, the mean of the two."""
    ends = np.array([log_flops - WIDTH / 2, log_flops + WIDTH / 2])
    losses = np.mean([two.log_loss(which, ends) for which in (0, 1)], axis=0)
    return float((losses[0] - losses[1]) / WIDTH)


def _power(shift: float, freedom: float) -> float:
    """Probability that a t of this noncentrality lies outside its central 95 %."""
    from scipy.special import nctdtr, ndtr, stdtrit

    reach = float(stdtrit(freedom, LEVEL))
    if shift > 30.0:  # where the noncentral t loses its digits
        return float(ndtr(shift - reach))
    return float(1.0 - nctdtr(freedom, shift, reach) + nctdtr(freedom, shift, -reach))
