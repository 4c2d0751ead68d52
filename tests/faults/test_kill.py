"""Killed at any moment and started again, a study ends as one left alone, and trains nothing twice that was saved."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from ended.killing import kill_until_done, left_alone

KILLS = {"forest": 3, "trees": 2, "trunk": 3, "stages": 2}


@pytest.mark.parametrize("study", KILLS)
def test_killed_anywhere_it_ends_the_same(
    study: str, tmp_path: Path, cache_of_killed: Path, record_fault: Callable[[str], None]
) -> None:
    alone = left_alone(study, tmp_path / "alone", cache_of_killed)
    n_kills, turn = 0, 0
    while n_kills < KILLS[study]:
        folder = tmp_path / str(turn)
        folder.mkdir()
        n_kills += kill_until_done(alone, folder, cache_of_killed, KILLS[study] - n_kills, seed=turn)
        turn += 1
    for _ in range(n_kills):
        record_fault("kill -9 of a study")
