"""What a results folder leaves to train, what processes trained, and what came out of it.

Training is counted by update, and one that many runs share is one. Its name is the least key of the runs that share
it, with the tokens after it.
"""

from __future__ import annotations

import contextlib
import io
import json
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pandas as pd

from lbscale.cli.main import main
from lbscale.clock import shared_tokens, update_edges
from lbscale.execute import kept_states
from lbscale.plan import Layout, layout_from_document, make_plan
from lbscale.spec import Run, from_json, run_key
from lbscale.store import Layouts, Store
from lbscale.study import load_study

Update = tuple[str, int]


class Account:
    """The updates of a study, of which `runs` are all runs, those of its follow-up among them."""

    def __init__(self, runs: Iterable[Run]) -> None:
        self.runs = {run_key(run): run for run in runs}
        self._shared = {
            (one, other): shared_tokens(self.runs[one], self.runs[other]) for one in self.runs for other in self.runs
        }

    def updates(self, key: str, first_tokens: int, last_tokens: int) -> list[Update]:
        """The updates of a run that end in (first, last]."""
        run = self.runs[key]
        ends = (int(end) for end in update_edges(run.batch, run.n_tokens)[1:])
        return [(self._least(key, end), end) for end in ends if first_tokens < end <= last_tokens]

    def _least(self, key: str, tokens: int) -> str:
        return min(other for other in self.runs if self._shared[key, other] >= tokens)

    def trained(self, log: Path) -> Counter[Update]:
        """How often each update was begun, by the log of `traced.py`."""
        lines = (line.split() for line in log.read_text().splitlines()) if log.exists() else ()
        return Counter(update for key, *ends in lines for update in self.updates(key, *map(int, ends)))

    def left(self, store: Store) -> set[Update]:
        """The updates that the store and the kept states leave to do."""
        layout = written_layout(store)
        every = list(self.runs.values())
        kept = kept_states(store, layout) if layout else None
        plan = make_plan(every, layout or Layout(1, 64, 1), store.whole_keys(), kept)
        found = (self.updates(run_key(s.lead), s.first_tokens, s.last_tokens) for s in plan.stretches)
        return {update for updates in found for update in updates}


def written_layout(store: Store) -> Layout | None:
    """The study's layout, None where none is written."""
    written = Layouts(store.files).read()
    return layout_from_document(written.layout, written.group_sizes) if written else None


def followed(store: Store) -> list[Run]:
    """The runs of the registered follow-up."""
    names = [name.removesuffix(".json") for name in store.files.names("registered")]
    documents = [store.registered(name) for name in names]
    return [from_json(run) for document in documents if document for run in document["runs"]]


def table(module: Path, results: Path) -> pd.DataFrame:
    """What `lbscale results --csv` prints, as text, less times."""
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        code = main(["results", str(module), "--results", str(results), "--csv"])
    assert code == 0
    return pd.read_csv(io.StringIO(printed.getvalue()), dtype=str).drop(columns="seconds")


def curves(store: Store) -> dict[str, Any]:
    """The curve of each recorded run."""
    return {key: json.loads(store.files.read(f"runs/{key}/result.json"))["curve"] for key in sorted(store.whole_keys())}


def outcome(module: Path, results: Path) -> tuple[str, dict[str, Any]]:
    """All that a study came to but times and hosts."""
    return table(module, results).to_csv(), curves(Store(results / load_study(str(module)).name))


def junk(store: Store) -> list[str]:
    """What is left in the folders that are empty when nobody works."""
    return [f"{folder}/{name}" for folder in ("states", "claims", "workers") for name in store.files.names(folder)]
