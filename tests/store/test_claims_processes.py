"""Real processes on one folder: racing, killed while they hold claims, stopped and continued."""

import os
import signal
import subprocess
import sys

import pytest

from lbscale.store.claims import Claims, listed
from lbscale.store.files import Files
from lbscale.store.workers import Worker, listed_workers

pytestmark = pytest.mark.skipif(not os.path.exists("/proc/self/ns/pid"), reason="the system has no /proc of Linux")

N_PROCESSES = 8
NAMES = [f"tree{i}" for i in range(50)]

START = """
import os, random, signal, sys, traceback
from lbscale.store.claims import Claims
from lbscale.store.files import Files
from lbscale.store.workers import Worker

files = Files(sys.argv[1])

def in_processes(n, work):
    pids = []
    for index in range(n):
        pid = os.fork()
        if pid == 0:
            try:
                with Worker(files, beat_seconds=0.1) as worker:
                    work(index, worker, Claims(files, worker))
            except BaseException:
                traceback.print_exc()
                os._exit(1)
            os._exit(0)
        pids.append(pid)
    for pid in pids:
        print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
"""

RACE = """
import time
n_processes, n_killed, names = int(sys.argv[2]), int(sys.argv[3]), sys.argv[4].split()

def wait_for(n, folder):
    while len(files.names(folder)) < n:
        time.sleep(0.001)

def train(index, name):
    log = os.open(f"{sys.argv[1]}/{name}.log", os.O_CREAT | os.O_APPEND | os.O_WRONLY)
    os.write(log, f"{index}\\n".encode())
    os.close(log)
    time.sleep(0.001)

def be_killed_holding_three(index, claims):
    held = 0
    for name in names:
        if held < 3 and claims.acquire(name):
            train(index, name)
            held += 1
    files.write(f"ready/{index}", b"")
    wait_for(10, "recorded")
    os.kill(os.getpid(), signal.SIGKILL)

def work(index, worker, claims):
    wait_for(min(index, n_killed), "ready")  # one victim after another, then all others at once
    if index < n_killed:
        be_killed_holding_three(index, claims)
    files.write(f"ready/{index}", b"")
    wait_for(n_processes, "ready")
    random.seed(index)
    left = random.sample(names, len(names))
    while left:
        name = left.pop(0)
        if files.exists(f"recorded/{name}"):
            continue
        if not claims.acquire(name):
            left.append(name)
        elif files.exists(f"recorded/{name}"):
            claims.forget(name)
        elif random.random() < 0.2:
            claims.release(name)
            left.append(name)
        else:
            train(index, name)
            assert claims.holds(name)
            files.write(f"recorded/{name}", b"")
            claims.forget(name)

in_processes(n_processes, work)
"""

HAMMER = """
def work(index, worker, claims):
    for _ in range(400):
        if claims.acquire("a"):
            claims.release("a") if random.random() < 0.3 else claims.forget("a")

in_processes(4, work)
"""

OWNER = """
with Worker(files, beat_seconds=0.05) as worker:
    claims = Claims(files, worker)
    print(claims.acquire("a"), claims.holds("a"), flush=True)
    input()
    print(claims.holds("a"), claims.acquire("a"), flush=True)
"""


def run(program, *arguments):
    """Exit codes of the processes that a program starts."""
    # A numerical library that was imported may have threads: Python 3.12 warns of forking beside them.
    command = [sys.executable, "-W", "ignore::DeprecationWarning", "-c", START + program, *map(str, arguments)]
    done = subprocess.run(command, text=True, capture_output=True, timeout=25)  # less than a claim takes to expire
    assert (done.returncode, done.stderr) == (0, "")
    return [int(line) for line in done.stdout.split()]


@pytest.mark.parametrize("n_killed", [0, 2])
def test_processes_race(tmp_path, n_killed):
    """Each name is worked on by one process; what killed ones held is taken over once, without waiting."""
    codes = run(RACE, tmp_path, N_PROCESSES, n_killed, " ".join(NAMES))
    assert codes == [-signal.SIGKILL] * n_killed + [0] * (N_PROCESSES - n_killed)
    workers = {name: [int(line) for line in (tmp_path / f"{name}.log").read_text().split()] for name in NAMES}
    survivors = [[worker for worker in workers[name] if worker >= n_killed] for name in NAMES]
    assert [len(s) for s in survivors] == [1] * len(NAMES)
    assert sum(len(w) for w in workers.values()) == len(NAMES) + 3 * n_killed
    assert listed(Files(tmp_path)) == []
    assert len(listed_workers(Files(tmp_path))) == n_killed


def test_claims_and_forgetting_of_one_name_collide(tmp_path):
    """None of them meets an error of the file system, and the name can be acquired in the end."""
    assert run(HAMMER, tmp_path) == [0] * 4
    files = Files(tmp_path)
    assert Claims(files, Worker(files)).acquire("a")


def test_a_stopped_owner_finds_out_that_it_lost_its_claim(tmp_path):
    files, now = Files(tmp_path), 0.0
    others = Claims(files, Worker(files), clock=lambda: now)
    command = [sys.executable, "-c", START + OWNER, str(tmp_path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline() == "True True\n"
        assert not others.acquire("a")
        process.send_signal(signal.SIGSTOP)
        os.waitid(os.P_PID, process.pid, os.WSTOPPED)
        assert not others.acquire("a")
        while not others.acquire("a"):
            now += 5.0
        assert now == 30.0
        process.send_signal(signal.SIGCONT)
        output, _ = process.communicate("\n", timeout=20)
    assert output == "False False\n" and others.holds("a")
