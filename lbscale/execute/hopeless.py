"""Stop runs that have lost: asked for by the user, never a default.

A run is given up where the same settings, at a smaller budget, diverged, or ended `margin` nats above the best of their
shape and budget. Only annealed losses are compared: before its decay, a high learning rate looks worse than it is.
"""

from __future__ import annotations

import dataclasses
import math
import time
from collections.abc import Callable, Hashable, Iterable

from lbscale import data
from lbscale.errors import check
from lbscale.execute.record import stopped_result
from lbscale.plan import Layout, Stretch
from lbscale.spec import Run
from lbscale.store import Result, Store

_SECONDS_BETWEEN_LOOKS = 5.0


@dataclasses.dataclass(frozen=True)
class EarlyStop:
    """By how many nats per token a run's settings must have lost at a smaller budget for it to be given up."""

    margin: float

    def __post_init__(self) -> None:
        check(self.margin > 0, "margin", self.margin, "a positive number of nats is needed")


class Hopeless:
    """What is known of the runs at one store, and which others are given up because of it."""

    def __init__(self, rule: EarlyStop, store: Store, layout: Layout) -> None:
        self._rule, self._store, self._layout = rule, store, layout
        self._best: dict[Hashable, float] = {}
        self._ended: dict[Hashable, dict[int, Result]] = {}
        self._given_up: list[tuple[Run, Result]] = []
        self._seen: set[str] = set()
        self._looked = -math.inf

    def look(self, clock: Callable[[], float] = time.monotonic) -> None:
        """Take into account what is recorded, by whichever worker; now and then, since it takes reading it."""
        if clock() - self._looked < _SECONDS_BETWEEN_LOOKS:
            return
        self._looked = clock()
        for key in filter(self._store.is_whole, set(self._store.keys()) - self._seen):
            self._seen.add(key)
            self.note(*self._store.read(key))

    def note(self, run: Run, result: Result) -> None:
        """Take a recorded run into account."""
        if result.status == "diverged" or (result.annealed and result.loss is not None):
            self._ended.setdefault(_settings(run), {})[run.n_tokens] = result
        if result.annealed and result.loss is not None:
            cell = _cell(run, run.n_tokens)
            self._best[cell] = min(result.loss, self._best.get(cell, result.loss))

    def reason(self, run: Run) -> str | None:
        """Why the run is given up, or None where it is not."""
        smaller = {tokens: at for tokens, at in self._ended.get(_settings(run), {}).items() if tokens < run.n_tokens}
        if not smaller:
            return None
        budget = max(smaller)
        loss = smaller[budget].loss
        if loss is None:
            return f"the same settings diverged at {budget:,} tokens"
        above = loss - self._best[_cell(run, budget)]
        if above <= self._rule.margin:
            return None
        return f"the same settings ended {above:.3g} nats above the best at {budget:,} tokens"

    def gives_up(self, stretch: Stretch, runs: Iterable[Run]) -> bool:
        """Whether all runs that the stretch serves are given up; then they are recorded so."""
        reasons = {run: self.reason(run) for run in runs}
        if not all(reasons.values()):
            return False
        corpus = data.load(stretch.program.data)
        for run, reason in reasons.items():
            result = stopped_result(run, stretch, str(reason), corpus, self._layout.of(stretch.program))
            self._store.write(run, result)
            self._given_up.append((run, result))
        return True

    def drained(self) -> list[tuple[Run, Result]]:
        """The runs that were given up since this was asked last."""
        given_up, self._given_up = self._given_up, []
        return given_up


def _settings(run: Run) -> Hashable:
    """What two runs that differ in budget and schedule have in common."""
    return run.model, run.data, run.optimizer, run.learning_rate, run.batch, run.init_seed, run.data_seed


def _cell(run: Run, n_tokens: int) -> Hashable:
    """Among which runs losses are compared."""
    return run.model, run.data, n_tokens
