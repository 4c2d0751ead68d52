"""Intervals: against closed forms on linear laws, and that they cover when rows share errors."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from laws_tables import CHINCHILLA_TRUTH, surface_table
from scipy import stats
from test_laws_optimum import LINE

from lbscale import laws
from lbscale.errors import InputError
from lbscale.laws.clusters import connect
from lbscale.laws.factors import factors
from lbscale.laws.table import prepare

FAR = {"n_params": 4e10, "n_tokens": 1e12}


def line_table(rng, n_groups, size, shared, own=0.01):
    """Runs on a line in logs, whose groups (a trunk each) share an error."""
    group = np.repeat(np.arange(n_groups), size)
    n_tokens = np.exp(rng.permutation(np.linspace(20, 26, group.size)))
    error = shared * rng.normal(size=n_groups)[group] + own * rng.normal(size=group.size)
    return pd.DataFrame({"n_tokens": n_tokens, "loss": 5.0 * n_tokens**-0.05 * np.exp(error), "trunk_key": group})


def test_few_independent_rows_have_the_interval_of_linear_regression(rng):
    table = line_table(rng, 12, 1, 0.0)
    fit = laws.fit(table, LINE, bootstrap=0)
    found = stats.linregress(np.log(table.n_tokens), np.log(table.loss))
    half = found.stderr * stats.t.ppf(0.975, 10)
    assert fit.params["slope"] == pytest.approx(-found.slope, rel=1e-6)
    np.testing.assert_allclose(fit.interval["slope"], [-found.slope - half, -found.slope + half], rtol=1e-5)


def test_rows_of_unequal_noise_have_the_interval_of_the_corrected_sandwich(rng):
    """HC2 with the degrees of freedom of Bell and McCaffrey 2002, transcribed row by row."""
    table = line_table(rng, 40, 1, 0.0)
    x = np.log(table.n_tokens)
    table["loss"] *= np.exp(0.02 * rng.normal(size=40) * (x > x.median()))
    fit = laws.fit(table, LINE, bootstrap=0)
    design = np.column_stack([np.ones(40), x - x.mean()])
    y = np.log(table.loss).to_numpy()
    inverse = np.linalg.inv(design.T @ design)
    hat = design @ inverse @ design.T
    residual = y - hat @ y
    pull = (design @ inverse)[:, 1] / np.sqrt(1 - np.diag(hat))
    variance = ((pull * residual) ** 2).sum()
    rows = pull[:, None] * (np.eye(40) - hat)
    inner = rows @ rows.T
    freedom = np.trace(inner) ** 2 / (inner**2).sum()
    half = np.sqrt(variance) * stats.t.ppf(0.975, freedom)
    slope = -np.polyfit(x, y, 1)[0]
    np.testing.assert_allclose(fit.interval["slope"], [slope - half, slope + half], rtol=1e-5)


def test_balanced_groups_have_the_variances_of_the_analysis_of_variance(rng):
    """Ten trunks of four, the law a constant: mean squares between and within."""
    table = line_table(rng, 10, 4, 0.02)
    constant = replace(
        LINE,
        parameters=(replace(LINE.parameters[0], scaling=()),),
        form=lambda theta, logs: theta[..., 0, None] + 0.0 * logs["n_tokens"],
        starts=lambda logs, target: target[:1, None],
    )
    fit = laws.fit(table, constant, bootstrap=0)
    y = np.log(table.loss).to_numpy().reshape(10, 4)
    between, within = 4 * y.mean(1).var(ddof=1), y.var(axis=1, ddof=1).mean()
    shares = fit.document()["variance_components"]
    trunk = (between - within) / 4
    assert shares["trunk"]["variance_share"] == pytest.approx(trunk / (trunk + within), rel=1e-6)
    assert fit.noise.new_run_sd == pytest.approx(np.sqrt(trunk + within), rel=1e-6)
    low, high = fit.interval["level"]
    half = np.sqrt(between / 40) * stats.t.ppf(0.975, 9)
    assert 0.5 * np.log(high / low) == pytest.approx(half, rel=0.05)


@pytest.mark.parametrize("shared", [False, True])
def test_intervals_far_outside_cover(shared):
    """100 tables of 24 trunks: the Monte Carlo error at 95 % is 2.2 %, so 88 of 100 is 3 of it below. Not told of the
    trunks, the same fits cover less."""
    inside = np.zeros(2)
    truth = laws.CHINCHILLA.predict(CHINCHILLA_TRUTH, {k: np.array([v]) for k, v in FAR.items()})[0]
    for k in range(100):
        rng = np.random.default_rng(k)
        table = surface_table(rng, 72, noise=0.002)
        trunk = np.repeat(np.arange(24), 3)
        luck = 0.004 * rng.normal(size=24) * shared
        table["n_params"] = table.n_params.to_numpy()[::3][trunk]
        columns = {name: table[name].to_numpy() for name in ("n_params", "n_tokens")}
        noise = np.exp(luck[trunk] + 0.002 * rng.normal(size=72))
        table["loss"] = laws.CHINCHILLA.predict(CHINCHILLA_TRUTH, columns) * noise
        given = table.assign(trunk_key=trunk, data_seed=trunk)
        for j, known in enumerate((given, table)):
            low, high = laws.fit(known, "chinchilla", bootstrap=0).predict(**FAR).interval_mean
            inside[j] += low <= truth <= high
    assert inside[0] >= 88, inside
    assert inside[1] <= inside[0] - 5 or not shared, inside


def test_rows_that_share_anything_are_one_group():
    trunk, seed = np.array([0, 0, 1, 1, 2, 3]), np.array([0, 1, 1, 2, 3, 4])
    assert connect([trunk, seed], 6).tolist() == [0, 0, 0, 0, 1, 2]
    table = pd.DataFrame({"n_tokens": np.exp(np.arange(6.0)), "loss": 2.0, "trunk_key": [0, 0, 1, 1, None, None]})
    rows = prepare(table, LINE)
    assert rows.trunk is not None and np.unique(rows.trunk).size == 4
    assert [factor.name for factor in factors(rows, fewest=2)] == ["trunk"]


def test_a_group_of_the_callers_choice_is_resampled_whole(rng):
    table = line_table(rng, 30, 4, 0.05).rename(columns={"trunk_key": "study"})
    alone, grouped = (laws.fit(table, LINE, group=group, bootstrap=300) for group in (None, "study"))
    assert grouped.noise.n_groups == 30 and alone.noise.n_groups == 120
    assert "group" in grouped.document()["variance_components"]
    widths = [np.ptp(fit.predict(n_tokens=np.exp(23.0)).interval_mean) for fit in (alone, grouped)]
    assert widths[1] > 1.5 * widths[0]
    with pytest.raises(InputError, match="no_such"):
        laws.fit(table, LINE, group="no_such")


def test_a_single_order_of_the_data_is_warned_of(rng):
    table = surface_table(rng).assign(init_seed=np.arange(60), data_seed=0)
    assert any("single data seed" in warning for warning in laws.fit(table, "chinchilla", bootstrap=0).warnings)


def test_the_three_kinds_of_interval_agree_where_the_law_is_nearly_linear(rng):
    table = surface_table(rng, 300, noise=0.002)
    fits = {
        kind: laws.fit(table, "chinchilla", loss="squares", interval=kind, bootstrap=400)
        for kind in ("delta", "bootstrap", "profile")
    }
    for name in fits["delta"].law.names:
        low, high = fits["delta"].interval[name]
        for kind in ("bootstrap", "profile"):
            other = fits[kind].interval[name]
            assert abs(other[0] - low) < 0.2 * (high - low) and abs(other[1] - high) < 0.2 * (high - low), (kind, name)


def test_a_profile_ends_where_the_objective_has_risen(rng):
    """Refitting with the parameter held at either end: the rise of a sum of squares is Student's t^2 s^2 / 2."""
    table = line_table(rng, 15, 1, 0.0)
    fit = laws.fit(table, LINE, interval="profile", bootstrap=0)
    variance = 2 * fit.objective / 13
    for end in fit.interval["slope"]:
        rise = laws.fit(table, LINE, bootstrap=0, fixed={"slope": end, "level": fit.params["level"]}).objective
        assert rise > fit.objective
    low, high = fit.interval["slope"]
    found = stats.linregress(np.log(table.n_tokens), np.log(table.loss))
    assert high - low == pytest.approx(2 * found.stderr * stats.t.ppf(0.975, 13), rel=1e-3)
    assert variance == pytest.approx(
        found.stderr**2 * ((np.log(table.n_tokens) - np.log(table.n_tokens).mean()) ** 2).sum()
    )


