"""What the benchmarks share: turns, medians, and the one document on stdout."""

import json

import measuring
import numpy as np
import pytest


def test_settings_take_turns() -> None:
    order: list[str] = []
    settings = [lambda name=name: order.append(name) or float(len(order)) for name in "ab"]
    taken = measuring.interleaved(settings, 3)
    assert order == list("ababab")
    assert [list(values) for values in taken] == [[1, 3, 5], [2, 4, 6]]


def test_the_document_holds_machine_rows_and_bars(capsys: pytest.CaptureFixture[str]) -> None:
    rows = [measuring.summary(np.array([3.0, 1.0, 2.5]), "speed")]
    bars = [measuring.bar("speed", 2.5, 2.5), measuring.bar("speed", 2.4, 2.5)]
    measuring.note("for whoever waits")
    measuring.show(measuring.machine(peer="none"), rows, bars, str, as_json=True)
    captured = capsys.readouterr()
    document = json.loads(captured.out)
    assert document["rows"] == [{"speed": 2.5, "spread": [1.0, 3.0]}]
    assert [item["met"] for item in document["bars"]] == [True, False]
    assert document["machine"]["backend"] == "cpu"
    assert document["machine"]["peer"] == "none"
    assert captured.err == "for whoever waits\n"


def test_without_json_it_is_text(capsys: pytest.CaptureFixture[str]) -> None:
    measuring.show(
        {"cores": 2}, [{"speed": 1.0}], [measuring.bar("fast", 1.0, 2.0)], lambda row: "a row", as_json=False
    )
    assert capsys.readouterr().out == "cores 2\na row\nfast: 1.00, bar 2.0, not met\n"
