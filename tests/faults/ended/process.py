"""A real `lbscale run`, that is left alone or ended by force."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

TRACED = Path(__file__).with_name("traced.py")


def start(
    module: Path,
    results: Path,
    log: Path,
    cache: Path,
    *options: str,
    said: Path | None = None,
    devices: int = 2,
    program: Path = TRACED,
) -> subprocess.Popen[bytes]:
    """Start to train; `log` gets what is trained, `said` what goes to standard error. `program` writes the log."""
    path = os.pathsep.join(str(Path(entry).resolve()) for entry in sys.path if entry)
    flags = f"--xla_force_host_platform_device_count={devices}"
    environment = {**os.environ, "PYTHONPATH": path, "XDG_CACHE_HOME": str(cache), "XLA_FLAGS": flags}
    words = [sys.executable, str(program), str(log), "run", str(module), "--results", str(results), *options]
    with open(said or os.devnull, "ab") as errors:
        return subprocess.Popen(words, env=environment, stdout=subprocess.DEVNULL, stderr=errors)


def ended(process: subprocess.Popen[bytes], after_seconds: float) -> bool:
    """Kill the process after a while; False where it had ended by itself before."""
    try:
        process.wait(after_seconds)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
        return True
    return False


def trains(process: subprocess.Popen[bytes], log: Path) -> bool:
    """Wait until the process trains; False where it ended without."""
    while process.poll() is None:
        if log.exists() and log.stat().st_size:
            return True
        time.sleep(0.01)
    return False


def seconds_to_end(process: subprocess.Popen[bytes]) -> float:
    """Wait until the process ends as it should; for how long."""
    began = time.perf_counter()
    code = process.wait()
    assert code == 0, f"exit code {code}"
    return time.perf_counter() - began
