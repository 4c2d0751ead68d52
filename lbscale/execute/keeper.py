"""Saves what is under way now and then, in the background, so that little is trained twice after an end by force.

A *round* saves every slot at the next end of an update, and the states at branch points that are not on disk yet. When
it is through, all that is under way can be begun from it, and the checkpoints that were there before are removed.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor

from lbscale.clock import prefix_key
from lbscale.execute.branches import Branches, Standing
from lbscale.execute.slot import Slot
from lbscale.execute.trees import Trees
from lbscale.plan import Stretch
from lbscale.store import KeptState, StateName, States
from lbscale.train import LanePrograms, LaneState
from lbscale.train.checkpoint import begin_save, load_lanes


class Keeper:
    """The checkpoints of one worker, the `writer`; it may `sweep` the folder after each round."""

    def __init__(
        self,
        states: States,
        trees: Trees,
        writer: str,
        every_seconds: float,
        sweep: Callable[[], None] = lambda: None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._states, self._trees, self._writer, self._clock = states, trees, writer, clock
        self._every_seconds, self._sweep = every_seconds, sweep
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="checkpoints")
        self._writing: list[Future[None]] = []
        self._last = clock()
        self._n_rounds, self._is_open = 0, False
        self.is_settled = False  # whether all that was under way is saved, and nothing has moved since
        self._before: set[str] = set()
        self._of_round: set[str] = set()
        self._of_branch: dict[int, str] = {}

    def visit(
        self,
        slots: Sequence[Slot | None],
        take: Callable[[int], list[LaneState]],
        branches: Branches,
        unseated: Callable[[], list[Stretch]],
        hurry: bool = False,
    ) -> bool:
        """Save what it is time to save of the slots, whose lanes' states `take` gives; True where `hurry` asked for a
        round and it is through."""
        self._raise_failures()
        busy = [(g, slot) for g, slot in enumerate(slots) if slot is not None]
        if not self._is_open:
            waits = self._clock() - self._last < self._every_seconds or bool(self._writing)
            if waits and not hurry:
                return False
            self._begin(branches)
        for g, slot in busy:
            if slot.saved_in != self._n_rounds and slot.at_update:
                self._save(slot.standings(take(g)))
                slot.saved_in = self._n_rounds
        if any(slot.saved_in != self._n_rounds for _, slot in busy):
            return False
        self._end(branches, unseated())
        self.is_settled = hurry
        return hurry

    def steps_to_save(self, slot: Slot) -> list[int]:
        """Micro-steps to where the slot is to be saved; none where it is not."""
        return [slot.steps_to_update] if self._is_open and slot.saved_in != self._n_rounds else []

    def load(self, stretch: Stretch, lanes: LanePrograms) -> Standing:
        """The state on disk from which a stretch begins."""
        kept = self._trees.kept(stretch)
        every = load_lanes(self._states.arrays(kept.checkpoint), self._n_lanes(kept), lanes.lane_like)
        return Standing(stretch, kept.state.n_tokens, every[kept.lane], kept.state.history)

    def finish(self) -> None:
        """Wait for all that is to be written; raises what went wrong there."""
        self._pool.shutdown()
        self._raise_failures()

    def abandon(self) -> None:
        """Wait for the file that is being written, and write no other."""
        self._pool.shutdown(cancel_futures=True)

    def _n_lanes(self, kept: KeptState) -> int:
        return sum(at.checkpoint == kept.checkpoint for at in self._states.kept())

    def _begin(self, branches: Branches) -> None:
        self._is_open, self._n_rounds = True, self._n_rounds + 1
        self._before, self._of_round = {at.checkpoint for at in self._states.kept()}, set()
        self._save_branches(branches)

    def _save_branches(self, branches: Branches) -> None:
        held = {end.stretch.index: end for end in branches.held()}
        names = {index: name for index, name in self._of_branch.items() if index in held}
        self._of_branch = names | {index: self._save([end]) for index, end in held.items() if index not in names}

    def _end(self, branches: Branches, unseated: list[Stretch]) -> None:
        self._save_branches(branches)
        self._is_open, self._last = False, self._clock()
        needed = self._of_round | set(self._of_branch.values())
        needed |= {self._trees.kept(stretch).checkpoint for stretch in unseated if stretch.begins_from is not None}
        written, before = list(self._writing), self._before

        def remove() -> None:
            if not any(future.exception() for future in written):
                for name in self._trees.obsolete(before - needed):
                    self._states.remove(name)
            self._sweep()

        self._writing.append(self._pool.submit(remove))

    def _save(self, standings: Sequence[Standing]) -> str:
        name = self._states.new_name(self._writer)
        self._of_round.add(name)
        named = [self._named(standing) for standing in standings]
        wait = begin_save(self._states.arrays(name), [standing.state for standing in standings])

        def seal() -> None:
            wait()
            self._states.seal(name, named)

        self._writing.append(self._pool.submit(seal))
        return name

    def _raise_failures(self) -> None:
        for future in [future for future in self._writing if future.done()]:
            self._writing.remove(future)
            future.result()

    def _named(self, standing: Standing) -> StateName:
        tree, tokens = standing.stretch.tree, standing.n_tokens
        key = prefix_key(standing.stretch.lead, tokens)
        return StateName(tree, key, tokens, standing.history, self._trees.waiting(tree))
