"""The joint tuning law: derivatives, planted constants, censoring, optimum, coverage."""

from __future__ import annotations

import time
from dataclasses import replace

import numpy as np
import pytest
from laws_tables import JOINT_TRUTH, TARGET, TRUE_LAW, star_table

from lbscale import laws
from lbscale.laws.form import Law
from lbscale.laws.identify import bound_of, tried_grid
from lbscale.laws.table import prepare


@pytest.mark.parametrize("law", [laws.CHINCHILLA, TRUE_LAW], ids=lambda law: law.name)
def test_written_derivatives_are_those_of_the_form(law: Law, rng):
    """Against complex steps, exact to rounding, and against differences, for a batch of parameters."""
    theta = JOINT_TRUTH[: len(law.parameters)] * np.exp(0.1 * rng.normal(size=(3, len(law.parameters))))
    logs = law.logs(star_table(rng), law.columns)
    logs = {name: values - values.mean() * (name in ("n_params", "n_tokens")) for name, values in logs.items()}
    loss, jacobian = law.value_and_jacobian(theta, logs)
    np.testing.assert_allclose(loss, law.form(theta, logs))
    for j in range(theta.shape[1]):
        step = np.eye(theta.shape[1])[j]
        complex_step = law.form(theta + 1e-30j * step, logs).imag / 1e-30
        np.testing.assert_allclose(jacobian[:, j], complex_step, rtol=1e-9, atol=1e-12)
        width = 1e-6 * np.abs(theta[:, j, None])
        ahead, behind = (law.form(theta + sign * width * step, logs) for sign in (1, -1))
        np.testing.assert_allclose(jacobian[:, j], (ahead - behind) / (2 * width), rtol=1e-3, atol=1e-5)


def test_recovers_planted_constants(rng):
    """Corners and wide arms identify the whole bowl."""
    fit = laws.fit(star_table(rng, seed_sd=0.001, run_sd=0.001, corners=True), TRUE_LAW)
    bowl = fit.law.names[5:]
    assert all(fit.identified[name] for name in bowl), fit.summary()
    for name, value in zip(bowl, JOINT_TRUTH[5:], strict=True):
        low, high = fit.interval[name]
        assert low - 0.5 * (high - low) < value < high + 0.5 * (high - low), name


def test_star_design_says_what_it_does_not_know(rng):
    begin = time.perf_counter()
    fit = laws.fit(star_table(rng), "joint")
    assert time.perf_counter() - begin < 3.0
    assert fit.search["reached_optimum"] >= 3
    assert not fit.identified["lr_steepness_above"] and not fit.identified["E"]
    assert "not identified" in fit.summary()
    assert any("fewer than 20" in warning for warning in fit.warnings)
    assert any("less than a decade" in warning for warning in fit.warnings)
    best = fit.optimum(n_params=TARGET["n_params"], n_tokens=TARGET["n_tokens"])
    lr, batch, loss = TRUE_LAW.optimum(JOINT_TRUTH, **TARGET)
    assert best["learning_rate"]["interval"][0] < lr[0] < best["learning_rate"]["interval"][1]
    assert best["batch_size_tokens"]["interval"][0] < batch[0] < best["batch_size_tokens"]["interval"][1]
    assert fit.predict(**TARGET).extrapolation["n_params"] == pytest.approx(1.8)
    given_up = TRUE_LAW.predict(JOINT_TRUTH, fit.predict(**TARGET).point) / loss - 1
    assert given_up < 0.003


def test_the_table_of_parameters_and_the_optimum_have_one_interval(rng):
    fit = laws.fit(star_table(rng), "joint", bootstrap=50)
    best = fit.optimum(**fit.law.reference)
    for column, name in (("learning_rate", "lr_coefficient"), ("batch_size_tokens", "batch_coefficient")):
        assert best[column]["value"] == pytest.approx(fit.params[name])
        assert best[column]["interval"] == pytest.approx(fit.interval[name])
    for name in ("lr_exponent_batch", "lr_steepness_above", "E"):
        parameter = fit.law.parameters[fit.law.names.index(name)]
        low, high = fit.interval[name]
        assert parameter.lower - 1e-9 <= low <= fit.params[name] <= high <= (parameter.upper or np.inf) + 1e-9


