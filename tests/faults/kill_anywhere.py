"""`kill -9` of a study at random moments until there were enough: `python tests/faults/kill_anywhere.py --kills 100`.

Four studies of 40 runs in all take turns.
"""

from __future__ import annotations

import argparse
import itertools
import tempfile
import time
from pathlib import Path

from ended.killing import kill_until_done, left_alone
from ended.studies import STUDIES


def kill(n_kills: int, seed: int) -> None:
    """Kill so often, and say what was survived."""
    with tempfile.TemporaryDirectory() as name:
        folder, cache = Path(name), Path(name) / "cache"
        alone = {study: left_alone(study, folder / study, cache) for study in STUDIES}
        n_runs = sum(len(one.account.runs) for one in alone.values())
        print(f"{len(alone)} studies of {n_runs} runs; alone: {[round(one.seconds) for one in alone.values()]} s")
        done, began = 0, time.perf_counter()
        for turn, study in enumerate(itertools.cycle(STUDIES)):
            if done >= n_kills:
                break
            here = folder / f"turn{turn}"
            here.mkdir()
            n = kill_until_done(alone[study], here, cache, n_kills - done, seed + turn)
            done += n
            print(f"{study}: same after {n} kills; {done} in all, {time.perf_counter() - began:.0f} s", flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    kill(options.kills, options.seed)
