"""A Flax module as part of a run: where its definition stands, the arguments that build it, its author's version."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from lbscale.errors import InputError, check
from lbscale.spec.coerce import as_float, as_int, as_name
from lbscale.spec.model import Decoder

Scalar = str | int | float | bool | None
Arguments = tuple[tuple[str, Scalar], ...]


@dataclass(frozen=True, kw_only=True)
class FlaxModel:
    """The module that the `FlaxDefinition` at `path` builds from `arguments`.

    `path` is "package.module:NAME", or "folder/file.py:NAME" relative to the working folder. `version` is whatever the
    author states: source code is no part of a run's key, so a change that moves numbers needs a new version.
    `arguments` are given as a mapping of JSON scalars and kept as pairs sorted by name. `z_loss` is as in `Decoder`.
    """

    path: str
    version: str
    vocab_size: int = 257
    arguments: Arguments | Mapping[str, Scalar] = ()
    z_loss: float = 0.0

    kind = "flax"

    def __post_init__(self) -> None:
        for name in ("path", "version"):
            as_name(self, name)
        module, _, name = self.path.rpartition(":")
        named = bool(module) and name.isidentifier() and not module.startswith("/")
        check(named, "path", self.path, '"package.module:NAME", or "folder/file.py:NAME" relative to here, is needed')
        object.__setattr__(self, "arguments", _sorted_pairs(self.arguments))
        as_int(self, "vocab_size", lowest=2)
        as_float(self, "z_loss")

    def __eq__(self, other: object) -> bool:
        return isinstance(other, FlaxModel) and self._told_apart() == other._told_apart()

    def __hash__(self) -> int:
        return hash(self._told_apart())

    def _told_apart(self) -> tuple[Any, ...]:
        """What is equal where the model's canonical JSON is: Python's own True equals 1."""
        types = tuple(map(type, self.keywords.values()))
        return self.path, self.version, self.vocab_size, self.arguments, types, self.z_loss

    @property
    def keywords(self) -> dict[str, Scalar]:
        """The arguments as `build` and `count` take them."""
        return dict(self.arguments)


Model = Decoder | FlaxModel


def _sorted_pairs(arguments: Any) -> Arguments:
    try:
        mapping = dict(arguments)
    except (TypeError, ValueError):
        raise InputError("arguments", arguments, "a mapping of names to JSON scalars is needed") from None
    for name in mapping:
        check(isinstance(name, str) and name.isidentifier(), "arguments", name, "names of parameters are needed")
    return tuple((name, _scalar(name, mapping[name])) for name in sorted(mapping))


def _scalar(name: str, value: Any) -> Scalar:
    """A JSON scalar; numpy's become Python's, and whole floats integers, so that 1 and 1.0 are one value and key."""
    value = value.item() if hasattr(value, "item") and not getattr(value, "shape", None) else value
    finite = not isinstance(value, float) or abs(value) < float("inf")
    scalar = (value is None or isinstance(value, str | int | float | bool)) and finite
    check(scalar, f"arguments.{name}", value, "a string, a finite number, True, False or None is needed")
    return int(value) if isinstance(value, float) and value.is_integer() and abs(value) < 2**53 else value
