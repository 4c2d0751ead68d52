"""Claims: of several workers that share a results folder, one works on a name (a tree of runs) at a time.

A claim is a sequence of files `claims/NAME/GENERATION.json`, each created exclusively, generation 1, 2, ...; the top
one says who owns the name, or that nobody does. Who finds the top one free creates the next: of several one succeeds,
and a slow one fails, since its generation is taken.

A claim spares work that would be done twice, and is no lock: an owner that stands still for long loses it, and may do
so between asking whether it `holds` and writing. What is written under a claim must therefore bear being written twice.
"""

from __future__ import annotations

import contextlib
import json
import re
import time
from collections.abc import Callable
from dataclasses import asdict
from typing import NamedTuple

from lbscale.errors import check
from lbscale.store.files import Files
from lbscale.store.workers import Observer, Owner, Worker, owner_from


class Claim(NamedTuple):
    """The top generation of a name; `owner` is None where it was released, or its file is not whole."""

    name: str
    owner: Owner | None
    generation: int


class Claims:
    """A worker's claims. `expiry_seconds` of the observer's own `clock` without a heartbeat free an owner's names.

    All methods raise OSError where the files cannot be reached or written. One thread of a worker claims.
    """

    def __init__(
        self, files: Files, worker: Worker, expiry_seconds: float = 30.0, clock: Callable[[], float] = time.monotonic
    ) -> None:
        allowed = f"allowed: at least three heartbeats ({3 * worker.beat_seconds:g})"
        check(expiry_seconds >= 3 * worker.beat_seconds, "expiry_seconds", expiry_seconds, allowed)
        self._files, self._owner = files, worker.owner
        self._observer = Observer(files, expiry_seconds, clock)

    def acquire(self, name: str) -> bool:
        """Claim a name; whether it is this worker's then. Whether there is anything left to do under it must be looked
        up after this, not before. To see an owner die takes several calls, `expiry_seconds` in all."""
        generation, content = _top(self._files, name)
        if content is None:
            return generation == 0 and self._create(name, 1, self._owner)
        try:
            owner = _owner(content)
        except ValueError:  # its writer is in the middle of it, or died there
            is_free = self._observer.has_expired((name, generation), content)
        else:
            if owner is not None and owner.id == self._owner.id:
                return True
            is_free = owner is None or self._observer.is_dead(owner)
        return is_free and self._create(name, generation + 1, self._owner)

    def holds(self, name: str) -> bool:
        """Whether the name is this worker's still: to be asked before anything is written under the claim."""
        return self._held_generation(name) is not None

    def release(self, name: str) -> None:
        """Leave a name, with work left under it, to others; nothing happens where it is not held."""
        generation = self._held_generation(name)
        if generation is not None:
            self._create(name, generation + 1, None)

    def forget(self, name: str) -> None:
        """Remove a name's claim. To be called only when all work under it is recorded.

        Generations begin at 1 again after this, and that is what may go wrong: a contender that looked before may
        create a higher one than a later owner's; a slow removal may take away a later owner's file, or leave an older
        generation, of a dead owner, on top for a moment. Then someone acquires the name anew, or no longer holds what
        it acquired, which `holds` says; but all of them acquired after the work was recorded, and find nothing to do.
        """
        with contextlib.suppress(OSError):  # a contender's file came into the folder meanwhile, and it forgets that
            self._files.remove(_folder(name))

    def _held_generation(self, name: str) -> int | None:
        generation, content = _top(self._files, name)
        with contextlib.suppress(ValueError):
            owner = _owner(content) if content is not None else None
            return generation if owner is not None and owner.id == self._owner.id else None
        return None

    def _create(self, name: str, generation: int, owner: Owner | None) -> bool:
        content = json.dumps({"owner": asdict(owner) if owner is not None else None}).encode()
        try:
            # An object store's library may try again after an answer was lost, and then fail on its own file.
            return self._files.create(_file(name, generation), content) or self.holds(name)
        except (FileNotFoundError, FileExistsError):  # the folder was forgotten while it was made, or right after
            return False


def listed(files: Files) -> list[Claim]:
    """All claims that are there, by name. Takes a listing and a read for each, so it is for showing them."""
    claims = []
    for name in files.names("claims"):
        generation, content = _top(files, name)
        if content is not None:
            owner = None
            with contextlib.suppress(ValueError):
                owner = _owner(content)
            claims.append(Claim(name, owner, generation))
    return claims


def _folder(name: str) -> str:
    return f"claims/{name}"


def _file(name: str, generation: int) -> str:
    return f"{_folder(name)}/{generation}.json"


def _generations(files: Files, name: str) -> list[int]:
    matches = (re.fullmatch(r"(\d+)\.json", entry) for entry in files.names(_folder(name)))
    return sorted(int(match[1]) for match in matches if match)


def _top(files: Files, name: str) -> tuple[int, bytes | None]:
    """The top generation and its content: 0 where the name has none; None where it vanished, since it is being
    forgotten."""
    generation = max(_generations(files, name), default=0)
    with contextlib.suppress(FileNotFoundError):
        return generation, files.read(_file(name, generation)) if generation else None
    return generation, None


def _owner(content: bytes) -> Owner | None:
    """Who owns a generation, None where it is a release; raises ValueError where the content is not whole."""
    document = json.loads(content)
    if not isinstance(document, dict) or "owner" not in document:
        raise ValueError(f"no claim: {content!r}")
    return None if document["owner"] is None else owner_from(document["owner"])
