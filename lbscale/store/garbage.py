"""What of a study's folder nothing needs: left by workers that died, or by work that is done.

Nothing that is recorded is garbage, nor is anything of a worker that lives. While any worker lives, only what belongs
to finished trees and to dead workers goes: what is unfinished may be its own.
"""

from __future__ import annotations

import contextlib
import json
import time
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass

from lbscale.clock import trunk_key
from lbscale.spec import Run, run_key
from lbscale.store.claims import listed as listed_claims
from lbscale.store.files import Files
from lbscale.store.layouts import older_layouts
from lbscale.store.record import MANIFEST, record_folders
from lbscale.store.workers import Observer, Owner, heartbeat_contents, owner_in

_SECONDS_BETWEEN_LOOKS = 1.0


@dataclass(frozen=True)
class Garbage:
    """A file or folder below a study's folder that nothing needs; `kind` is run, state, claim, heartbeat or layout."""

    kind: str
    name: str
    because: str
    n_bytes: int


def finished_trees(runs: Iterable[Run], whole: Collection[str]) -> set[str]:
    """The trees (`clock.trunk_key`) all of whose runs are among the keys `whole`."""
    recorded, left = set(whole), defaultdict(set)
    for run in runs:
        left[trunk_key(run)].add(run_key(run))
    return {tree for tree, keys in left.items() if keys <= recorded}


def living_workers(
    files: Files,
    expiry_seconds: float = 30.0,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], object] = time.sleep,
) -> set[str]:
    """Names in `workers` of those that live, and ids of owners of claims that do.

    One whose heartbeat moves lives; one whose process is gone from this host is dead at once; of any other it takes
    `expiry_seconds` to tell, as it does where claims are taken over.
    """
    observer = Observer(files, expiry_seconds, clock)
    first = heartbeat_contents(files)
    owners: dict[str, Owner | None] = {name: owner_in(content) for name, content in first.items()}
    owners |= {claim.owner.id: claim.owner for claim in listed_claims(files) if claim.owner is not None}
    living: set[str] = set()
    undecided = set(owners)
    while undecided:
        contents = heartbeat_contents(files)
        living |= contents.keys() - owners.keys()  # who came meanwhile
        for name in sorted(undecided):
            owner, content = owners[name], contents.get(name)
            if content != first.get(name) and content is not None:
                living.add(name)
            dead = observer.is_dead(owner) if owner is not None else observer.has_expired(name, content)
            if dead or name in living:
                undecided.discard(name)
        if undecided:
            sleep(min(_SECONDS_BETWEEN_LOOKS, expiry_seconds / 5))
    return living


def find_garbage(files: Files, finished: Collection[str], living: Collection[str]) -> list[Garbage]:
    """What can be removed, by kind and name, given the `finished` trees that are known and the workers that live."""
    found = [*_states(files, finished, living), *_claims(files, finished, living), *_heartbeats(files, living)]
    if not living:
        unfinished = [name for name in files.names("runs") if not files.exists(f"runs/{name}/{MANIFEST}")]
        found += [("run", f"runs/{name}", "unfinished") for name in unfinished]
        found += [("layout", name, "of an older generation") for name in older_layouts(files)]
    return [Garbage(*each, files.n_bytes(each[1])) for each in found]


def remove_garbage(files: Files, garbage: Iterable[Garbage]) -> None:
    """Remove it; of a checkpoint the manifest first, so that half of one does not count as whole."""
    for each in garbage:
        if each.kind == "state":
            files.remove(f"{each.name}/{MANIFEST}")
        files.remove(each.name)


_Found = Iterator[tuple[str, str, str]]


def _states(files: Files, finished: Collection[str], living: Collection[str]) -> _Found:
    held = {claim.name for claim in listed_claims(files) if claim.owner is not None and claim.owner.id in living}
    for name in record_folders(files, "states"):
        if not files.exists(f"states/{name}/{MANIFEST}"):
            if not living:
                yield "state", f"states/{name}", "unfinished"
        elif (trees := _trees(files, name)) and trees <= set(finished) - held:
            yield "state", f"states/{name}", "its runs are recorded"


def _trees(files: Files, name: str) -> set[str]:
    """The trees that a checkpoint is of; none where that cannot be read."""
    with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
        return {lane["tree"] for lane in json.loads(files.read(f"states/{name}/lanes.json"))["lanes"]}
    return set()


def _claims(files: Files, finished: Collection[str], living: Collection[str]) -> _Found:
    """A claim under which work is left goes only where nobody is there who might be taking it over."""
    owners = {claim.name: claim.owner for claim in listed_claims(files)}
    for name in files.names("claims"):
        owner = owners.get(name)
        if owner is not None and owner.id in living:
            continue
        if name in finished:
            yield "claim", f"claims/{name}", "its runs are recorded"
        elif not living:
            yield "claim", f"claims/{name}", "its owner is dead or let go of it"


def _heartbeats(files: Files, living: Collection[str]) -> _Found:
    for name in files.names("workers"):
        if name.removesuffix(".json") not in living:
            yield "heartbeat", f"workers/{name}", "its worker is dead"
