"""Re-hash all that a results folder holds, and say of what is broken how it is mended."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from lbscale.errors import InputError, check
from lbscale.store.directory import SCHEMA_NAME, read_run, read_schema
from lbscale.store.files import Files
from lbscale.store.layouts import check_document, layout_documents
from lbscale.store.record import MANIFEST, record_folders, record_problems
from lbscale.store.sealed import is_cut_short, unsealed

_UNFINISHED = "it counts as not there, since a process is writing it or was interrupted, and `lbscale run` replaces it"
_MEND = {
    "run": "it counts as not recorded, and `lbscale run` trains it again",
    "state": "it is never used, and with it removed `lbscale run` goes on from an earlier state",
    "layout": "the study cannot be trained, and with it removed `lbscale run` lays it out for its machine",
    "registration": "the study cannot go on from it, and with it removed `lbscale run` decides anew",
    "schema": "the study cannot be opened, and with it removed `lbscale run` writes it again",
}


@dataclass(frozen=True)
class Finding:
    """Something that is not whole: `name` is its folder's or file's below the study's folder, `kind` is run, state,
    layout, registration or schema, `problems` name what is wrong with it. What is not broken is unfinished."""

    kind: str
    name: str
    problems: tuple[str, ...]
    broken: bool

    @property
    def mend(self) -> str:
        """What it means, and what to do about it."""
        return _MEND[self.kind] if self.broken else _UNFINISHED


@dataclass(frozen=True)
class Verified:
    """What was looked at in a study's folder, by kind, and what of it is not whole."""

    counts: dict[str, int]
    findings: tuple[Finding, ...]


def study_folders(results: Files) -> list[str]:
    """Folders below a results folder that a study's records are in, sorted; the results folder itself, as "", where it
    is a study's. Raises InputError where there is no such folder."""
    check(results.is_folder(), "results", results.root, "a results folder, or a study's in it, is needed")
    names = results.names()
    own = {SCHEMA_NAME, "runs", "registered", "states", "layout"}
    return [""] if own & set(names) else [name for name in names if own & set(results.names(name))]


def verify(study: Files) -> Verified:
    """Read and hash everything below a study's folder; raises InputError where a newer lbscale wrote it."""
    ways: dict[str, tuple[list[str], Callable[[Files, str, str], Finding | None]]] = {
        "schema": ([SCHEMA_NAME] if study.exists(SCHEMA_NAME) else [], _schema),
        "run": ([f"runs/{name}" for name in record_folders(study, "runs")], _run),
        "state": ([f"states/{name}" for name in record_folders(study, "states")], _record),
        "layout": (layout_documents(study), _layout),
        "registration": ([f"registered/{name}" for name in study.names("registered")], _registration),
    }
    found = [(way, kind, name) for kind, (names, way) in ways.items() for name in names if way(study, kind, name)]
    # What others write or remove meanwhile looks broken for a moment: what is broken is so at a second look.
    again = [finding for way, kind, name in found if (finding := way(study, kind, name))]
    return Verified({kind: len(names) for kind, (names, _) in ways.items()}, tuple(again))


def _schema(files: Files, kind: str, name: str) -> Finding | None:
    try:
        if read_schema(files) is None and files.exists(name):
            return Finding(kind, name, (f"{files.path(name)} is cut short",), broken=False)
    except InputError as error:
        if error.field == "store.schema" and isinstance(error.value, int):
            raise
        return Finding(kind, name, (f"{files.path(name)} is not as it was written",), broken=True)
    return None


def _run(files: Files, kind: str, name: str) -> Finding | None:
    """A run's record must hold that run; what a newer lbscale wrote into a whole record is no fault of it."""
    try:
        read_run(files, name.removeprefix("runs/"))
    except InputError as error:
        if error.field == "run":
            return _finding(files, kind, name, record_problems(files, name) or [str(error)])
    return None


def _record(files: Files, kind: str, name: str) -> Finding | None:
    return _finding(files, kind, name, record_problems(files, name))


def _finding(files: Files, kind: str, name: str, problems: list[str]) -> Finding | None:
    """None where there are no problems, or where the record was removed meanwhile."""
    if not problems or not files.walk(name):
        return None
    return Finding(kind, name, tuple(problems), broken=files.exists(f"{name}/{MANIFEST}"))


def _layout(files: Files, kind: str, name: str) -> Finding | None:
    path = files.path(name)
    try:
        return None if check_document(files, name) else Finding(kind, name, (f"{path} is empty",), broken=False)
    except FileNotFoundError:
        return None
    except InputError:
        return Finding(kind, name, (f"{path} is not as it was written",), broken=True)


def _registration(files: Files, kind: str, name: str) -> Finding | None:
    path = files.path(name)
    try:
        content = files.read(name)
        if is_cut_short(content):
            return Finding(kind, name, (f"{path} is cut short",), broken=False)
        unsealed(content, path)
    except FileNotFoundError:
        return None
    except InputError:
        return Finding(kind, name, (f"{path} is not as it was written",), broken=True)
    return None
