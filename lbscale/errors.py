"""The project's own errors: one line that names the field, the value and what is allowed."""

from __future__ import annotations

import difflib
import signal
from collections.abc import Iterable

_LONGEST_VALUE = 200
_LONGEST_LINE = 1000


class InputError(ValueError):
    """A value that entered from outside and cannot be used; the command line prints it and exits with 2."""

    def __init__(self, field: str, value: object, allowed: str) -> None:
        self.field, self.value, self.allowed = field, value, allowed
        super().__init__(one_line(f"{field}: {shown(value)} cannot be used; {allowed}", _LONGEST_LINE))


def shown(value: object) -> str:
    """The value's repr, cut short in the middle where it is long; its type where it has none."""
    try:
        text = repr(value)
    except Exception:  # a class of the user's own, an integer of more digits than Python prints
        text = f"<{type(value).__name__}>"
    return text if len(text) <= _LONGEST_VALUE else f"{text[: _LONGEST_VALUE - 23]}...{text[-20:]}"


def one_line(text: object, longest: int = _LONGEST_VALUE) -> str:
    """What the object says as one line of printable characters, cut off where it is long."""
    try:
        words = " ".join(str(text).split())
    except Exception:  # an error of the user's own may fail to say what it is
        words = "(no text)"
    line = "".join(c if c.isprintable() else ascii(c)[1:-1] for c in words[: longest + 1])
    return line if len(line) <= longest else f"{line[: longest - 3]}..."


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
