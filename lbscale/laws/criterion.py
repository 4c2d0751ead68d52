"""What a fit minimises: which residuals, under which robust loss."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from numpy.typing import NDArray

from lbscale.errors import check_choice
from lbscale.laws.form import Law
from lbscale.laws.losses import LAD_DELTA, LossValue, make_loss

RESIDUALS = ("log", "linear")
# Resamples of least absolute deviation need no vertex: below any scatter of published losses.
LAD_DELTA_OF_REFITS = 1e-5


@dataclass(frozen=True)
class Criterion:
    """Residuals, "log" or "linear", and the loss of them, by name, with its delta and asymmetry (see `fit`)."""

    residual: str
    loss: str
    delta: float
    asymmetry: float

    @property
    def exact(self) -> Callable[[NDArray[Any]], LossValue]:
        """The loss."""
        return make_loss(self.loss, LAD_DELTA if self.loss == "lad" else self.delta, self.asymmetry)

    @property
    def of_refits(self) -> Callable[[NDArray[Any]], LossValue]:
        """The loss, least absolute deviation rounded enough for Newton's method to refit under many weightings."""
        return make_loss(self.loss, LAD_DELTA_OF_REFITS if self.loss == "lad" else self.delta, self.asymmetry)


def make_criterion(
    law: Law, residual: str | None, loss: str | None, delta: float | None, asymmetry: float | None
) -> Criterion:
    """The criterion, what is None as the law has it; raises InputError for an unknown or unusable one."""
    made = Criterion(
        residual=law.residual if residual is None else residual,
        loss=law.loss if loss is None else loss,
        delta=law.delta if delta is None else delta,
        asymmetry=law.asymmetry if asymmetry is None else asymmetry,
    )
    check_choice("residual", made.residual, RESIDUALS)
    make_loss(made.loss, made.delta, made.asymmetry)
    return made
