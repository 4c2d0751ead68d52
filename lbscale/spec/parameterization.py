"""How initial values, learning rates and decay go with width: the standard way, or muP from a base width."""

from __future__ import annotations

from dataclasses import dataclass

from lbscale.errors import check_choice
from lbscale.spec.coerce import as_int

DECAY_RULES = ("independent", "sqrt_width", "coupled")


@dataclass(frozen=True)
class Standard:
    """One learning rate and one decay for every matrix, and standard deviations of 1/sqrt(fan_in), at every width."""

    kind = "standard"


@dataclass(frozen=True, kw_only=True)
class MuP:
    """Maximal-update parameterisation (Yang et al. 2022, arXiv 2203.03466, table 8), the same as the standard one at
    `base_width` except that the head is not decayed.

    The feed-forward width and the heads are taken to grow with `d_model`. A family of models that widens its heads
    instead of adding to them names the head width at the base, `base_head_dim`; scores are then scaled by
    sqrt(base_head_dim) / head_dim. None says that `head_dim` is one number throughout the family.

    `decay` names what the share of a matrix that an update removes does as width d grows. That share is (learning
    rate) x (coefficient) in AdamW, and muP's learning rate of a matrix goes as 1/d.

    - `independent`: the share is the run's own at every width, whatever the matrix's learning rate is multiplied by.
      For AdamW this is a coefficient ~ d.
    - `sqrt_width`: the share goes as 1/sqrt(d), a coefficient ~ sqrt(d): the rule that kept top singular values in
      place across widths in Fan et al. 2025 (arXiv 2510.15262). AdamW alone.
    - `coupled`: the share follows the matrix's learning rate, one coefficient for all widths.
    """

    base_width: int
    decay: str = "independent"
    base_head_dim: int | None = None

    kind = "mup"

    def __post_init__(self) -> None:
        as_int(self, "base_width", lowest=1)
        check_choice("decay", self.decay, DECAY_RULES)
        if self.base_head_dim is not None:
            as_int(self, "base_head_dim", lowest=1)


Parameterization = Standard | MuP
