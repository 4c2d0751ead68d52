"""A checkpoint is begun from only where what names its states is as it was written."""

from __future__ import annotations

import uuid

import pytest

from lbscale.store import CurvePoint, Files, History, StateName, States

LANES = [
    StateName("tree", "prefix", 128, History((64, 128), (CurvePoint(64, 5.0, 0.1),), 2.0), ("run",)),
    StateName("other", "further", 128, History(), ()),
]


@pytest.fixture
def states() -> States:
    return States(Files(f"memory://{uuid.uuid4().hex}"), "layout")


def sealed(states: States) -> str:
    name = states.new_name("worker")
    states.files.write(f"states/{name}/arrays/0", b"0" * 100)
    states.seal(name, LANES)
    return name


def test_states_are_read_as_they_were_named(states: States) -> None:
    name = sealed(states)
    assert [(at.state, at.checkpoint, at.lane) for at in states.kept()] == [(LANES[0], name, 0), (LANES[1], name, 1)]
    assert [at.state for at in states.kept(["other"])] == [LANES[1]]
    assert States(states.files, "another").kept() == []
    states.remove(name)
    assert states.kept() == [] and states.files.names("states") == []


@pytest.mark.parametrize("file", ["manifest.json", "lanes.json"])
def test_what_is_cut_short_or_changed_is_no_state(states: States, file: str) -> None:
    path = f"states/{sealed(states)}/{file}"
    content = states.files.read(path)
    for at in range(len(content)):
        states.files.write(path, content[:at])
        assert states.kept() == []
        states.files.write(path, content[:at] + bytes([content[at] ^ 1]) + content[at + 1 :])
        assert states.kept() == [] or not states.is_whole(path.split("/")[1])
    states.files.write(path, content)
    assert len(states.kept()) == 2
