"""Windows: what is fitted never meets what is held out, and lies before it as the kind of window promises."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lbscale.errors import InputError
from lbscale.laws.windows import KINDS, MOST_LEVELS, SAME_SIZE, levels, plan

SIZES = st.lists(st.sampled_from([np.nan, -1.0, 0.0, *np.geomspace(1e6, 1e9, 30)]), min_size=8, max_size=60)


def table(n_params) -> pd.DataFrame:
    n_params = np.asarray(n_params, float)
    return pd.DataFrame({"n_params": n_params, "n_tokens": 1e9 * (1 + np.arange(n_params.size) % 7), "loss": 3.0})


@settings(max_examples=60)
@given(SIZES, st.sampled_from(KINDS))
def test_fitted_and_held_never_meet(sizes, kind):
    frame = table(sizes)
    try:
        windows = plan(frame, kind).windows()
    except InputError as error:
        assert "needs" in str(error)
        return
    sizes, compute = frame.n_params.to_numpy(), 6 * frame.n_params.to_numpy() * frame.n_tokens.to_numpy()
    assert len({window.name for window in windows}) == len(windows)
    for window in windows:
        assert not (window.fitted & window.held).any()
        assert window.fitted.any() and window.held.any()
        assert (sizes[window.fitted | window.held] > 0).all()
        if kind == "size":
            assert sizes[window.fitted].max() < sizes[window.held].min()
        if kind == "compute":
            assert compute[window.fitted].max() * 10 <= compute[window.held].min() * (1 + 1e-6)
    if kind == "leave-one-size-out":
        assert (sum(window.held.astype(int) for window in windows) == (sizes > 0)).all()


@settings(max_examples=60)
@given(SIZES)
def test_levels_follow_sizes(sizes):
    sizes = np.array(sizes)
    level, labels = levels(sizes)
    placed = np.isfinite(sizes) & (sizes > 0)
    assert ((level >= 0) == placed).all()
    assert sorted(set(level[placed])) == list(range(len(labels))) and len(labels) <= MOST_LEVELS
    order = np.argsort(sizes[placed], kind="stable")
    assert (np.diff(level[placed][order]) >= 0).all()


def test_nearly_equal_sizes_are_one():
    level, labels = levels(np.array([1e6, 1e6 * SAME_SIZE * 0.999, 1e6 * SAME_SIZE * 1.001, 5e6]))
    assert level.tolist() == [0, 0, 1, 2] and labels == ("1e+06", "1.01e+06", "5e+06")


def test_windows_within_some_rows_hold_out_only_those():
    frame = table(np.repeat(10.0 ** np.arange(6, 12), 4))
    outer = plan(frame, "size").windows()
    assert [int(window.fitted.sum()) for window in outer] == [12, 16, 20]
    inner = plan(frame, "size").windows(outer[-1].fitted)
    assert [window.name for window in inner] == [window.name for window in outer[:-1]]
    assert all((window.fitted == other.fitted).all() for window, other in zip(inner, outer, strict=False))
    assert len(plan(frame, "size").windows(least_rows=17)) == 1


def test_compute_is_counted_exactly_where_the_table_says_so():
    frame = table(np.repeat(10.0 ** np.arange(6, 10), 4))
    assert plan(frame, "compute").flops == "6ND"
    exact = frame.assign(train_flops=10.0 ** np.linspace(15, 18, 16))
    assert plan(exact, "compute").flops == "exact"
    assert plan(exact, "compute", "6ND").flops == "6ND"
    windows = plan(exact, "compute").windows()
    for window in windows:
        assert exact.train_flops[window.fitted].max() * 10 <= exact.train_flops[window.held].min() * 1.001
    assert len(windows) == 5  # thresholds half a decade apart, from 1e15 to 1e17
    with pytest.raises(InputError, match="no column train_flops"):
        plan(frame, "compute", "exact")
    with pytest.raises(InputError, match="do not mix"):
        plan(exact.assign(train_flops=exact.train_flops.where(exact.index > 0)), "compute", "exact")


@pytest.mark.parametrize(
    ("sizes", "kind", "said"),
    [
        ([1e6, 2e6, 3e6], "size", "more than 3 sizes; the table has 3"),
        ([1e6, 2e6, 3e6], "leave-one-size-out", "more than 3 sizes"),
        ([1e6] * 5, "compute", "more than a factor of 10 of compute"),
        ([np.nan] * 5, "compute", "more than a factor of 10 of compute"),
        ([], "size", "the table has 0"),
        ([1e6], "sizes", "did you mean 'size'"),
    ],
)
def test_too_little_for_windows_is_said(sizes, kind, said):
    with pytest.raises(InputError, match=said):
        plan(table(sizes), kind)
