"""Commands about what is recorded: verify, diff."""

from __future__ import annotations

import argparse
import json
import sys
from typing import TYPE_CHECKING, Any

from lbscale.cli.arguments import print_json
from lbscale.errors import InputError, check

if TYPE_CHECKING:
    from lbscale.spec import Run
    from lbscale.store import Difference, Result, Store

EXIT_BROKEN = 1
_MOST_NAMED = 5


def add(commands: argparse._SubParsersAction) -> None:
    """Register the commands."""
    text = "hash all that is recorded again, and name what is broken (exit code 1) and how it is mended"
    parser = commands.add_parser("verify", help=text, description=text)
    parser.set_defaults(handle=_verify)
    text = "a folder of studies, or one study's (default: ./results)"
    parser.add_argument("results", nargs="?", default="results", metavar="RESULTS", help=text)
    text = "remove what is broken, so that the next `lbscale run` trains it again"
    parser.add_argument("--remove", action="store_true", help=text)
    parser.add_argument("--json", action="store_true", help="print one JSON document")

    text = "show which fields of two runs differ, and how far their results do"
    parser = commands.add_parser("diff", help=text, description=text)
    parser.set_defaults(handle=_diff)
    text = "a recorded run's key, a beginning of it, or the path of a run.json"
    parser.add_argument("runs", nargs=2, metavar="RUN", help=text)
    text = "where keys are looked up: a folder of studies, or one study's (default: ./results)"
    parser.add_argument("--results", default="results", metavar="DIR", help=text)
    parser.add_argument("--json", action="store_true", help="print one JSON document")


def warn_of_broken(store: Store) -> list[str]:
    """Keys of the whole runs; one line on stderr where the store holds broken ones, which all that reads it leaves
    out."""
    whole, broken = store.checked_keys()
    if broken:
        runs = "1 recorded run is" if len(broken) == 1 else f"{len(broken)} recorded runs are"
        means = f"broken and left out: `lbscale verify {store.root}` says why, `lbscale run` trains again"
        print(f"lbscale: warning: {runs} {means}: {_named(broken)}", file=sys.stderr)
    return whole


def _named(keys: list[str]) -> str:
    """The first few keys."""
    return ", ".join(keys[:_MOST_NAMED]) + (", ..." if len(keys) > _MOST_NAMED else "")


def _verify(options: argparse.Namespace) -> int:
    from lbscale.store import Files, study_folders, verify

    results = Files(options.results)
    studies = {name: Files(results.path(name)) for name in study_folders(results)}
    verified = {name: verify(study) for name, study in studies.items()}
    found = [(name, finding) for name, each in verified.items() for finding in each.findings]
    for name, finding in found:
        if options.remove and finding.broken:
            studies[name].remove(finding.name)
    kinds = ("run", "state", "registration")
    document: dict[str, Any] = {
        "results": options.results,
        "n_studies": len(studies),
        **{f"n_{kind}s": sum(each.counts[kind] for each in verified.values()) for kind in kinds},
        "n_broken": sum(finding.broken for _, finding in found),
        "n_unfinished": sum(not finding.broken for _, finding in found),
        "findings": [
            {
                "study": name or results.path().rpartition("/")[2],
                "kind": finding.kind,
                "path": studies[name].path(finding.name),
                "state": "broken" if finding.broken else "unfinished",
                "problems": list(finding.problems),
                "mend": finding.mend,
                "removed": options.remove and finding.broken,
            }
            for name, finding in found
        ],
    }
    if options.json:
        print_json(document)
    else:
        print(_verified_text(document))
    return EXIT_BROKEN if document["n_broken"] else 0


def _verified_text(document: dict[str, Any]) -> str:
    """A line a problem, then the counts."""
    lines = []
    for finding in document["findings"]:
        end = f"{finding['mend']} (removed)" if finding["removed"] else finding["mend"]
        lines += [f"{finding['state']} {finding['kind']}: {problem}; {end}" for problem in finding["problems"]]
    counts = ", ".join(f"{name} {document[f'n_{name}']}" for name in ("studies", "runs", "states", "registrations"))
    if document["n_broken"] and not all(f["removed"] for f in document["findings"] if f["state"] == "broken"):
        lines.append("`lbscale verify --remove` removes what is broken, and the next `lbscale run` trains it again")
    lines.append(f"{counts}; broken {document['n_broken']}, unfinished {document['n_unfinished']}")
    return "\n".join(lines)


def _diff(options: argparse.Namespace) -> None:
    from lbscale.spec import run_key
    from lbscale.store import differing_fields, results_side_by_side

    (first, first_result), (second, second_result) = (_found(name, options.results) for name in options.runs)
    fields = differing_fields(first, second)
    results = results_side_by_side(first_result, second_result) if first_result and second_result else None
    keys = [run_key(first), run_key(second)]
    if options.json:
        print_json({"runs": keys, "same": not fields, "fields": fields, "results": results})
        return
    if not fields:
        print("the runs are the same")
    measured = results or {}
    if fields or any(left != right for left, right in measured.values()):
        print("\n".join(_columns(keys, {**fields, **measured})))


def _columns(keys: list[str], rows: Difference) -> list[str]:
    """A row a name, with both values."""
    table = [("", *keys), *((name, *map(_text, pair)) for name, pair in rows.items())]
    widths = [max(len(row[i]) for row in table) for i in range(3)]
    return ["  ".join(f"{cell:<{width}}" for cell, width in zip(row, widths, strict=True)).rstrip() for row in table]


def _text(value: Any) -> str:
    return "-" if value is None else str(value)


def _found(name: str, results: str) -> tuple[Run, Result | None]:
    """The run of a path, a key or the beginning of one, and its result where one is recorded."""
    return _at_path(name) if "/" in name or name.endswith(".json") else _of_key(name, results)


def _of_key(beginning: str, results: str) -> tuple[Run, Result]:
    from lbscale.store import Files, Store, study_folders

    root = Files(results)
    found: dict[str, Store] = {}
    for study in study_folders(root):
        store = Store(root.path(study))
        keys = store.keys()
        found |= {key: store for key in keys if key.startswith(beginning)}
    check(bool(found), "run", beginning, f"the key of a run recorded below {results}, or a run.json's path, is needed")
    several = f"the beginning of one key is needed; {len(found)} begin so: {_named(sorted(found))}"
    check(len(found) == 1, "run", beginning, several)
    key, store = found.popitem()
    return store.read(key)


def _at_path(path: str) -> tuple[Run, Result | None]:
    """Of a recorded run's run.json the result too; any other file is a run alone."""
    from lbscale.spec import from_json
    from lbscale.store import Files, Store

    folder, _, name = Files(path).path().rpartition("/")
    study, runs, key = [*folder.rsplit("/", 2), "", ""][:3]
    if (name, runs) == ("run.json", "runs") and Store(study).holds(key):
        return Store(study).read(key)
    try:
        document = json.loads(Files(folder).read(name))
    except (OSError, ValueError) as error:
        raise InputError("run", path, f"a readable run.json is needed: {error}") from None
    check(isinstance(document, dict), "run", path, "a JSON object is needed")
    return from_json(document), None
