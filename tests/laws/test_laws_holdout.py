"""Hold-out: row by row as one-point predictions say, summed up as defined, and every row accounted for."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from laws_tables import star_table, surface_table

from lbscale import laws
from lbscale.errors import InputError
from lbscale.laws.holdout import hold_out, judge


@pytest.mark.parametrize("law", ["chinchilla", "joint"])
def test_each_row_is_what_predict_says_of_it(rng, law):
    table = star_table(rng)
    held = table.n_params > 80e3
    fit = laws.fit(table[~held], law, bootstrap=20)
    rows, dropped = judge(fit, table[held], fit.law)
    assert len(rows) == held.sum() and dropped == {}
    for i in (0, len(rows) - 1):
        row = rows.iloc[i]
        said = fit.predict(**{name: row[name] for name in fit.law.columns})
        assert row.predicted == pytest.approx(said.value)
        np.testing.assert_allclose([row.low, row.high], said.interval_new_run, rtol=1e-6)
        assert row.covered == (row.low <= row.measured <= row.high)
        for name, factor in said.extrapolation.items():
            assert row[f"factor_{name}"] == pytest.approx(factor)
    assert rows.measured.tolist() == table.loss[held].tolist()
    assert rows.row.tolist() == [str(label) for label in table.index[held]]


def test_the_report_sums_up_its_rows(rng):
    table = surface_table(rng, 100)
    report = laws.fit(table, "chinchilla", holdout="n_tokens > 3e10", bootstrap=20).holdout
    rows = pd.DataFrame(report["rows"])
    error = rows.predicted / rows.measured - 1
    assert report["n_rows"] == len(rows) == (table.n_tokens > 3e10).sum()
    assert report["mean_relative_error"] == pytest.approx(error.abs().mean())
    assert report["median_relative_error"] == pytest.approx(error.abs().median())
    assert report["bias"] == pytest.approx(error.mean())
    assert report["covered"] == pytest.approx(rows.covered.mean())
    for name in ("n_params", "n_tokens", "tokens_per_param"):
        brackets = report["by_extrapolation"][name]
        assert sum(bracket["n_rows"] for bracket in brackets) == len(rows)
        total = sum(bracket["n_rows"] * bracket["mean_relative_error"] for bracket in brackets)
        assert total / len(rows) == pytest.approx(error.abs().mean())
        for bracket in brackets:
            low, high = bracket["above"], bracket["up_to"] or np.inf
            factor = rows[f"factor_{name}"]
            inside = (factor <= 1 + 1e-9) if high == 1 else (factor > low * (1 + 1e-9)) & (factor <= high * (1 + 1e-9))
            assert bracket["n_rows"] == inside.sum()


def test_exact_data_are_predicted_exactly(rng):
    table = surface_table(rng, noise=0.0)
    report = laws.fit(table, "chinchilla", holdout="n_params > 1e9", loss="squares", bootstrap=0).holdout
    assert report["mean_relative_error"] < 1e-6


def test_many_rows_are_predicted_piece_by_piece(rng):
    fit = laws.fit(surface_table(rng), "chinchilla", bootstrap=10)
    many = surface_table(rng, 5000)
    rows, _ = judge(fit, many, fit.law)
    np.testing.assert_allclose(rows.predicted, laws.CHINCHILLA.predict(fit.theta, many))
    last, _ = judge(fit, many[-3:], fit.law)
    np.testing.assert_allclose(rows[["low", "high"]][-3:], last[["low", "high"]])


def test_new_runs_fall_inside_their_intervals(rng):
    """500 runs beside the fitted ones: 95 % within 3 standard errors of 1 %, and what the fit itself misses."""
    fit = laws.fit(surface_table(rng, 200), "chinchilla", loss="squares")
    report, warnings = hold_out(fit, surface_table(rng, 500), fit.law)
    assert 0.91 < report["covered"] < 0.99 and not warnings


def test_held_out_rows_that_cannot_be_used_are_counted(rng):
    table = surface_table(rng, 40).assign(status="finished")
    table.loc[table.index[:3], "loss"] = [np.nan, -1.0, np.inf]
    table.loc[table.index[3], "status"] = "diverged"
    table["test"] = table.index < 20
    report = laws.fit(table, "chinchilla", holdout="test", bootstrap=0).holdout
    assert report["n_rows"] == 16 and sum(report["n_dropped"].values()) == 4
    with pytest.raises(InputError, match="use none"):
        laws.fit(table.assign(test=table.index < 3), "chinchilla", holdout="test", bootstrap=0)
