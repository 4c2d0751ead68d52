"""Where updates fall, against a loop that takes one batch after another."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lbscale.clock import Timetable, n_updates, tokens_after, update_edges
from lbscale.clock.updates import edges_between, updates_by
from lbscale.errors import InputError
from lbscale.spec import AdamW, Batch, Constant, ConstantBatch, RampedBatch


def edges_one_by_one(batch: Batch, n_tokens: int) -> list[int]:
    """Take whole batches, each of the size that holds where it begins, until the next does not fit."""
    boundaries = getattr(batch, "until_tokens", ())
    edges = [0]
    while True:
        stage = sum(edges[-1] >= boundary for boundary in boundaries)
        if edges[-1] + batch.sizes_tokens[stage] > n_tokens:
            return edges
        edges.append(edges[-1] + batch.sizes_tokens[stage])


@st.composite
def ramps(draw: st.DrawFn) -> RampedBatch:
    """Ramps of one to five sizes, whose stages may be shorter than a batch."""
    sizes = sorted(draw(st.lists(st.integers(1, 40), min_size=1, max_size=5)))
    boundaries = draw(st.lists(st.integers(1, 300), unique=True, min_size=len(sizes) - 1, max_size=len(sizes) - 1))
    return RampedBatch(tuple(sizes), tuple(sorted(boundaries)))


@given(batch=st.builds(ConstantBatch, st.integers(1, 40)) | ramps(), n_tokens=st.integers(0, 400))
def test_edges_are_those_of_one_batch_after_another(batch: Batch, n_tokens: int) -> None:
    edges = update_edges(batch, n_tokens)
    assert edges.tolist() == edges_one_by_one(batch, n_tokens)
    assert edges.dtype == np.int64


@given(batch=st.builds(ConstantBatch, st.integers(1, 40)) | ramps(), n_tokens=st.integers(0, 400), data=st.data())
def test_what_is_said_of_some_updates_is_what_all_edges_say(batch: Batch, n_tokens: int, data: st.DataObject) -> None:
    edges = edges_one_by_one(batch, n_tokens)
    run = Timetable(Constant(), batch, AdamW(), 0.1, n_tokens)
    first = data.draw(st.integers(0, len(edges) - 1))
    last = data.draw(st.integers(first, len(edges) - 1))
    tokens = data.draw(st.integers(-1, n_tokens + 1) | st.just(float("inf")))
    assert edges_between(batch, n_tokens, first, last).tolist() == edges[first : last + 1]
    assert (n_updates(run), tokens_after(run, last)) == (len(edges) - 1, edges[last])
    assert updates_by(run, tokens) == sum(edge <= tokens for edge in edges[1:])


def test_a_ramp_changes_size_at_the_first_update_that_begins_past_its_boundary() -> None:
    assert update_edges(RampedBatch((2, 5), (3,)), 20).tolist() == [0, 2, 4, 9, 14, 19]


def test_more_updates_than_arrays_hold_are_refused() -> None:
    with pytest.raises(InputError, match=r"n_tokens: 4503599627370496 cannot be used; at most 10,000,000 updates"):
        update_edges(ConstantBatch(64), 2**52)
    with pytest.raises(InputError, match="n_tokens"):
        edges_between(ConstantBatch(64), 2**52, 5, 2**40)
    assert edges_between(ConstantBatch(64), 2**52, 2**40, 2**40 + 1).tolist() == [2**46, 2**46 + 64]
