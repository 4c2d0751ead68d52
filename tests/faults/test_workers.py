"""Eight workers on one study, two of them killed: the same table, each run trained by one."""

from __future__ import annotations

import random
import signal
import subprocess
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

from ended.account import Account, junk, outcome
from ended.process import seconds_to_end, start
from ended.studies import WORKERS

from lbscale.store import Store
from lbscale.study import load_study

N_WORKERS = 8


def test_eight_workers_two_of_them_killed(
    tmp_path: Path, cache_of_killed: Path, record_fault: Callable[[str], None]
) -> None:
    module, cache = tmp_path / "workers.py", cache_of_killed
    module.write_text(WORKERS)
    account = Account(load_study(str(module)).runs)
    seconds_to_end(start(module, tmp_path / "alone", tmp_path / "log", cache, "--worker", devices=1))

    results, store, choose = tmp_path / "results", Store(tmp_path / "results" / "workers"), random.Random(0)
    logs = [tmp_path / f"{i}.log" for i in range(N_WORKERS)]
    options = ("--worker", "--save-every", "0.1")
    workers = [start(module, results, log, cache, *options, devices=1) for log in logs]
    saved: dict[int, set] = {}  # what a killed worker need not have trained twice
    for _ in range(2):
        i = choose.choice(training(logs, workers))
        time.sleep(choose.uniform(0, 0.3))
        saved[i] = killed(workers, i, lambda i=i: set(account.trained(logs[i])) - account.left(store))
    codes = [worker.wait() for worker in workers]

    assert sorted(codes) == [-signal.SIGKILL] * 2 + [0] * (N_WORKERS - 2)
    assert outcome(module, results) == outcome(module, tmp_path / "alone")
    assert junk(store) == []
    trained = [account.trained(log) for log in logs]
    surviving = sum((counts for i, counts in enumerate(trained) if i not in saved), Counter())
    assert set(surviving.values()) == {1}
    assert surviving.keys() | set().union(*saved.values()) == account.left(Store(tmp_path / "nothing"))
    for i, updates in saved.items():
        assert set(trained[i].values()) <= {1} and not updates & surviving.keys()
        record_fault("kill -9 of one of eight workers")


def training(logs: list[Path], workers: list[subprocess.Popen[bytes]]) -> list[int]:
    """Those of the workers that train, once some do."""
    while True:
        running = [i for i, worker in enumerate(workers) if worker.poll() is None]
        assert running, "no worker is left to kill"
        if found := [i for i in running if logs[i].exists() and logs[i].read_text()]:
            return found
        time.sleep(0.05)


def killed(workers: list[subprocess.Popen[bytes]], i: int, look: Callable[[], set]) -> set:
    """Kill a worker, and look while the others stand still."""
    others = [worker for j, worker in enumerate(workers) if j != i and worker.poll() is None]
    for other in others:
        other.send_signal(signal.SIGSTOP)
    workers[i].kill()
    workers[i].wait()
    try:
        return look()
    finally:
        for other in others:
            other.send_signal(signal.SIGCONT)
