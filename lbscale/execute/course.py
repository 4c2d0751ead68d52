"""How far a plan's forest is grown, and by whom."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from lbscale.execute.agenda import Agenda
from lbscale.execute.branches import Branches
from lbscale.execute.hopeless import EarlyStop, Hopeless
from lbscale.execute.interruption import Interruption
from lbscale.execute.keeper import Keeper
from lbscale.execute.readings import Readings
from lbscale.execute.slot import Slot
from lbscale.execute.trees import Trees
from lbscale.plan import Group, Layout, Plan, Stretch
from lbscale.spec import Run
from lbscale.store import Claims, Leftovers, Result, States, Store, Worker
from lbscale.train import LanePrograms, LaneState

Finished = list[tuple[Run, Result]]


@dataclass(frozen=True)
class Upkeep:
    """How a worker looks after what it trains: how often it saves what is under way, which runs it gives up (none, by
    default), who may ask it to stop, and after how many seconds without a heartbeat it takes another worker for dead
    (the same for all workers of a results folder)."""

    save_every_seconds: float = 60.0
    early_stop: EarlyStop | None = None
    interruption: Interruption = field(default_factory=Interruption)
    expiry_seconds: float = 30.0


@dataclass(frozen=True)
class Course:
    """What may be seated next, the states to begin from, where curves are read, and what is saved on the way."""

    agenda: Agenda
    branches: Branches
    readings: Readings
    trees: Trees
    keeper: Keeper
    leftovers: Leftovers
    hopeless: Hopeless | None
    interruption: Interruption

    @classmethod
    def of(cls, plan: Plan, layout: Layout, store: Store, worker: Worker, states: States, upkeep: Upkeep) -> Course:
        """Before anything is trained."""
        branches, readings = Branches(), Readings()
        claims = Claims(store.files, worker, upkeep.expiry_seconds)
        trees = Trees(plan, layout, store, claims, states)

        def opened(stretches: Sequence[Stretch]) -> None:
            branches.expect(stretches)
            readings.expect(stretches)

        hopeless = Hopeless(upkeep.early_stop, store, layout) if upkeep.early_stop is not None else None
        agenda = Agenda(plan, layout, trees, opened, branches.drop, hopeless)
        leftovers = Leftovers(store, states, claims, worker.owner)
        leftovers.sweep()
        keeper = Keeper(states, trees, worker.owner.id, upkeep.save_every_seconds, leftovers.sweep)
        return cls(agenda, branches, readings, trees, keeper, leftovers, hopeless, upkeep.interruption)

    @property
    def is_asked_to_stop(self) -> bool:
        """Whether the worker is to save what is under way and stop."""
        return self.interruption.by is not None

    def saved(self, slots: Sequence[Slot | None], states: LaneState, lanes: LanePrograms) -> bool:
        """Save what it is time to save; True where the worker was asked to stop and all that is under way is saved."""
        take = lambda g: lanes.take(states, g)
        return self.keeper.visit(slots, take, self.branches, self.agenda.unseated, self.is_asked_to_stop)

    def steps_to_stop(self, slot: Slot) -> int:
        """Micro-steps that the slot may take at once."""
        return min([slot.stops[0] - slot.position, *self.keeper.steps_to_save(slot)])

    def end(self, groups: Iterable[Group], finished: Finished) -> None:
        """Go on from groups whose stretches have ended, with all that `finished` there recorded."""
        if self.hopeless is not None:
            for run, result in finished:
                self.hopeless.note(run, result)
        for group in groups:
            self.agenda.end(group)

    def given_up(self) -> Finished:
        """The runs that were given up since this was asked last; they are recorded."""
        return self.hopeless.drained() if self.hopeless is not None else []

    def lose(self, tree: str) -> None:
        """Leave a tree to the worker that took it over."""
        self.agenda.lose(tree)
        self.branches.drop_tree(tree)

    def settle(self) -> None:
        """Leave nothing unsaved, or, where all is recorded, nothing behind."""
        if self.is_asked_to_stop and not self.keeper.is_settled:
            self.keeper.visit((), lambda g: [], self.branches, self.agenda.unseated, hurry=True)
        self.keeper.finish()
        if self.agenda.is_over:
            self.leftovers.clear()
            self.leftovers.sweep()

    def leave(self) -> None:
        """Let others have what is not finished."""
        self.keeper.abandon()
        self.trees.release()
