"""Keep what libraries print from threads of their own off the terminal: their errors reach the thread that trains, and
are said there in one line."""

from __future__ import annotations

import contextlib
import logging
import sys
import threading
from collections.abc import Iterator
from typing import Any


@contextlib.contextmanager
def quiet_threads() -> Iterator[None]:
    """While the context is open, the checkpoint library logs nothing, and an exception that nobody can catch, in
    another thread than the main one, is not printed."""
    logger = logging.getLogger("absl")
    level, hook = logger.level, sys.unraisablehook

    def only_of_main_thread(unraisable: Any) -> None:
        if threading.current_thread() is threading.main_thread():
            hook(unraisable)

    logger.setLevel(logging.CRITICAL)
    sys.unraisablehook = only_of_main_thread
    try:
        yield
    finally:
        logger.setLevel(level)
        sys.unraisablehook = hook
