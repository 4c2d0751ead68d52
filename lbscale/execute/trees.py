"""The trees of a plan, claimed one by one, so that each is trained by one worker."""

from __future__ import annotations

import dataclasses

from lbscale.plan import Layout, Plan, Stretch, make_plan
from lbscale.spec import run_key
from lbscale.store import Claims, KeptState, States, Store


class Trees:
    """What is left of each tree, as the store and the kept states tell when it is claimed."""

    def __init__(self, plan: Plan, layout: Layout, store: Store, claims: Claims, states: States) -> None:
        self._plan, self._layout, self._store, self._claims, self._states = plan, layout, store, claims, states
        self._kept: dict[str, KeptState] = {}
        self._open: set[str] = set()
        self._waiting: dict[str, tuple[str, ...]] = {}
        self._recorded: set[str] = set()

    def open(self, tree: str) -> tuple[Stretch, ...] | None:
        """Claim a tree: its stretches still to train, none where all is recorded; None while another worker has it."""
        if not self._claims.acquire(tree):
            return None
        self._open.add(tree)
        runs = self._plan.trees[tree]
        done = {key for key in map(run_key, runs) if self._store.is_whole(key)}
        self._waiting[tree] = tuple(key for key in map(run_key, runs) if key not in done)
        while True:
            kept = {(at.state.n_tokens, at.state.prefix_key): at for at in self._states.kept([tree])}
            read = {name: frozenset(at.state.history.read_tokens) for name, at in kept.items()}
            stretches = make_plan(runs, self._layout, done, read).stretches
            begun = [kept[s.first_tokens, s.begins_from] for s in stretches if s.begins_from is not None]
            damaged = {at.checkpoint for at in begun if not self._states.is_whole(at.checkpoint)}
            if not damaged:
                self._kept |= {at.state.prefix_key: at for at in begun}
                return tuple(dataclasses.replace(stretch, tree=tree) for stretch in stretches)
            for name in damaged:
                self._states.remove(name)

    def kept(self, stretch: Stretch) -> KeptState:
        """The state on disk from which a stretch begins."""
        assert stretch.begins_from is not None
        return self._kept[stretch.begins_from]

    def waiting(self, tree: str) -> tuple[str, ...]:
        """Keys of the tree's runs that were not recorded when it was opened."""
        return self._waiting[tree]

    def holds(self, tree: str) -> bool:
        """Whether the tree is still this worker's."""
        return self._claims.holds(tree)

    def close(self, tree: str) -> None:
        """All of the tree is recorded: whoever claims it again finds nothing to do."""
        self._open.discard(tree)
        self._recorded.add(tree)
        self._claims.forget(tree)

    def lose(self, tree: str) -> None:
        """Another worker has taken the tree over."""
        self._open.discard(tree)

    def release(self) -> None:
        """Let go of what is not finished."""
        for tree in sorted(self._open):
            self._claims.release(tree)
        self._open.clear()

    def obsolete(self, names: set[str]) -> set[str]:
        """Those of the checkpoints that hold only states of trees that are this worker's or finished."""
        held: dict[str, set[str]] = {}
        for at in self._states.kept():
            if at.checkpoint in names:
                held.setdefault(at.checkpoint, set()).add(at.state.tree)
        is_ours = {tree: tree in self._recorded or self.holds(tree) for tree in set().union(*held.values())}
        return {name for name, trees in held.items() if all(is_ours[tree] for tree in trees)}
