"""Kill a study again and again, and compare what comes out with what comes out of one left alone."""

from __future__ import annotations

import random
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ended.account import Account, followed, junk, outcome
from ended.process import ended, seconds_to_end, start, trains
from ended.studies import STUDIES
from lbscale.store import Store
from lbscale.study import load_study

SAVE_EVERY = ("--save-every", "0.1")
_COLD_SHARE = 0.1  # of processes that find no compiled program


@dataclass(frozen=True)
class Undisturbed:
    """A study left alone: what came out, its runs, how long it took with and without compiled programs, and how long
    from its first update on."""

    module: Path
    outcome: Any
    account: Account
    seconds: float
    cold_seconds: float
    training_seconds: float


def left_alone(name: str, folder: Path, cache: Path) -> Undisturbed:
    """Carry out a study twice, the second time with the programs that the first one compiled."""
    module = folder / f"{name}.py"
    folder.mkdir(parents=True, exist_ok=True)
    module.write_text(STUDIES[name])
    cold = seconds_to_end(start(module, folder / "alone0", folder / "log0", cache))
    began = time.perf_counter()
    process = start(module, folder / "alone1", folder / "log1", cache)
    trains(process, folder / "log1")
    to_train = time.perf_counter() - began
    training = seconds_to_end(process)
    store = Store(folder / "alone0" / name)
    account = Account([*load_study(str(module)).runs, *followed(store)])
    found = [outcome(module, folder / f"alone{i}") for i in range(2)]
    assert found[0] == found[1], f"{name} differs from itself, left alone"
    return Undisturbed(module, found[0], account, to_train + training, cold, training)


def kill_until_done(alone: Undisturbed, folder: Path, cache: Path, most_kills: int, seed: int) -> int:
    """Start a study until it is done, killing it at random moments, at most so often; the number of kills.

    Raises AssertionError where anything else comes out than undisturbed, or an update is trained again that was saved.
    """
    choose = random.Random(seed)
    results, name = folder / "results", alone.module.stem
    n_kills = 0
    left: set = set()
    for turn in range(1_000):
        store = Store(results / name)
        before, left = left, alone.account.left(store)
        assert turn == 0 or left <= before, f"{len(left - before)} updates were lost that were saved"
        is_cold = choose.random() < _COLD_SHARE
        log, where = folder / f"{turn}.log", folder / f"cold{turn}" if is_cold else cache
        process = start(alone.module, results, log, where, *SAVE_EVERY, said=folder / "said")
        seconds = alone.cold_seconds if is_cold else alone.seconds
        if n_kills < most_kills:
            # Half of the kills fall anywhere in a process's life, half after its first update.
            if choose.random() < 0.5 and trains(process, log):
                seconds = alone.training_seconds
            was_killed = ended(process, choose.uniform(0, 1.1 * seconds))
        else:
            was_killed = bool(seconds_to_end(process) < 0)
        trained = alone.account.trained(log)
        twice = [update for update, count in trained.items() if count > 1]
        assert not twice, f"{len(twice)} updates were trained twice by one process"
        again = trained.keys() - left
        assert not again, f"{len(again)} updates were trained again that were saved: {sorted(again)[:3]}"
        if not was_killed:
            assert process.returncode == 0, (folder / "said").read_text()[-2000:]
            break
        n_kills += 1
    assert outcome(alone.module, results) == alone.outcome
    assert junk(store) == []
    return n_kills
