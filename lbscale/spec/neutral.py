"""Fields added to a spec after its runs were first recorded.

Such a field has a neutral value: the behaviour from before it existed. It is left out of the canonical JSON while it
holds that value, and a document without it means that value, so recorded runs keep their keys whatever the field's
default becomes.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import Any

_KEY = "neutral"


def neutral(value: Any) -> dict[str, Any]:
    """The metadata of a dataclass field that later joined a spec; `value` is immutable."""
    return {_KEY: value}


def written_fields(spec: Any) -> Iterator[str]:
    """Names of the fields of a spec's value that its document holds: all but the added ones at their neutral value."""
    cls: type = type(spec)
    added = neutral_values(cls)
    for name in field_names(cls):
        if name not in added or getattr(spec, name) != added[name]:
            yield name


@functools.cache
def field_names(cls: type) -> tuple[str, ...]:
    """Names of the fields of the spec `cls`, in order."""
    return tuple(field.name for field in dataclasses.fields(cls))


@functools.cache
def neutral_values(cls: type) -> Mapping[str, Any]:
    """What a document of the spec `cls` means by leaving out its added fields."""
    added = {field.name: field.metadata[_KEY] for field in dataclasses.fields(cls) if _KEY in field.metadata}
    return MappingProxyType(added)
