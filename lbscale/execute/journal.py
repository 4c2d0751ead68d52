"""What was read along the forest: a point measured on a trunk belongs to every run that passes through it."""

from __future__ import annotations

from collections import defaultdict

from lbscale.clock import evaluation_tokens, update_edges
from lbscale.plan import Plan, Stretch
from lbscale.spec import Run
from lbscale.store import CurvePoint


class Journal:
    """Where each stretch is read, what was read there, and how long it took."""

    def __init__(self, plan: Plan) -> None:
        self._stretches = plan.stretches
        self._tokens: defaultdict[int, set[int]] = defaultdict(set)
        self._points: defaultdict[int, list[CurvePoint]] = defaultdict(list)
        self._seconds: dict[int, float] = {}
        for stretch in plan.stretches:
            for run in stretch.ends:
                wanted = curve_tokens(run)
                for passed in self.path(stretch):
                    here = range(passed.first_tokens + 1, passed.last_tokens + 1)
                    self._tokens[passed.index].update(tokens for tokens in wanted if tokens in here)

    def path(self, stretch: Stretch) -> tuple[Stretch, ...]:
        """The stretches from initial values to the end of this one."""
        path = [stretch]
        while path[-1].parent is not None:
            path.append(self._stretches[path[-1].parent])
        return tuple(reversed(path))

    def tokens(self, stretch: Stretch) -> set[int]:
        """Token counts on the stretch at which some run's curve is read."""
        return self._tokens[stretch.index]

    def note(self, stretch: Stretch, point: CurvePoint) -> None:
        """Add a point that was read on the stretch."""
        self._points[stretch.index].append(point)

    def end(self, stretch: Stretch, seconds: float) -> None:
        """Note how long the stretch took."""
        self._seconds[stretch.index] = seconds

    def curve(self, run: Run, stretch: Stretch) -> tuple[CurvePoint, ...]:
        """The run's own points, of all that were read on its way to the end of the stretch."""
        points = (point for passed in self.path(stretch) for point in self._points[passed.index])
        own = set(curve_tokens(run))
        return tuple(point for point in points if point.n_tokens in own)

    def seconds(self, stretch: Stretch) -> float:
        """How long training took from initial values to the end of the stretch, waiting left out."""
        return sum(self._seconds[passed.index] for passed in self.path(stretch))


def curve_tokens(run: Run) -> list[int]:
    """Token counts at which the run's curve is read; its end, where it is measured in full, is none of them."""
    return evaluation_tokens(update_edges(run.batch, run.n_tokens))[:-1].tolist()
