"""`traced.py` under a wall clock that runs backwards by an hour a second, and is set a day back and forth meanwhile."""

from __future__ import annotations

import runpy
import time
from pathlib import Path

_HOUR, _DAY = 3_600.0, 86_400.0


def jump() -> None:
    """Set the clock, for this process, to what it will be from now on."""
    now = time.time

    def jumped() -> float:
        real = now()
        return real - _HOUR * (real % 1_000) - (_DAY if int(10 * real) % 2 else 0)

    time.time = jumped
    time.time_ns = lambda: int(jumped() * 1e9)


if __name__ == "__main__":
    jump()
    runpy.run_path(str(Path(__file__).with_name("traced.py")), run_name="__main__")
