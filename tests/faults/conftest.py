"""Tests here say how many faults of each kind were survived; the summary adds them up."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

FAULT = "fault survived"


@pytest.fixture
def record_fault(record_property: Callable[[str, object], None]) -> Callable[[str], None]:
    """Says that one fault of a kind was survived."""
    return lambda kind: record_property(FAULT, kind)


@pytest.fixture
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the processes of tests find the programs that earlier ones compiled."""
    return tmp_path_factory.getbasetemp() / "cache"


@pytest.fixture
def cache_of_killed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same for processes that are killed: what they leave half written there makes the next ones warn."""
    return tmp_path_factory.getbasetemp() / "cache of killed"


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """The number of faults of each kind that were survived."""
    passed = terminalreporter.stats.get("passed", [])
    counts = Counter(kind for report in passed for name, kind in report.user_properties if name == FAULT)
    if counts:
        terminalreporter.section("faults survived")
        for kind, n in sorted(counts.items()):
            terminalreporter.write_line(f"{n:6,}  {kind}")
        terminalreporter.write_line(f"{counts.total():6,}  in all")
