"""Death is seen from the process on this host, and from heartbeats alone elsewhere; no test waits for an expiry."""

import dataclasses
import os
import signal
import subprocess
import sys
import threading
import time
import uuid
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lbscale.errors import InputError
from lbscale.store.files import Files
from lbscale.store.workers import Heartbeat, Observer, Owner, Worker, is_gone, listed_workers, owner_from, this_process

ELSEWHERE = Owner("0123456789ab", "elsewhere", "boot", "pid:[1]", 1, 1)
needs_proc = pytest.mark.skipif(not Path("/proc/self/ns/pid").exists(), reason="the system has no /proc of Linux")


@pytest.fixture
def files():
    return Files(f"memory://{uuid.uuid4().hex}")


class Clock:
    def __init__(self):
        self.now = 1000.0

    def __call__(self):
        return self.now


def wait_until(condition):
    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.005)


def owner_of(process):
    """What another process of this host would name itself."""
    stat = Path(f"/proc/{process.pid}/stat").read_text().rsplit(")", 1)[1].split()
    return dataclasses.replace(this_process(), pid=process.pid, start_ticks=int(stat[19]))


@needs_proc
def test_start_ticks_are_those_of_the_clock():
    uptime = float(Path("/proc/uptime").read_text().split()[0])
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as process:
        started = owner_of(process).start_ticks / os.sysconf("SC_CLK_TCK")
        assert uptime - 0.1 <= started <= float(Path("/proc/uptime").read_text().split()[0]) + 0.1
        process.communicate(b"\n")
    assert this_process().start_ticks < started * os.sysconf("SC_CLK_TCK")


@needs_proc
def test_a_process_of_this_host_is_gone_once_it_has_ended():
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as process:
        owner = owner_of(process)
        assert not is_gone(owner) and not is_gone(this_process())
        process.send_signal(signal.SIGKILL)
        os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)  # ended, its exit status not asked for
        assert is_gone(owner)
    assert is_gone(owner)


@needs_proc
def test_another_process_of_the_same_pid_is_another():
    here = this_process()
    assert is_gone(dataclasses.replace(here, start_ticks=here.start_ticks - 1))
    assert not is_gone(dataclasses.replace(here, start_ticks=None))


@needs_proc
@pytest.mark.parametrize("field", ["host", "boot", "namespace"])
def test_nothing_is_known_of_processes_elsewhere(field):
    with subprocess.Popen([sys.executable, "-c", ""]) as process:
        ended = dataclasses.replace(this_process(), pid=process.pid)
    assert is_gone(ended)
    assert not is_gone(dataclasses.replace(ended, **{field: "another"}))


@needs_proc
@pytest.mark.parametrize("host", [("laptop", None, None), ("laptop", "boot", None), ("laptop", None, "pid:[1]")])
def test_a_host_name_alone_says_nothing(monkeypatch, host):
    with subprocess.Popen([sys.executable, "-c", ""]) as process:
        ended = dataclasses.replace(this_process(), pid=process.pid)
    monkeypatch.setattr("lbscale.store.workers._host", lambda: host)
    assert not is_gone(dataclasses.replace(ended, host=host[0], boot=host[1], namespace=host[2]))


def test_each_owner_has_an_id_of_its_own():
    ids = {this_process().id for _ in range(100)}
    assert len(ids) == 100 and all(len(bytes.fromhex(i)) == 6 for i in ids)


def test_a_worker_beats_until_it_leaves(files):
    with Worker(files, beat_seconds=0.01) as worker:
        assert listed_workers(files)[0].owner == worker.owner  # at once
        wait_until(lambda: [h.beat for h in listed_workers(files)] > [3])
    assert listed_workers(files) == [] and not worker._thread.is_alive()


class FullDisk:
    """Writes fail until `space` is there, as an operating system's or as an object store's library would."""

    def __init__(self, files, error):
        self.files, self.error, self.failed, self.space = files, error, 0, False

    def write(self, name, content):
        if not self.space:
            self.failed += 1
            raise self.error
        self.files.write(name, content)

    def remove(self, name):
        raise self.error


