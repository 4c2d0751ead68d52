"""Keep what libraries print from threads of their own off the terminal: their errors reach the thread that trains, and
are said there in one line."""

from __future__ import annotations

import logging
import sys
import threading
from typing import Any


def quiet_threads() -> None:
    """From here on, for the process: the checkpoint library logs nothing, and an exception that nobody can catch, in
    another thread than the main one, is not printed. There may be such after a command has ended."""
    hook = sys.unraisablehook

    def only_of_main_thread(unraisable: Any) -> None:
        if threading.current_thread() is threading.main_thread():
            hook(unraisable)

    logging.getLogger("absl").setLevel(logging.CRITICAL)
    sys.unraisablehook = only_of_main_thread
