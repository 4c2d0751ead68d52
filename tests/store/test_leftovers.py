"""What dead workers leave is removed, and nothing that a living one or a run still needs."""

from __future__ import annotations

import dataclasses
import subprocess
import uuid
from pathlib import Path

import pytest

from lbscale.spec import Run, run_key
from lbscale.store import Claims, History, Leftovers, Result, StateName, States, Store, Worker, has_leftovers
from lbscale.store.claims import listed
from lbscale.store.workers import Owner, this_process

OLD = StateName("a" * 16, "b" * 16, 640, History())


class Place:
    """A store with a worker that looks after it, and with others that beat when told."""

    def __init__(self, root: str | Path) -> None:
        self.store, self.now = Store(root), 0.0
        self.files, self.states = self.store.files, States(self.store.files, "layout")
        self.me, self.claims = self.worker(this_process())
        self.leftovers = Leftovers(self.store, self.states, self.claims, self.me.owner, lambda: self.now)

    def worker(self, owner: Owner | None = None) -> tuple[Worker, Claims]:
        """A worker, of another host unless told, that has beaten once."""
        owner = owner or Owner(uuid.uuid4().hex[:12], "elsewhere", "boot", "pid:[1]", 1, 1)
        worker = Worker(self.files, owner=owner)
        worker.beat()
        return worker, Claims(self.files, worker, clock=lambda: self.now)

    def begun(self, writer: str) -> str:
        """A checkpoint that is being written."""
        name = self.states.new_name(writer)
        self.files.write(f"states/{name}/arrays/0", b"0")
        return name

    def written(self, *states: StateName) -> str:
        """A finished checkpoint."""
        name = self.begun("gone")
        self.states.seal(name, states)
        return name


@pytest.fixture(params=["local", "memory"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    return Place(tmp_path if request.param == "local" else f"memory://{uuid.uuid4().hex}")


def test_what_a_dead_process_of_this_host_wrote_is_swept_at_once(place: Place) -> None:
    process = subprocess.Popen(["true"])
    gone = dataclasses.replace(place.me.owner, id="dead", pid=process.pid, start_ticks=None)
    process.wait()
    place.worker(gone)
    other, _ = place.worker()
    names = [place.begun(writer) for writer in ("dead", "left long ago", other.owner.id, place.me.owner.id)]
    whole = place.written(OLD)
    place.leftovers.sweep()
    assert place.files.names("workers") == sorted(f"{owner.id}.json" for owner in (place.me.owner, other.owner))
    assert set(place.files.names("states")) == {whole, *names[2:]}


def test_workers_of_other_hosts_are_swept_once_they_were_silent_for_long(place: Place) -> None:
    (silent, _), (alive, _) = place.worker(), place.worker()
    place.files.write("workers/cut.json", b"")  # its worker died while it wrote
    names = [place.begun(worker.owner.id) for worker in (silent, alive)]
    place.leftovers.sweep()
    for _ in range(20):
        assert set(place.files.names("states")) == set(names)
        place.now += 29.9
        alive.beat()
        place.leftovers.sweep()
    place.now += 29.9
    alive.beat()
    place.leftovers.sweep()
    assert place.files.names("states") == names[1:]
    assert place.files.names("workers") == sorted(f"{worker.owner.id}.json" for worker in (place.me, alive))


def test_states_are_kept_while_runs_wait_for_them(place: Place, run: Run, result: Result) -> None:
    later = dataclasses.replace(run, n_tokens=8_200)
    both = place.written(dataclasses.replace(OLD, runs=(run_key(run), run_key(later))))
    one = place.written(dataclasses.replace(OLD, runs=(run_key(run),)))
    place.leftovers.clear()
    assert set(place.files.names("states")) == {both, one}
    place.store.write(run, result)
    place.leftovers.clear()
    assert place.files.names("states") == [both]
    place.store.write(later, result)
    place.leftovers.clear()
    assert place.files.names("states") == place.files.names("claims") == []


def test_states_and_claims_of_a_living_worker_are_left_alone(place: Place, run: Run, result: Result) -> None:
    """It may grow further runs from a state that those it was kept for need no more."""
    other, claims = place.worker()
    assert claims.acquire("a" * 16) and claims.acquire("c" * 16)
    name = place.written(OLD, dataclasses.replace(OLD, tree="d" * 16))
    for _ in range(10):
        place.now += 10.0
        other.beat()
        place.leftovers.clear()
    assert place.files.names("states") == [name] and claims.holds("a" * 16) and claims.holds("c" * 16)
    claims.release("a" * 16)
    place.leftovers.clear()
    assert place.files.names("states") == [] and [claim.name for claim in listed(place.files)] == ["c" * 16]
    for _ in range(10):
        place.now += 10.0
        place.leftovers.clear()
    assert place.files.names("claims") == []


def test_an_orderly_store_has_nothing_left(place: Place, run: Run, result: Result) -> None:
    place.store.write(run, result)
    assert has_leftovers(place.store)  # the heartbeat
    place.files.remove("workers")
    assert not has_leftovers(place.store)
    place.begun("dead")
    assert has_leftovers(place.store)
