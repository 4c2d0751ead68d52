"""Commands about studies: tour, list, plan, run, status, results, report."""

from __future__ import annotations

import argparse
import ast
import os
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

from lbscale.cli.arguments import as_mapping, print_json, whole_pair
from lbscale.errors import check


def add(commands: argparse._SubParsersAction) -> None:
    """Register the commands."""

    def command(name: str, handle: Any, text: str, study: bool = True) -> argparse.ArgumentParser:
        parser = commands.add_parser(name, help=text, description=text)
        parser.set_defaults(handle=handle)
        if study:
            parser.add_argument("study", help="an experiment's name, or the path of a module")
            parser.add_argument("--results", default="results", type=Path, metavar="DIR", help="default: ./results")
        parser.add_argument("--json", action="store_true", help="print one JSON document")
        return parser

    tour = command(
        "tour", _run, "train the tour study, fit its laws, and check a prediction (five minutes)", study=False
    )
    tour.set_defaults(study="tour")
    tour.add_argument("--results", default="results", type=Path, metavar="DIR", help="default: ./results")
    _add_layout(tour)
    command("list", _list, "list the experiments that can be named", study=False)
    _add_layout(command("plan", _plan, "show what a study would train, and what it would cost"))
    _add_layout(command("run", _run, "train a study, fit its laws, write its table, laws, figures and page"))
    command("status", _status, "show how far a study is")
    results = command("results", _results, "print a study's run table")
    results.add_argument("--csv", action="store_true", help="print CSV")
    command("report", _report, "write a study's page and figures again from its recorded runs")


def _add_layout(parser: argparse.ArgumentParser) -> None:
    text = "spread each run over devices: data=, fsdp=, tensor=; lanes take the rest"
    parser.add_argument("--mesh", nargs="+", type=whole_pair, metavar="AXIS=SIZE", help=text)
    text = "what a layer computes again in its backward pass, to save memory: none (default), dots, full"
    parser.add_argument("--remat", default="none", metavar="NAME", help=text)


def _list(options: argparse.Namespace) -> None:
    from lbscale.study import experiment_paths

    headlines = {name: _headline(path) for name, path in sorted(experiment_paths().items())}
    if options.json:
        print_json([{"name": name, "question": text} for name, text in headlines.items()])
        return
    width = max(map(len, headlines), default=0)
    for name, text in headlines.items():
        print(f"{name:{width}}  {text}")


def _headline(path: Path) -> str:
    """The first line of a module's docstring, read without running the module."""
    docstring = ast.get_docstring(ast.parse(path.read_text())) or "(no docstring)"
    return docstring.splitlines()[0]


def _open(options: argparse.Namespace) -> tuple[Any, Any]:
    from lbscale.store import Store
    from lbscale.study import load_study

    study = load_study(options.study)
    return study, Store(options.results / study.name)


def _warn_of_drift(study: Any, store: Any) -> None:
    from lbscale.store import source_drift

    for line in source_drift(store, study.runs):
        print(f"lbscale: warning: {line}", file=sys.stderr)


def _plan(options: argparse.Namespace) -> None:
    from lbscale.cli.plan_view import plan_document, plan_text
    from lbscale.conduct import checked_plan
    from lbscale.parallel import machine_layout, one_device_per_core

    study, store = _open(options)
    one_device_per_core()
    layout = machine_layout(as_mapping("mesh", options.mesh), options.remat)
    plan = checked_plan(study.runs, layout, store)
    if options.json:
        print_json(plan_document(study.name, plan, layout))
    else:
        print(plan_text(study.name, plan, layout, has_follow_up=study.follow_up is not None))


def _run(options: argparse.Namespace) -> None:
    from lbscale.cli.progress import ProgressDisplay
    from lbscale.conduct import run
    from lbscale.parallel import counted_compilations, keep_compilations
    from lbscale.report import verdict_text, write_report
    from lbscale.store import Store
    from lbscale.study import load_study

    study = load_study(options.study)
    keep_compilations()
    _check_writable(options.results)
    _warn_of_drift(study, Store(options.results / study.name))
    with ProgressDisplay() as display, counted_compilations() as compilations:
        mesh = as_mapping("mesh", options.mesh)
        conducted = run(study, options.results, watch=display, mesh=mesh, remat=options.remat)
    print(f"programs: {compilations}", file=sys.stderr)
    folder = options.results / study.name
    verdict = write_report(conducted, folder)
    if options.json:
        print_json({**verdict, "compilations": asdict(compilations)})
    else:
        print(verdict_text(conducted, verdict))
        print(f"\nThe page: {folder / 'index.html'}; the table: {folder / 'table.csv'}; the laws: {folder / 'laws'}/")


def _check_writable(folder: Path) -> None:
    """Before anything is trained: access rights do not say whether a file system takes new files."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        writable = os.access(folder, os.W_OK)
    except OSError:
        writable = False
    check(writable, "results", str(folder), "a folder that can be written is needed")


def _status(options: argparse.Namespace) -> None:
    from lbscale.spec import run_key

    study, store = _open(options)
    _warn_of_drift(study, store)
    recorded = set(store.keys())
    done = [run for run in study.runs if run_key(run) in recorded]
    document = {"study": study.name, "n_runs": len(study.runs), "n_done": len(done), "n_recorded": len(recorded)}
    if options.json:
        print_json(document)
    else:
        others = len(recorded) - len(done)
        extra = f"; {others} further runs recorded (its follow-up, or runs of an earlier version)" if others else ""
        print(f"{study.name}: {len(done)} of {len(study.runs)} runs done{extra}")


def _results(options: argparse.Namespace) -> None:
    import json

    from lbscale.conduct import recorded_keys
    from lbscale.store import HEADLINE_COLUMNS, results_table

    study, store = _open(options)
    keys, followed = recorded_keys(study, store)
    table = results_table(store, [*keys, *followed])
    if options.json:
        print_json(json.loads(table.to_json(orient="records")))
    elif options.csv:
        table.to_csv(sys.stdout, index=False)
    else:
        columns = list(HEADLINE_COLUMNS)
        print(table[columns].sort_values(columns[:4]).to_string(index=False))


def _report(options: argparse.Namespace) -> None:
    from lbscale.conduct import recall
    from lbscale.report import verdict_text, write_report

    study, _ = _open(options)
    conducted = recall(study, options.results)
    verdict = write_report(conducted, options.results / study.name)
    if options.json:
        print_json(verdict)
    else:
        print(verdict_text(conducted, verdict))
