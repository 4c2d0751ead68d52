"""Each rule of claims, in one process, by a simulated clock, on a local disk and in an object store."""

import dataclasses
import errno
import json
import uuid

import pytest

from lbscale.errors import InputError
from lbscale.store.claims import Claim, Claims, listed
from lbscale.store.files import Files
from lbscale.store.workers import Owner, Worker, this_process


@pytest.fixture(params=["local", "memory"])
def files(request, tmp_path):
    return Files(tmp_path if request.param == "local" else f"memory://{uuid.uuid4().hex}")


class Clock:
    def __init__(self):
        self.now = 0.0

    def __call__(self):
        return self.now


class Site:
    """Workers on hosts of their own, which beat when told, and the observers' one clock."""

    def __init__(self, files):
        self.files, self.clock = files, Clock()

    def worker(self, host="elsewhere"):
        owner = Owner(uuid.uuid4().hex[:12], host, "boot", "pid:[1]", 1, 1)
        worker = Worker(self.files, owner=owner)
        worker.beat()
        return worker, Claims(self.files, worker, clock=self.clock)

    def seconds_to_acquire(self, claims, name, at_most=100):
        begin = self.clock.now
        while not claims.acquire(name):
            self.clock.now += 1.0
            assert self.clock.now - begin <= at_most
        return self.clock.now - begin


@pytest.fixture
def site(files):
    return Site(files)


def test_one_worker_holds_a_name(site):
    (first, claims), (_, others) = site.worker(), site.worker()
    assert not claims.holds("a")
    assert claims.acquire("a") and not others.acquire("a")
    assert claims.holds("a") and not others.holds("a")
    assert others.acquire("b")
    assert claims.acquire("a")  # its own, again
    assert listed(site.files)[0] == Claim("a", first.owner, 1)


def test_a_released_name_is_free_at_once(site):
    (_, claims), (second, others) = site.worker(), site.worker()
    claims.acquire("a")
    others.release("a")  # not its own: nothing happens
    assert claims.holds("a") and listed(site.files)[0].generation == 1
    claims.release("a")
    assert not claims.holds("a") and listed(site.files) == [Claim("a", None, 2)]
    claims.release("a")
    assert others.acquire("a") and listed(site.files) == [Claim("a", second.owner, 3)]


def test_a_forgotten_name_leaves_nothing(site):
    (_, claims), (_, others) = site.worker(), site.worker()
    claims.acquire("a")
    claims.release("a")
    claims.acquire("a")
    claims.acquire("ab")
    claims.forget("a")
    assert not claims.holds("a") and site.files.names("claims") == ["ab"]
    claims.forget("a")
    assert others.acquire("a")


def test_an_owner_elsewhere_loses_its_names_only_by_expiry(site):
    (owner, claims), (_, others) = site.worker(), site.worker()
    claims.acquire("a")
    for _ in range(50):
        owner.beat()
        assert not others.acquire("a")
        site.clock.now += 20.0
    owner.beat()
    assert site.seconds_to_acquire(others, "a") == 30.0
    assert others.holds("a") and not claims.holds("a")
    owner.beat()  # it comes back, and finds out
    assert not claims.acquire("a") and not claims.holds("a")


def test_an_owner_that_ended_on_this_host_loses_its_names_at_once(site):
    here = this_process()
    if here.boot is None or here.namespace is None or here.start_ticks is None:
        pytest.skip("the system does not tell processes apart")
    ended = Worker(site.files, owner=dataclasses.replace(here, id="f" * 12, start_ticks=here.start_ticks - 1))
    ended.beat()
    assert Claims(site.files, ended, clock=site.clock).acquire("a")
    _, others = site.worker()
    assert others.acquire("a") and site.clock.now == 0.0


def test_each_observer_counts_from_its_own_first_look(site):
    (_, claims), (_, second), (_, third) = site.worker(), site.worker(), site.worker()
    claims.acquire("a")
    claims.acquire("b")
    assert site.seconds_to_acquire(second, "a") == 30.0
    assert site.seconds_to_acquire(third, "b") == 30.0
    assert second.acquire("b") is False  # third lives: it was never looked at before