@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), RuntimeError("503")])
def test_beats_that_cannot_be_written_are_passed_over(files, error):
    full = FullDisk(files, error)
    with Worker(full, beat_seconds=0.01):
        wait_until(lambda: full.failed >= 3)
        assert listed_workers(files) == []
        full.space = True
        wait_until(lambda: [h.beat for h in listed_workers(files)] > [3])


def test_a_beat_that_hangs_does_not_keep_the_process(files):
    hangs, may_go_on = threading.Event(), threading.Event()

    class Hanging(Files):
        def write(self, name, content):
            if b'"beat": 1}' not in content:
                hangs.set()
                may_go_on.wait()

    with Worker(Hanging(files.root), beat_seconds=0.01) as worker:
        assert hangs.wait(10)
    assert worker._thread.is_alive()  # and yet it left
    may_go_on.set()
    worker._thread.join()


def test_an_owner_is_dead_when_its_heart_stands_still(files):
    clock, worker = Clock(), Worker(files, owner=ELSEWHERE)
    observer = Observer(files, 30.0, clock)
    for _ in range(100):
        worker.beat()
        assert not observer.is_dead(ELSEWHERE)
        clock.now += 29.0
    worker.beat()
    seen = []
    for _ in range(31):
        seen.append(observer.is_dead(ELSEWHERE))
        clock.now += 1.0
    assert seen == [False] * 30 + [True]
    worker.beat()
    assert not observer.is_dead(ELSEWHERE)


def test_a_missing_heartbeat_stands_still_until_the_first(files):
    clock = Clock()
    observer = Observer(files, 30.0, clock)
    for _ in range(30):
        assert not observer.is_dead(ELSEWHERE)
        clock.now += 1.0
    Worker(files, owner=ELSEWHERE).beat()
    assert not observer.is_dead(ELSEWHERE)
    files.remove("workers/0123456789ab.json")
    seen = []
    for _ in range(31):
        seen.append(observer.is_dead(ELSEWHERE))
        clock.now += 1.0
    assert seen == [False] * 30 + [True]


def test_a_long_gap_proves_little(files):
    clock = Clock()
    observer = Observer(files, 30.0, clock)
    Worker(files, owner=ELSEWHERE).beat()
    seen = []
    for _ in range(6):
        seen.append(observer.is_dead(ELSEWHERE))
        clock.now += 1e6
    assert seen == [False, False, False, False, True, True]


@given(st.lists(st.tuples(st.floats(0, 40), st.booleans()), max_size=60))
def test_expiry_takes_the_whole_time_and_no_more_where_looks_are_frequent(looks):
    clock = Clock()
    observer = Observer(None, 16.0, clock)
    content, since, longest_gap = 0, None, 0.0
    for seconds, changes in looks:
        clock.now += seconds
        content += changes
        if changes or since is None:
            since, longest_gap = clock.now, 0.0
        else:
            longest_gap = max(longest_gap, seconds)
        expired = observer.has_expired("key", b"%d" % content)
        if clock.now - since < 16.0 - 1e-6:
            assert not expired
        elif longest_gap <= 4.0 and clock.now - since > 16.0 + 1e-6:
            assert expired


def test_lists_workers_less_what_is_not_whole(files):
    Worker(files, owner=ELSEWHERE).beat()
    whole = files.read("workers/0123456789ab.json")
    for length in (0, 1, len(whole) // 2, len(whole) - 1):
        files.write(f"workers/{length}.json", whole[:length])
    files.write("workers/other.json", b"[1]")
    files.write("workers/fields.json", whole.replace(b'"pid": 1', b'"pid": "one"'))
    assert listed_workers(files) == [Heartbeat(ELSEWHERE, 1)]


@pytest.mark.parametrize("document", [{}, [], None, {**dataclasses.asdict(ELSEWHERE), "more": 1}])
def test_what_is_no_owner(document):
    with pytest.raises(ValueError, match="no owner"):
        owner_from(document)


def test_times_are_positive(files):
    with pytest.raises(InputError, match="beat_seconds"):
        Worker(files, beat_seconds=0)
    with pytest.raises(InputError, match="expiry_seconds"):
        Observer(files, -1.0)
