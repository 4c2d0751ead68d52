"""The command gc: remove from a results folder what nothing needs."""

from __future__ import annotations

import argparse
from collections import defaultdict
from typing import TYPE_CHECKING, Any

from lbscale.cli.arguments import print_json

if TYPE_CHECKING:
    from lbscale.store import Files, Garbage
    from lbscale.study import Study

_KINDS = {
    "run": "run folder",
    "state": "checkpoint",
    "claim": "claim",
    "heartbeat": "heartbeat",
    "layout": "layout document",
}


def add(commands: argparse._SubParsersAction) -> None:
    """Register the command."""
    text = "remove what nothing needs: what was left unfinished, and checkpoints, claims and heartbeats without a use"
    parser = commands.add_parser("gc", help=text, description=text)
    parser.set_defaults(handle=_gc)
    text = (
        "an experiment's name or module, or a folder of studies, or one study's; checkpoints of runs that are recorded "
        "are told only where the experiment is known"
    )
    parser.add_argument("target", metavar="STUDY|RESULTS", help=text)
    parser.add_argument("--results", default="results", metavar="DIR", help="where STUDY is kept (default: ./results)")
    parser.add_argument("--dry-run", action="store_true", help="say what would be removed, and remove nothing")
    parser.add_argument("--json", action="store_true", help="print one JSON document")


def _gc(options: argparse.Namespace) -> None:
    from lbscale.store import find_garbage, living_workers, remove_garbage

    removed: list[dict[str, Any]] = []
    n_living = 0
    for name, study, files in _studies(options.target, options.results):
        finished = _finished(files, study)
        living = living_workers(files)
        garbage = find_garbage(files, finished, living)
        if not options.dry_run:
            remove_garbage(files, garbage)
        n_living += len(living)
        removed += [_document(name, files, each) for each in garbage]
    document = {
        "dry_run": options.dry_run,
        "n_removed": len(removed),
        "n_bytes": sum(each["n_bytes"] for each in removed),
        "n_living_workers": n_living,
        "removed": removed,
    }
    if options.json:
        print_json(document)
    else:
        print(_text(document))


def _studies(target: str, results: str) -> list[tuple[str, Study | None, Files]]:
    """Name, experiment where it is known, and folder of what is named."""
    from lbscale.store import Files, below, study_folders
    from lbscale.study import experiment_paths, load_study

    if target.endswith(".py") or target in experiment_paths():
        study = load_study(target)
        return [(study.name, study, Files(below(results, study.name)))]
    root = Files(target)
    folders = {name: Files(root.path(name)) for name in study_folders(root)}
    return [(name or root.path().rpartition("/")[2], None, files) for name, files in folders.items()]


def _finished(files: Files, study: Study | None) -> set[str]:
    """The trees whose runs are all recorded, of the study's runs and of those that it decided on later."""
    from lbscale.spec import from_json
    from lbscale.store import Store, finished_trees

    store = Store(files.root)
    if study is None:
        return set()
    registered = [store.registered(name.removesuffix(".json")) for name in files.names("registered")]
    followed = [from_json(run) for document in registered for run in (document or {}).get("runs", ())]
    return finished_trees([*study.runs, *followed], store.whole_keys())


def _document(study: str, files: Files, garbage: Garbage) -> dict[str, Any]:
    return {
        "study": study,
        "kind": garbage.kind,
        "path": files.path(garbage.name),
        "because": garbage.because,
        "n_bytes": garbage.n_bytes,
    }


def _text(document: dict[str, Any]) -> str:
    """A line for each kind and reason, then the total."""
    groups: defaultdict[tuple[str, str, str], list[int]] = defaultdict(list)
    for each in document["removed"]:
        groups[each["study"], each["kind"], each["because"]].append(each["n_bytes"])
    lines = [
        f"{study}: {len(sizes)} {_KINDS[kind]}{'' if len(sizes) == 1 else 's'}, {because}: {sum(sizes):,} bytes"
        for (study, kind, because), sizes in groups.items()
    ]
    done = "would be removed" if document["dry_run"] else "removed"
    n_living = document["n_living_workers"]
    workers = f"{n_living} worker{' is' if n_living == 1 else 's are'} at it, and what is unfinished stays"
    return "\n".join([*lines, f"{done}: {document['n_bytes']:,} bytes{f'; {workers}' if n_living else ''}"])
