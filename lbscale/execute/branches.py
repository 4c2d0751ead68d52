"""States at branch points, from the end of a stretch until the last of those that grow from it was seated."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

from lbscale.plan import Stretch
from lbscale.store import History
from lbscale.train import LaneState


@dataclass(frozen=True)
class Standing:
    """A lane at the end of an update: the stretch it is on, its tokens, its state, and what was read on its way."""

    stretch: Stretch
    n_tokens: int
    state: LaneState
    history: History


class Branches:
    """States by the stretch at whose end they stand; a state that nothing grows from is not kept."""

    def __init__(self) -> None:
        self._n_to_seat: Counter[int] = Counter()
        self._ends: dict[int, Standing] = {}

    def __len__(self) -> int:
        return len(self._ends)

    def expect(self, stretches: Iterable[Stretch]) -> None:
        """Count what will grow from each stretch."""
        self._n_to_seat.update(stretch.parent for stretch in stretches if stretch.parent is not None)

    def wants(self, stretch: Stretch) -> bool:
        """Whether anything grows from the stretch's end."""
        return self._n_to_seat[stretch.index] > 0

    def keep(self, end: Standing) -> None:
        """Hold the state at a stretch's end."""
        self._ends[end.stretch.index] = end

    def held(self) -> tuple[Standing, ...]:
        """Every state that something still grows from."""
        return tuple(self._ends.values())

    def take(self, stretch: Stretch) -> Standing:
        """Where the stretch begins; it is let go with the last that asks for it."""
        assert stretch.parent is not None
        begin = self._ends[stretch.parent]
        self.drop(stretch)
        return begin

    def drop(self, stretch: Stretch) -> None:
        """Where the stretch begins is not asked for on its behalf."""
        if stretch.parent is not None:
            self._n_to_seat[stretch.parent] -= 1
            if self._n_to_seat[stretch.parent] == 0:
                self._ends.pop(stretch.parent, None)

    def drop_tree(self, tree: str) -> None:
        """Let go of a tree that is another worker's."""
        self._ends = {index: end for index, end in self._ends.items() if end.stretch.tree != tree}
