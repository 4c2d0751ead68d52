"""What two runs have in common from their first token on.

Runs whose states start alike and whose control arrays agree up to a token have one state there, whatever they do
afterwards and however either is trained.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from typing import Any

import numpy as np

from lbscale.clock.controls import hyperparameters
from lbscale.clock.updates import equal_updates, update_edges
from lbscale.spec import DecayTimescale, HalfLife, Optimizer, Run, WeightDecay, to_json

_IN_ARRAYS = (float, HalfLife, WeightDecay, DecayTimescale)
_FIRST_WINDOW, _WINDOW_GROWTH = 16, 8  # updates compared at once: most runs that differ do so at once


def optimizer_structure(optimizer: Optimizer) -> tuple[str, tuple[tuple[str, Any], ...]]:
    """What of an optimizer is no number of the control arrays: its kind, and its other fields by name."""
    fields = [(field.name, getattr(optimizer, field.name)) for field in dataclasses.fields(optimizer)]
    return optimizer.kind, tuple((name, value) for name, value in fields if not isinstance(value, _IN_ARRAYS))


def origin(run: Run) -> tuple[Any, ...]:
    """All that enters a run's state besides its control arrays: hashable, equal where states can be."""
    return run.model, run.data, run.init_seed, run.data_seed, optimizer_structure(run.optimizer)


def n_updates(run: Run) -> int:
    """How many updates the run makes."""
    return len(update_edges(run.batch, run.n_tokens)) - 1


def control_columns(run: Run, first: int, last: int) -> np.ndarray:
    """The control arrays of the updates `first` to `last` - 1, a column an update: its batch size and every
    hyperparameter as the compiled step gets it (float32). Their bits, as uint32 of shape (quantities, updates)."""
    edges = update_edges(run.batch, run.n_tokens)
    hyper = hyperparameters(run, edges, slice(first, last))
    columns = np.empty((1 + len(hyper), last - first), np.float32)
    columns.view(np.uint32)[0] = np.diff(edges[first : last + 1])
    for i, name in enumerate(sorted(hyper), start=1):
        columns[i] = hyper[name]
    return columns.view(np.uint32)


def agreeing_updates(runs: list[Run], first: int = 0) -> int:
    """How many updates all `runs`, of one origin, have in common, given that they agree on the first `first`."""
    end = min(map(n_updates, runs))
    start, width = first, max(_FIRST_WINDOW, first)
    while start < end:
        stop = min(start + width, end)
        reference = control_columns(runs[0], start, stop)
        agreed = stop - start
        for run in runs[1:]:
            differs = (control_columns(run, start, start + agreed) != reference[:, :agreed]).any(axis=0)
            agreed = int(differs.argmax()) if differs.any() else agreed
        if start + agreed < stop:
            return start + agreed
        start, width = stop, width * _WINDOW_GROWTH
    return end


def shared_tokens(run: Run, other: Run) -> int:
    """Row positions, from the first on, that the two runs train alike."""
    if origin(run) != origin(other):
        return 0
    return int(update_edges(run.batch, run.n_tokens)[agreeing_updates([run, other])])


def prefix_key(run: Run, n_tokens: int) -> str:
    """A name of the run's state after `n_tokens`, an update's end: the same for two runs where they share that state,
    and else (but for colliding hashes) another. 16 hexadecimal digits."""
    document = to_json(run)
    start = [document[name] for name in ("model", "data", "init_seed", "data_seed")]
    digest = hashlib.sha256(json.dumps([start, optimizer_structure(run.optimizer)], sort_keys=True).encode())
    last = int(np.searchsorted(update_edges(run.batch, run.n_tokens), n_tokens))
    digest.update(control_columns(run, 0, last).tobytes())
    return digest.hexdigest()[:16]


def trunk_key(run: Run) -> str:
    """The same for all runs that share their first update, and with it some trunk."""
    return prefix_key(run, equal_updates(run.batch, run.n_tokens)[0].size)
