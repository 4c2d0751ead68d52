"""Coercion of field values, so that 1, 1.0 and numpy's 1.0 are one value and hash to one key."""

from __future__ import annotations

import math
import numbers
from collections.abc import Iterable
from typing import Any

from lbscale.errors import InputError, check


def as_int(owner: Any, name: str, lowest: int = 0, highest: float = math.inf) -> None:
    """Replace an integral field by a Python int within bounds; raise InputError otherwise."""
    value = getattr(owner, name)
    is_number = isinstance(value, numbers.Real) and not isinstance(value, bool)
    if not is_number or not math.isfinite(value) or int(value) != value or not lowest <= value <= highest:
        top = f" and at most {highest}" if math.isfinite(highest) else ""
        raise InputError(name, value, f"an integer of at least {lowest}{top} is needed")
    object.__setattr__(owner, name, int(value))


def as_ints(owner: Any, name: str) -> None:
    """Replace a field by a tuple of Python ints; raise InputError unless it is a sequence of integral numbers."""
    values = getattr(owner, name)
    try:
        whole = tuple(int(value) for value in values)
    except (TypeError, ValueError, OverflowError):
        whole = ()
    same = isinstance(values, Iterable) and whole == tuple(values)
    check(same, name, values, "a sequence of integers is needed")
    object.__setattr__(owner, name, whole)


def as_float(owner: Any, name: str, lowest: float = 0.0, highest: float = math.inf, *, open_low: bool = False) -> None:
    """Replace a real field by a Python float within bounds; raise InputError otherwise."""
    value = getattr(owner, name)
    if not isinstance(value, numbers.Real) or isinstance(value, bool) or not math.isfinite(value):
        raise InputError(name, value, "a finite number is needed")
    value = float(value)
    if not (value > lowest if open_low else value >= lowest) or value > highest:
        low_side = "above" if open_low else "of at least"
        raise InputError(name, value, f"a number {low_side} {lowest:g} and at most {highest:g} is needed")
    object.__setattr__(owner, name, value + 0.0)  # -0.0 is 0.0


def as_bool(owner: Any, name: str) -> None:
    """Require a bool."""
    value = getattr(owner, name)
    check(isinstance(value, bool), name, value, "True or False is needed")
