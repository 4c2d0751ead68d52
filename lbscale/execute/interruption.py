"""Signals that ask a worker to stop: it saves what is under way first.

SIGTERM is what schedulers send before they take a machine away. SIGINT is ctrl-C: a second one does not wait.
"""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Iterator
from types import FrameType

from lbscale.errors import Interrupted

_SIGNALS = (signal.SIGTERM, signal.SIGINT)


class Interruption:
    """Whether it was asked for."""

    def __init__(self) -> None:
        self._asked = threading.Event()
        self._by: signal.Signals | None = None

    @property
    def by(self) -> signal.Signals | None:
        """The signal that asked, or None."""
        return self._by

    def ask(self, by: signal.Signals = signal.SIGTERM) -> None:
        """Ask the worker to save and stop."""
        self._by = by
        self._asked.set()

    def check(self) -> None:
        """Raise Interrupted where it was asked for, and nothing is under way that is to be saved."""
        if self._by is not None:
            raise Interrupted(self._by)

    def wait(self, seconds: float) -> None:
        """Wait, but not once it was asked for."""
        self._asked.wait(seconds)


@contextlib.contextmanager
def interruption() -> Iterator[Interruption]:
    """Listen to the signals while the context is open; in a thread that gets none, nothing asks."""
    asked = Interruption()

    def on_signal(number: int, _: FrameType | None) -> None:
        if asked.by is not None and number == signal.SIGINT:
            raise KeyboardInterrupt
        asked.ask(signal.Signals(number))

    if threading.current_thread() is not threading.main_thread():
        yield asked
        return
    before = {number: signal.signal(number, on_signal) for number in _SIGNALS}
    try:
        yield asked
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
