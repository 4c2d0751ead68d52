"""States at branch points, from the end of a stretch until the last of those that grow from it was seated."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from lbscale.plan import Stretch
from lbscale.train import LaneState


class Branches:
    """States on the host, by the stretch at whose end they stand; a state that nothing grows from is not kept."""

    def __init__(self, stretches: Iterable[Stretch]) -> None:
        self._n_to_seat = Counter(stretch.parent for stretch in stretches if stretch.parent is not None)
        self._states: dict[int, LaneState] = {}

    def __len__(self) -> int:
        return len(self._states)

    def wants(self, stretch: Stretch) -> bool:
        """Whether anything grows from the stretch's end."""
        return self._n_to_seat[stretch.index] > 0

    def keep(self, stretch: Stretch, state: LaneState) -> None:
        """Hold the state at the stretch's end."""
        self._states[stretch.index] = state

    def take(self, stretch: Stretch) -> LaneState:
        """The state that the stretch begins from, which is let go with the last that asks for it."""
        assert stretch.parent is not None
        self._n_to_seat[stretch.parent] -= 1
        last = self._n_to_seat[stretch.parent] == 0
        return self._states.pop(stretch.parent) if last else self._states[stretch.parent]