@pytest.mark.parametrize("kept", [0, 1, 40])
def test_a_claim_cut_short_is_free_once_it_stays_so(site, kept):
    (_, claims), (_, others) = site.worker(), site.worker()
    claims.acquire("a")
    whole = site.files.read("claims/a/1.json")
    site.files.write("claims/a/1.json", whole[:kept])
    assert listed(site.files) == [Claim("a", None, 1)]
    assert not claims.holds("a") and not others.acquire("a")
    site.clock.now += 7.0
    assert not others.acquire("a")
    site.files.write("claims/a/1.json", whole[: kept + 1])  # still being written
    assert site.seconds_to_acquire(others, "a") == 30.0


def test_a_claim_of_strange_content_is_as_one_cut_short(site):
    _, claims = site.worker()
    for content in (b"null", b"[]", b"{}", b'{"owner": 1}', b'{"owner": {"id": "a"}}', b"\xff", b"1" * 5000):
        site.files.write("claims/a/1.json", content)
        assert not claims.acquire("a")
    site.files.write("claims/a/note.txt", b"")  # no generation
    assert site.seconds_to_acquire(claims, "a") == 30.0


def test_generations_are_numbers(site):
    _, claims = site.worker()
    for generation in range(1, 12):
        assert claims.acquire("a") and listed(site.files)[0].generation == 2 * generation - 1
        claims.release("a")
    assert json.loads(site.files.read("claims/a/22.json")) == {"owner": None}


class Contested:
    """Files in which something happens right before one kind of operation, once."""

    def __init__(self, files, operation, happens):
        self._files, self._operation, self._happens = files, operation, happens

    def __getattr__(self, operation):
        if operation == self._operation and self._happens is not None:
            happens, self._happens = self._happens, None
            happens()
        return getattr(self._files, operation)


HAPPENINGS = [(operation, "acquire") for operation in ("names", "read", "create")]
HAPPENINGS += [(operation, happening) for operation in ("names", "read") for happening in ("release", "forget")]


@pytest.mark.parametrize(("operation", "happening"), HAPPENINGS)
def test_what_happens_while_another_is_looking(site, operation, happening):
    (_, claims), (_, others) = site.worker(), site.worker()
    claims.acquire("a")
    claims.release("a")
    if happening != "acquire":
        others.acquire("a")
    contested = Contested(site.files, operation, lambda: getattr(others, happening)("a"))
    slow = Claims(contested, site.worker()[0], clock=site.clock)
    won = slow.acquire("a")
    assert won == slow.holds("a") and others.holds("a") == (happening == "acquire")
    assert won == (operation == "names" and happening != "acquire")
    others.release("a")
    assert slow.acquire("a")


def test_a_create_whose_answer_was_lost_is_owned(site):
    """An object store's library tries again after a lost answer, and finds the file that it wrote itself."""

    class Lossy(Files):
        def create(self, name, content):
            super().create(name, content)
            return super().create(name, content)

    worker, _ = site.worker()
    assert Claims(Lossy(site.files.root), worker).acquire("a")


def test_a_contender_may_come_while_a_name_is_forgotten(site):
    """A file that comes into a folder while it is removed keeps the folder."""

    class Contended(Files):
        def remove(self, name):
            super().remove(name)
            assert others.acquire("a")
            raise OSError(errno.ENOTEMPTY, "Directory not empty", name)

    (worker, _), (_, others) = site.worker(), site.worker()
    claims = Claims(Contended(site.files.root), worker)
    claims.acquire("a")
    claims.forget("a")
    assert others.holds("a") and not claims.holds("a")


def test_lists_nothing_where_there_is_nothing(files):
    assert listed(files) == []


def test_an_expiry_outlasts_a_few_heartbeats(files):
    with pytest.raises(InputError, match="three heartbeats"):
        Claims(files, Worker(files, beat_seconds=20.0))
