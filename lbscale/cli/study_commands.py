"""Commands about studies: tour, list, plan, run, status, results, report."""

from __future__ import annotations

import argparse
import ast
import os
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

from lbscale.cli.arguments import as_mapping, not_negative, positive, print_json, whole_pair
from lbscale.cli.store_commands import warn_of_broken
from lbscale.errors import check, one_line


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
    tour.set_defaults(worker=False)
    _add_layout(tour)
    _add_upkeep(tour)
    command("list", _list, "list the experiments that can be named", study=False)
    plan = command("plan", _plan, "show what a study would train, and what it would cost")
    _add_layout(plan)
    text = "measure nothing: leave out seconds, and lanes a group that are not written down yet"
    plan.add_argument("--no-timing", action="store_true", help=text)
    run = command("run", _run, "train a study, fit its laws, write its table, laws, figures and page")
    _add_layout(run)
    _add_upkeep(run)
    text = "train beside other processes on the same results folder, and leave the laws and the page to `lbscale run`"
    run.add_argument("--worker", action="store_true", help=text)
    status = command("status", _status, "show how far a study is, and who works on it")
    status.add_argument("--watch", action="store_true", help="show it again every two seconds until all is recorded")
    results = command("results", _results, "print a study's run table")
    results.add_argument("--csv", action="store_true", help="print CSV")
    command("report", _report, "write a study's page and figures again from its recorded runs")


def _add_layout(parser: argparse.ArgumentParser) -> None:
    text = "spread each run over devices: data=, fsdp=, tensor=; lanes take the rest"
    parser.add_argument("--mesh", nargs="+", type=whole_pair, metavar="AXIS=SIZE", help=text)
    text = "what a layer computes again in its backward pass, to save memory: none (default), dots, full"
    parser.add_argument("--remat", metavar="NAME", help=text)
    text = "recorded (default): that of the study's results folder, where it has one; new: lay it out for this machine"
    parser.add_argument("--layout", default="recorded", choices=("recorded", "new"), help=text)


def _add_upkeep(parser: argparse.ArgumentParser) -> None:
    text = "give up runs whose settings, at a smaller budget, diverged or ended NATS above the best (default: none)"
    parser.add_argument("--stop-hopeless", type=positive, metavar="NATS", help=text)
    text = "save what is under way every so many seconds (default: 60), to go on from there after an interruption"
    parser.add_argument("--save-every", default=60.0, type=not_negative, metavar="SECONDS", help=text)


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
    try:
        docstring = ast.get_docstring(ast.parse(path.read_bytes()))
    except (OSError, SyntaxError, ValueError, RecursionError, MemoryError) as error:
        return f"(no module that runs: {one_line(error)})"
    return one_line(docstring.splitlines()[0]) if docstring else "(no docstring)"


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
    from lbscale.execute import measured_speeds, settle_group_sizes, settle_layout
    from lbscale.parallel import keep_compilations, one_device_per_core
    from lbscale.store import Layouts, listed_states

    study, store = _open(options)
    one_device_per_core()
    keep_compilations()
    layouts, is_new = Layouts(store.files), options.layout == "new"
    mesh, unfinished = as_mapping("mesh", options.mesh), bool(listed_states(store.files))
    settled = settle_layout(layouts, mesh, options.remat, has_unfinished=unfinished, anew=is_new, write=False)
    plan = checked_plan(study.runs, settled.layout, store)
    speeds = {}
    if not options.no_timing:
        settled = settle_group_sizes(settled, plan, layouts, _say_measuring)
        speeds = measured_speeds(plan, settled.layout, _say_measuring)
    if options.json:
        print_json(plan_document(study.name, plan, settled.layout, speeds=speeds))
    else:
        has_follow_up = study.follow_up is not None
        print(plan_text(study.name, plan, settled.layout, has_follow_up=has_follow_up, speeds=speeds))


def _say_measuring(program: Any, group_size: int) -> None:
    from lbscale.count import count_params

    lanes = "1 lane" if group_size == 1 else f"{group_size} lanes"
    size = f"{count_params(program.model).non_embedding:,} params"
    print(f"timing {size}, micro-batches of {program.micro_batch_tokens} tokens, {lanes} a group", file=sys.stderr)


def _run(options: argparse.Namespace) -> None:
    from lbscale.cli.progress import ProgressDisplay
    from lbscale.conduct import recall, work
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
        is_new, early_stop = options.layout == "new", _early_stop(options)
        work(study, options.results, display, mesh, options.remat, is_new, options.save_every, early_stop)
    print(f"programs: {compilations}", file=sys.stderr)
    if options.worker:
        if options.json:
            print_json({"study": study.name, "compilations": asdict(compilations)})
        return
    conducted = recall(study, options.results)
    folder = options.results / study.name
    verdict = write_report(conducted, folder)
    if options.json:
        print_json({**verdict, "compilations": asdict(compilations)})
    else:
        print(verdict_text(conducted, verdict))
        print(f"\nThe page: {folder / 'index.html'}; the table: {folder / 'table.csv'}; the laws: {folder / 'laws'}/")


def _early_stop(options: argparse.Namespace) -> Any:
    from lbscale.execute import EarlyStop

    return None if options.stop_hopeless is None else EarlyStop(options.stop_hopeless)


def _check_writable(folder: Path) -> None:
    """Before anything is trained: access rights do not say whether a file system takes new files."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        writable = os.access(folder, os.W_OK)
    except OSError:
        writable = False
    check(writable, "results", str(folder), "a folder that can be written is needed")


def _status(options: argparse.Namespace) -> None:
    from lbscale.cli.status_view import Looks, status_document, status_text, watch

    study, store = _open(options)
    _warn_of_drift(study, store)
    warn_of_broken(store)
    looks = Looks()
    if options.json:
        print_json(status_document(study, store, looks))
    elif options.watch:
        watch(lambda: status_document(study, store, looks))
    else:
        print(status_text(status_document(study, store, looks)))


def _results(options: argparse.Namespace) -> None:
    import json

    from lbscale.conduct import recorded_keys
    from lbscale.store import HEADLINE_COLUMNS, results_table

    study, store = _open(options)
    warn_of_broken(store)
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

    study, store = _open(options)
    warn_of_broken(store)
    conducted = recall(study, options.results)
    verdict = write_report(conducted, options.results / study.name)
    if options.json:
        print_json(verdict)
    else:
        print(verdict_text(conducted, verdict))
