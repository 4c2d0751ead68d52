"""Axes: ticks lie where their values are, few enough to read."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lbscale.report.axis import Axis, around, tick_text

UNITS = {"k": 1e3, "M": 1e6, "B": 1e9, "T": 1e12}


def value_of(text: str) -> float:
    """The number that a tick's text says."""
    number, _, unit = text.partition(" ")
    return float(number) * UNITS.get(unit, 1.0)


@given(
    low=st.floats(-3, 11),
    span=st.floats(0.02, 9),
    log=st.booleans(),
    counts=st.booleans(),
    most=st.sampled_from([4, 7]),
)
def test_ticks_stand_at_their_values(low, span, log, counts, most):
    axis = Axis("x", 10**low, 10 ** (low + span), log, counts)
    ticks = axis.ticks(most)
    assert 1 <= len(ticks) <= 2 * most + 2
    shares = [share for share, _ in ticks]
    assert shares == sorted(shares) and shares[0] >= -1e-9 and shares[-1] <= 1 + 1e-9
    for share, text in ticks:
        value = value_of(text)
        if log:
            assert math.log(value / axis.low) / math.log(axis.high / axis.low) == pytest.approx(share, abs=1e-3)
        else:
            assert (value - axis.low) / (axis.high - axis.low) == pytest.approx(share, abs=1e-3)


@pytest.mark.parametrize(
    ("value", "counts", "text"),
    [(0.0, False, "0"), (2e-5, False, "2e-5"), (3e7, False, "3e7"), (0.005, False, "0.005"),
     (83e3, True, "83 k"), (131_072, True, "131.072 k"), (1e9, True, "1 B"), (2.5e12, True, "2.5 T"), (64, True, "64")],
)  # fmt: skip
def test_ticks_read_as_people_write(value, counts, text):
    assert tick_text(value, counts) == text


def test_one_value_and_none_have_an_axis():
    for values in ([5.0], [0.0], [], [float("nan")]):
        axis = around("x", values)
        assert axis.low < axis.high and axis.ticks()
    assert around("x", [1.0, 10.0]).log and not around("x", [1.0, 2.0]).log and not around("x", [-1.0, 10.0]).log
