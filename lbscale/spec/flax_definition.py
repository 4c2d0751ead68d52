"""What a FlaxModel's path names: how to build the module, what it counts, and where it departs from the usual.

Nothing here imports jax. The user's module is imported when something is first asked of it.
"""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

from lbscale.errors import InputError, check, check_choice
from lbscale.spec.flax_model import FlaxModel


@dataclass(frozen=True, kw_only=True)
class FlaxDefinition:
    """A family of Flax modules.

    `build(**arguments)` gives a Linen module, or a function that makes an NNX module when called with `rngs=`. The
    module is called with `tokens_BT`, int32, and by name with those of these that its `__call__` has:

        starts_BT       int32, where each token's document starts in its row
        positions_BT    int32, places within the document
        segments_BT     int32, the row's documents, numbered from 1; padding is a document a position
        mask_B1TT       bool, the keys that a query may see: causal, within its document
        deterministic, train    whether dropout is off, or on

    It returns logits BTV. With `head`, it returns hidden states BTD, which are multiplied by the head, DV: the path of
    a parameter ("lm_head/kernel"), or a function of all parameters. Of a tuple, a mapping or an object with further
    outputs the first counts, or the entry `logits` (`hidden_states` with a head).

    `count(**arguments)` gives a `lbscale.count.ModelCount`. `needs_rng` says that training draws random numbers, as
    dropout does: anew at every micro-step, so that the machine's micro-batch moves a loss as another seed would.
    `entry(entry)` may change any `ParameterEntry` of the module's table, for instance to say that a leaf's leading axis
    counts layers. Shapes are read from rows of `trace_length` positions, for a module that takes no other.
    """

    build: Callable[..., Any]
    count: Callable[..., Any]
    head: str | Callable[[Mapping[str, Any]], Any] | None = None
    needs_rng: bool = False
    entry: Callable[[Any], Any] | None = None
    trace_length: int = 8


def definition_of(model: FlaxModel) -> FlaxDefinition:
    """The definition at the model's path; raises InputError, with the nearest name, where there is none."""
    place, _, name = model.path.rpartition(":")
    module = _import(place)
    check_choice("path", name, [key for key, value in vars(module).items() if isinstance(value, FlaxDefinition)])
    definition: FlaxDefinition = getattr(module, name)
    return definition


def source_digest(model: FlaxModel) -> str:
    """First 16 hexadecimal digits of the SHA-256 of the file that defines the model; what it imports is not looked at.

    The module is located and not run. Raises InputError when there is no such file.
    """
    return hashlib.sha256(_source(model.path.rpartition(":")[0]).read_bytes()).hexdigest()[:16]


def _source(place: str) -> Path:
    if place.endswith(".py"):
        path = Path(place)
    else:
        try:
            found = importlib.util.find_spec(place)
        except ImportError:
            found = None
        path = Path(found.origin) if found and found.origin else Path(place)
    check(path.is_file(), "path", place, "a module that Python finds, or a .py file relative to here, is needed")
    return path.resolve()


def _import(place: str) -> ModuleType:
    source = _source(place)
    # A file may ask for its own definition while it runs, as an experiment that counts its model does.
    name = f"lbscale_flax_{hashlib.sha256(str(source).encode()).hexdigest()[:16]}" if place.endswith(".py") else place
    if name in sys.modules:
        return sys.modules[name]
    try:
        return _run_file(name, source) if place.endswith(".py") else importlib.import_module(name)
    except InputError:
        raise
    except Exception as error:
        raise InputError("path", place, f"a module that runs is needed: {type(error).__name__}: {error}") from error


def _run_file(name: str, source: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, source)
    assert spec is not None and spec.loader is not None  # any .py file has a loader
    module = sys.modules[name] = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    return module
