"""Several workers whose file operations are interleaved in any order, some killed or stopped in the middle of one.

Each worker is a thread that stops before every operation until it is told to go on, so a schedule (hypothesis draws it)
is all there is of chance. Files are a simulated local disk: a created file is empty first, and a folder is removed file
by file. A tick of the clock lets everyone that is not stopped finish an operation and beat once.
"""

import threading

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lbscale.store.claims import Claims
from lbscale.store.workers import Owner, Worker

EXPIRY_TICKS = 6
NAMES = ["a", "b"]


class Killed(BaseException):
    """Ends a worker's thread where it stands."""


class Disk:
    """Files by name, each a list of one content, which a writer holds on to when the file is removed."""

    def __init__(self):
        self.contents = {}

    def write(self, name, content):
        self.contents[name] = [content]


class View:
    """The disk as one worker sees it, which waits its turn before each operation."""

    def __init__(self, disk, turn):
        self.contents, self.turn = disk.contents, turn

    def create(self, name, content):
        self.turn()
        if name in self.contents:
            return False
        self.contents[name] = file = [b""]
        self.turn()
        file[0] = content
        return True

    def read(self, name):
        self.turn()
        if name not in self.contents:
            raise FileNotFoundError(name)
        return self.contents[name][0]

    def names(self, folder):
        self.turn()
        return sorted(name[len(folder) + 1 :] for name in self.contents if name.startswith(f"{folder}/"))

    def remove(self, name):
        self.turn()
        for file in sorted(file for file in self.contents if file == name or file.startswith(f"{name}/")):
            self.contents.pop(file, None)
            self.turn()


class Actor:
    """A worker: trains what is not recorded under claims, in a thread of its own."""

    def __init__(self, world, order, leaves):
        self.world, self.order, self.leaves = world, order, list(leaves)
        self.is_stopped = self.is_killed = False
        self.stopped_ticks = 0
        self.is_doubtful = False  # stopped for so long that others may think it dead
        self.error = None
        owner = Owner(f"{len(world.actors):012x}", "elsewhere", None, None, 1, None)
        self.worker = Worker(world.disk, beat_seconds=1.0, owner=owner)
        self.worker.beat()
        self.claims = Claims(View(world.disk, self.turn), self.worker, EXPIRY_TICKS, lambda: world.now)
        self._go, self._paused = threading.Semaphore(0), threading.Semaphore(0)
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()
        self._paused.acquire()

    def is_running(self):
        return self._thread.is_alive()

    def resume(self):
        """Let it go on to its next operation."""
        if self.is_running():
            self._go.release()
            self._paused.acquire()
            if self.error is not None:
                raise self.error
        if self.is_killed:
            self._thread.join()

    def turn(self):
        self._paused.release()
        self._go.acquire()
        if self.is_killed:
            raise Killed

    def _run(self):
        try:
            self.turn()
            while not self.world.recorded.keys() >= set(NAMES):
                for name in self.order:
                    if name not in self.world.recorded and self.claims.acquire(name):
                        self._work(name)
                self.turn()
        except Killed:
            pass
        except BaseException as error:
            self.error = error
        self._paused.release()

    def _work(self, name):
        if name not in self.world.recorded:
            self.world.begin(self, name)
            self.turn()
            leaves = bool(self.leaves) and self.leaves.pop()
            if leaves:
                self.world.end(self, name)
                self.claims.release(name)
                return
            holds = self.claims.holds(name)
            self.world.end(self, name)
            if not holds:
                assert self.is_doubtful, "a worker whose heart beats lost its claim"
                return
            self.world.record(self, name)
        self.claims.forget(name)


class World:
    def __init__(self):
        self.disk, self.now = Disk(), 0.0
        self.actors, self.working, self.recorded = [], {name: [] for name in NAMES}, {}

    def add(self, order, leaves=()):
        self.actors.append(Actor(self, order, leaves))
        return self.actors[-1]

    def begin(self, actor, name):
        sure = [a for a in self.working[name] if not (a.is_killed or a.is_doubtful)]
        assert not sure, "two live owners"
        self.working[name].append(actor)

    def end(self, actor, name):
        self.working[name].remove(actor)

    def record(self, actor, name):
        if name in self.recorded:
            assert actor.is_doubtful or self.recorded[name].is_doubtful, "recorded twice"
        self.recorded[name] = actor

    def tick(self):
        for actor in self.actors:
            if actor.is_stopped:
                actor.stopped_ticks += 1
                actor.is_doubtful |= actor.stopped_ticks >= EXPIRY_TICKS
            elif not actor.is_killed:
                actor.resume()
                actor.stopped_ticks = 0
                if not actor.is_killed and actor.is_running():
                    actor.worker.beat()
        self.now += 1.0

    def act(self, what, which):
        actor = self.actors[which % len(self.actors)]
        if what == "tick":
            self.tick()
        elif what == "kill":
            actor.is_killed = True
            actor.resume()
        elif what == "stop":
            actor.is_stopped = True
        elif what == "continue":
            actor.is_stopped = False
        elif not (actor.is_killed or actor.is_stopped):
            actor.resume()

    def finish(self):
        """Whatever happened, one more worker brings everything to its end."""
        for actor in self.actors:
            actor.is_stopped = False
        self.add(NAMES)
        for _ in range(100 * EXPIRY_TICKS):
            if not any(actor.is_running() for actor in self.actors):
                return
            self.tick()
        raise AssertionError("work is left that nobody can acquire")

    def close(self):
        for actor in self.actors:
            actor.is_killed = True
            actor.error = None
            actor.resume()


ACTIONS = st.sampled_from(["go", "go", "go", "go", "go", "tick", "tick", "kill", "stop", "continue"])
SCHEDULES = st.lists(st.tuples(ACTIONS, st.integers(0, 2)), max_size=120)
WORKERS = st.lists(st.tuples(st.permutations(NAMES), st.lists(st.booleans(), max_size=3)), min_size=3, max_size=3)


@settings(max_examples=300)
@given(WORKERS, SCHEDULES)
def test_no_two_live_owners_and_nothing_left_undone(workers, schedule):
    world = World()
    try:
        for order, leaves in workers:
            world.add(order, leaves)
        for what, which in schedule:
            world.act(what, which)
        world.finish()
        assert world.recorded.keys() == set(NAMES)
        assert [name for name in world.disk.contents if name.startswith("claims/")] == [] or any(
            actor.is_killed or actor.is_doubtful for actor in world.actors
        )
    finally:
        world.close()


def test_the_simulation_sees_two_owners(monkeypatch):
    """Were a claim taken without asking who owns it, the simulation would say so."""
    monkeypatch.setattr("lbscale.store.workers.Observer.is_dead", lambda *_: True)
    world = World()
    try:
        for _ in range(2):
            world.add(NAMES)
        with pytest.raises(AssertionError, match="two live owners"):
            for which in [0] * 4 + [1] * 20:
                world.act("go", which)
    finally:
        world.close()
