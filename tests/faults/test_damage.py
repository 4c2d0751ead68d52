"""A byte that changed, or a file that was cut short, anywhere in what an interrupted study wrote, is found and gives no
wrong number; training goes on to the table that it would have come to."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from damage import LeftStudy, check_damage, interrupted_study

N_CASES = 50
TO_THE_END = 10  # every so manieth case: that takes seconds


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> LeftStudy:
    """A study that was asked to stop while it was under way."""
    return interrupted_study(tmp_path_factory.mktemp("original"))


@pytest.mark.parametrize("number", range(N_CASES))
def test_damage_is_found_and_costs_nothing_else(
    original: LeftStudy, number: int, tmp_path: Path, record_fault: Callable[[str], None]
) -> None:
    damage = check_damage(original, number, tmp_path, to_the_end=number % TO_THE_END == 0)
    record_fault(f"damage: a file {'cut short' if damage.cut else 'with a byte changed'} in {damage.kind}")
