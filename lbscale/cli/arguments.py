"""Argument types and output that the commands share."""

from __future__ import annotations

import argparse
import json
import math
from typing import Any

from lbscale.errors import InputError


def pair(text: str) -> tuple[str, str]:
    """NAME=VALUE as a pair of strings."""
    name, equals, value = text.partition("=")
    if not (name and equals and value):
        raise argparse.ArgumentTypeError(f"{text!r} cannot be used; NAME=VALUE is needed")
    return name, value


def number_pair(text: str) -> tuple[str, float]:
    """NAME=NUMBER; a finite number is needed."""
    name, value = pair(text)
    return name, number(value)


def whole_pair(text: str) -> tuple[str, int]:
    """NAME=INTEGER."""
    name, value = pair(text)
    if not (value.isascii() and value.isdigit() and len(value) < 10):
        raise argparse.ArgumentTypeError(f"{text!r} cannot be used; NAME=INTEGER, of at most 9 digits, is needed")
    return name, int(value)


def number(text: str) -> float:
    """A finite number."""
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise argparse.ArgumentTypeError(f"{text!r} cannot be used; a finite number is needed")
    return value


def not_negative(text: str) -> float:
    """A finite number of at least zero."""
    value = number(text)
    if value < 0:
        raise argparse.ArgumentTypeError(f"{text!r} cannot be used; a number of at least 0 is needed")
    return value


def positive(text: str) -> float:
    """A finite number above zero."""
    value = number(text)
    if value <= 0:
        raise argparse.ArgumentTypeError(f"{text!r} cannot be used; a number above 0 is needed")
    return value


def as_mapping(field: str, pairs: list[tuple[str, Any]] | None) -> dict[str, Any]:
    """Pairs as a mapping; raises InputError when a name comes twice."""
    mapping: dict[str, Any] = {}
    for name, value in pairs or []:
        if name in mapping:
            raise InputError(field, name, "each name may be given once")
        mapping[name] = value
    return mapping


def print_json(document: Any) -> None:
    """One JSON document on stdout, and nothing else."""
    print(json.dumps(document, indent=2, allow_nan=False))
