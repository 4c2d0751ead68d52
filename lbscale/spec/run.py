"""One training run as a value, its canonical JSON, and the key that names it for ever.

The key hashes what changes the numbers by design and nothing else. Every default is written out, so changing one
later leaves recorded runs where they are; a field added later is written only where it is not neutral
(`spec/neutral.py`); `SCHEMA` guards changes of meaning.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from dataclasses import dataclass
from typing import Any, get_args

from lbscale.errors import InputError, check, check_choice
from lbscale.spec.batch import Batch
from lbscale.spec.coerce import as_float, as_int
from lbscale.spec.data import Corpus
from lbscale.spec.flax_model import FlaxModel, Model
from lbscale.spec.model import Decoder
from lbscale.spec.neutral import neutral_values, written_fields
from lbscale.spec.optimizer import DecayTimescale, HalfLife, Optimizer, WeightDecay
from lbscale.spec.parameterization import MuP, Standard
from lbscale.spec.schedule import (
    Schedule,
    expand_fractions,
)

SCHEMA = 1


@dataclass(frozen=True, kw_only=True)
class Run:
    """A training run. `n_tokens` counts row positions, padding included; `learning_rate` is the peak."""

    model: Model
    data: Corpus
    optimizer: Optimizer
    schedule: Schedule
    batch: Batch
    learning_rate: float
    n_tokens: int
    init_seed: int = 0
    data_seed: int = 0

    kind = "run"

    def __post_init__(self) -> None:
        as_int(self, "n_tokens")
        for name in ("init_seed", "data_seed"):
            as_int(self, name, highest=2**32 - 1)
        as_float(self, "learning_rate", open_low=True)
        for name, kinds in _FIELD_KINDS.items():
            value = getattr(self, name)
            allowed = ", ".join(kind.__name__ for kind in kinds)
            check(isinstance(value, kinds), name, value, f"one of {allowed} is needed")
        object.__setattr__(self, "schedule", expand_fractions(self.schedule, self.n_tokens))
        for size in self.batch.sizes_tokens:
            whole = size % self.data.seq_len == 0
            check(whole, "batch_size_tokens", size, f"a multiple of seq_len = {self.data.seq_len} is needed")
        first = self.batch.sizes_tokens[0]
        check(self.n_tokens >= first, "n_tokens", self.n_tokens, f"at least one batch of {first} tokens is needed")
        decay = getattr(self.schedule, "decay_tokens", 0)
        check(decay <= self.n_tokens, "decay_tokens", decay, f"at most n_tokens = {self.n_tokens} is allowed")


_FIELD_KINDS: dict[str, tuple[type, ...]] = {
    "model": (Decoder, FlaxModel),
    "data": (Corpus,),
    "optimizer": get_args(Optimizer),
    "schedule": get_args(Schedule),
    "batch": get_args(Batch),
}
_NESTED: tuple[type, ...] = (HalfLife, WeightDecay, DecayTimescale, Standard, MuP)


def _by_kind(field: str) -> dict[str, type]:
    """The classes, by their `kind`, that a field of some spec may hold."""
    return {getattr(cls, "kind"): cls for cls in _FIELD_KINDS.get(field, _NESTED)}  # noqa: B009


def _encode(value: Any) -> Any:
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        fields = {name: _encode(getattr(value, name)) for name in written_fields(value)}
        return {"kind": getattr(value, "kind"), **fields}  # noqa: B009
    return [_encode(item) for item in value] if isinstance(value, tuple) else value


def _decode(cls: type, document: dict[str, Any]) -> Any:
    names = {field.name for field in dataclasses.fields(cls)}
    arguments = neutral_values(cls)
    for name, value in document.items():
        if name == "kind":
            continue
        check(name in names, name, value, f"{cls.__name__} has the fields {', '.join(sorted(names))}")
        if isinstance(value, dict):
            choices = _by_kind(name)
            kind = value.get("kind")
            check_choice(f"{name}.kind", kind, choices)
            value = _decode(choices[str(kind)], value)
        arguments[name] = tuple(value) if isinstance(value, list) else value
    try:
        return cls(**arguments)
    except TypeError as error:
        raise InputError(cls.__name__, sorted(arguments), str(error)) from None


def to_json(run: Run) -> dict[str, Any]:
    """The run as a plain document, every default written out."""
    return {"schema": SCHEMA, **_encode(run)}


def from_json(document: dict[str, Any]) -> Run:
    """The run that `to_json` wrote; raises InputError on unknown fields, kinds or a newer schema."""
    schema = document.get("schema")
    check(schema == SCHEMA, "schema", schema, f"this lbscale reads run schema {SCHEMA}")
    check_choice("kind", document.get("kind"), (Run.kind,))
    return _decode(Run, {name: value for name, value in document.items() if name != "schema"})


def canonical_json(run: Run) -> str:
    """The run's one spelling: sorted fields, no spaces, shortest round-trip floats."""
    return json.dumps(to_json(run), sort_keys=True, separators=(",", ":"), allow_nan=False)


def run_key(run: Run) -> str:
    """The run's name: the first 16 hexadecimal digits of the SHA-256 of its canonical JSON."""
    return hashlib.sha256(canonical_json(run).encode()).hexdigest()[:16]
