"""The project's own errors: one line that names the field, the value and what is allowed."""

from __future__ import annotations

import difflib
import signal
from collections.abc import Iterable


class InputError(ValueError):
    """A value that entered from outside and cannot be used; the command line prints it and exits with 2."""

    def __init__(self, field: str, value: object, allowed: str) -> None:
        self.field, self.value, self.allowed = field, value, allowed
        super().__init__(f"{field}: {value!r} cannot be used; {allowed}")


class Interrupted(KeyboardInterrupt):
    """A worker stopped because `signal` asked it to, all that was under way saved."""

    def __init__(self, by: signal.Signals) -> None:
        self.signal = by
        super().__init__(f"stopped by {by.name}; what was under way is saved, and the same command goes on from there")


def check(condition: bool, field: str, value: object, allowed: str) -> None:
    """Raise InputError unless `condition` holds."""
    if not condition:
        raise InputError(field, value, allowed)


def check_choice(field: str, value: object, choices: Iterable[str]) -> None:
    """Raise InputError, with the nearest match, unless `value` is one of `choices`."""
    names = sorted(choices)
    if value not in names:
        near = difflib.get_close_matches(str(value), names, n=1)
        hint = f"did you mean {near[0]!r}? " if near else ""
        raise InputError(field, value, f"{hint}allowed: {', '.join(names)}")