def test_a_quantity_made_of_what_is_not_identified_is_not_either(rng):
    name = "lr_exponent_n_tokens_at_fixed_batch"
    known = laws.fit(star_table(rng, seed_sd=0.001, run_sd=0.001, corners=True), TRUE_LAW)
    assert known.derived[name]["identified"] and f"{name}  {known.derived[name]['value']:.4g}" in known.summary()
    table = star_table(rng)
    fit = laws.fit(table[table.n_tokens == table.n_tokens.min()], "joint", bootstrap=20)
    assert not fit.identified["batch_exponent_n_tokens"]
    document = fit.document()
    assert document["derived"][name]["identified"] is False and document["derived"][name]["value"] is not None
    assert f"{name}  not identified" in fit.summary()
    assert list(document)[1:3] == ["params", "identified"]


def test_mild_penalties_are_said(rng):
    fit = laws.fit(star_table(rng), "joint", bootstrap=0)
    said = fit.document()["penalties"]
    assert said["lr_exponent_batch"] == {"expected": 0.5, "scale": 0.25, "scale_is": "difference"}
    assert said["lr_steepness_above"]["expected"] == pytest.approx(1.5)
    assert said["lr_steepness_above"]["scale_is"] == "factor"
    assert "mild penalties: lr_exponent_batch about 0.5 +- 0.25, lr_steepness_above about 1.5 x/ 1.65" in fit.summary()
    assert laws.CHINCHILLA.penalties == {}


def test_plateau_gives_up_what_it_says():
    for name, edges in zip(TRUE_LAW.tuned, ((0, 1), (0, 1)), strict=True):
        lr, batch, loss = (values[0] for values in TRUE_LAW.optimum(JOINT_TRUTH, **TARGET))
        assert TRUE_LAW.loss_to_setting is not None
        factors = TRUE_LAW.loss_to_setting(JOINT_TRUTH, 0.01 * loss)[name]
        for edge in edges:
            moved = {"learning_rate": lr, "batch_size_tokens": batch}
            moved[name] *= factors[edge]
            if name == "batch_size_tokens":
                moved["learning_rate"] *= factors[edge] ** JOINT_TRUTH[8]
            at = TRUE_LAW.predict(JOINT_TRUTH, {**TARGET, **moved})
            assert at == pytest.approx(1.01 * loss)


def test_diverged_runs_are_lower_bounds(rng):
    table = star_table(rng, corners=True)
    hot = table.groupby(["n_params", "n_tokens"]).learning_rate.transform("max") == table.learning_rate
    status = np.where(hot, "diverged", "finished")
    censored = table.assign(status=status, loss=np.where(hot, np.nan, table.loss))
    fit = laws.fit(censored, "joint", bootstrap=0)
    assert fit.n_censored == hot.sum() and fit.n_rows == (~hot).sum() and not fit.n_dropped
    rows = {name: np.array(values) for name, values in fit.rows.items()}
    assert (rows["predicted"] > 0.97 * rows["loss"])[rows["censored"]].all()
    surface = laws.fit(censored, "chinchilla", bootstrap=0)
    assert surface.n_dropped == {"diverged": hot.sum()} and surface.n_censored == 0


def test_optimum_outside_the_grid_is_a_bound(rng):
    table = star_table(rng)
    lr, _, _ = TRUE_LAW.optimum(JOINT_TRUTH, n_params=table.n_params, n_tokens=table.n_tokens)
    above = prepare(table[table.learning_rate > 1.2 * lr], TRUE_LAW)
    counts = tried_grid(TRUE_LAW, JOINT_TRUTH, above)["learning_rate"]
    assert counts["below"] + counts["inside"] == 12 and not counts["above"]
    assert bound_of({"inside": 1, "below": 11, "above": 0}) == "at most"
    assert bound_of({"inside": 1, "below": 0, "above": 11}) == "at least"
    assert bound_of({"inside": 6, "below": 3, "above": 3}) is None
    fit = replace(
        laws.fit(table, "joint", bootstrap=20),
        tried={name: counts | {"below": 13} for name in TRUE_LAW.tuned},
    )
    answer = laws.recommend(fit, **TARGET)
    assert answer["learning_rate"]["bound"] == "at most"
    assert any("learning_rate" in warning for warning in answer["warnings"])


def test_intervals_cover(rng):
    """24 star designs: coverage of a 95 % interval has Monte Carlo error 4.5 %, so 20 of 24 is 2.7 of it."""
    inside = np.zeros(2)
    for k in range(24):
        prediction = laws.fit(star_table(rng), "joint", bootstrap=60, seed=k).predict(**TARGET)
        truth = TRUE_LAW.predict(JOINT_TRUTH, prediction.point)[0]
        run = truth + rng.normal() * 0.005 + rng.normal() * 0.003
        inside += [
            prediction.interval_mean[0] <= truth <= prediction.interval_mean[1],
            prediction.interval_new_run[0] <= run <= prediction.interval_new_run[1],
        ]
    assert (inside >= 20).all(), inside