def test_standard_errors_of_the_target_are_weights(rng):
    """Against weighted regression."""
    table = line_table(rng, 25, 1, 0.0)
    error = np.exp(rng.uniform(-3, 0, 25))
    fit = laws.fit(table.assign(loss_se=error), LINE, bootstrap=0)
    slope, _ = np.polyfit(np.log(table.n_tokens), np.log(table.loss), 1, w=1 / error)
    assert fit.params["slope"] == pytest.approx(-slope, rel=1e-6)
    dropped = laws.fit(
        table.assign(loss_se=np.where(np.arange(25) < 2, [0.0, *[np.nan] * 24], error)), LINE, bootstrap=0
    )
    assert sum(dropped.n_dropped.values()) == 2


def test_a_quantity_that_the_data_leaves_open_has_no_interval(rng):
    table = surface_table(rng)
    table["n_params"] = 1e9
    fit = laws.fit(table, "chinchilla", bootstrap=0)
    assert fit.predict(n_params=1e10, n_tokens=1e12).interval_mean == [None, None]
    assert None not in fit.predict(n_params=1e9, n_tokens=1e12).interval_mean
    assert fit.profile_curvature["alpha"] == 0.0


def test_a_parameter_at_its_bound_has_no_interval():
    """Losses that fall faster and faster leave no room for an irreducible one."""
    sizes, budgets = (grid.ravel() for grid in np.meshgrid(np.geomspace(1e7, 1e9, 6), np.geomspace(1e8, 1e10, 6)))
    loss = 4.0 * (sizes / 1e8) ** -0.1 * (budgets / 1e9) ** -0.1 - 1.0
    fit = laws.fit(pd.DataFrame({"n_params": sizes, "n_tokens": budgets, "loss": loss}), "chinchilla", bootstrap=20)
    assert fit.params["E"] == 0.0 and not fit.identified["E"]
    assert np.isnan(fit.interval["E"]).all() and fit.document()["interval"]["E"] == [None, None]
    assert np.isfinite(fit.interval["alpha"]).all()
