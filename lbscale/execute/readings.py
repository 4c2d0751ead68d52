"""Where curves are read along the forest: a point of a trunk belongs to every run that passes through it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

from lbscale.clock import curve_tokens
from lbscale.plan import Stretch


class Readings:
    """Token counts at which each stretch is read."""

    def __init__(self) -> None:
        self._wanted: defaultdict[int, set[int]] = defaultdict(set)

    def expect(self, stretches: Sequence[Stretch]) -> None:
        """Note where the curves of all that ends on these stretches, parents first, are read."""
        for stretch in reversed(stretches):
            self._wanted[stretch.index].update(tokens for run in stretch.ends for tokens in curve_tokens(run))
            if stretch.parent is not None:
                self._wanted[stretch.parent] |= self._wanted[stretch.index]

    def tokens(self, stretch: Stretch) -> set[int]:
        """Token counts on the stretch at which some run's curve is read."""
        return self._wanted[stretch.index] & set(range(stretch.first_tokens + 1, stretch.last_tokens + 1))
