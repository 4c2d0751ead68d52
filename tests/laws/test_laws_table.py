"""What enters: files, dropped rows, conventions, degenerate tables; what leaves: JSON and answers."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest
from laws_tables import TARGET, star_table, surface_table

from lbscale import laws
from lbscale.errors import InputError
from lbscale.laws.bootstrap import bootstrap_weights
from lbscale.laws.identify import tried_grid
from lbscale.laws.table import prepare


@pytest.mark.parametrize(("separator", "encoding"), [(",", "utf-8"), (";", "utf-8-sig"), ("\t", "utf-8-sig")])
def test_reads_separators_and_byte_order_marks(tmp_path, rng, separator, encoding):
    table = surface_table(rng)
    table.to_csv(tmp_path / "runs.csv", sep=separator, encoding=encoding, index=False)
    read = laws.read_table(tmp_path / "runs.csv")
    np.testing.assert_allclose(read[table.columns], table)


def test_every_dropped_row_is_counted(rng):
    table = surface_table(rng, 40)
    table["annealed"] = True
    table["status"] = "finished"
    table.loc[0:2, "loss"] = [np.nan, np.inf, -1.0]
    table.loc[3, "n_params"] = 0.0
    table.loc[4:5, "annealed"] = False
    table.loc[6, "status"] = "diverged"
    fit = laws.fit(table, "chinchilla", where="n_params < 1e30", holdout="n_tokens > 1e11", bootstrap=0)
    held = fit.holdout
    total = fit.n_rows + sum(fit.n_dropped.values()) + held["n_rows"] + sum(held["n_dropped"].values())
    assert total == len(table)
    assert held["mean_relative_error"] < 0.02


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"law": "chinchila"}, "chinchilla"),
        ({"where": "no_such > 1"}, "no_such"),
        ({"where": "n_params +"}, "pandas query"),
        ({"where": "n_params < 0"}, "use none"),
        ({"holdout": "n_params < 0"}, "some rows"),
        ({"map": {"loss": "losss"}}, "nearest: loss"),
        ({"loss": "cauchy"}, "huber"),
        ({"delta": -1.0}, "positive"),
        ({"residual": "cube"}, "linear"),
        ({"params_convention": "tottal"}, "total"),
        ({"bootstrap": -1}, "bootstrap"),
        ({"law": "joint"}, "learning_rate"),
    ],
)
def test_bad_input_is_one_line(rng, change, said):
    with pytest.raises(InputError, match=said) as raised:
        laws.fit(surface_table(rng), **{"law": "chinchilla", **change})
    assert "\n" not in str(raised.value)


def test_conventions(rng):
    table = surface_table(rng)
    assert laws.fit(table, "chinchilla", bootstrap=0).convention["params"] == "non_embedding"
    stated = table.assign(params_convention="total")
    assert laws.fit(stated, "chinchilla", bootstrap=0).convention["params"] == "total"
    with pytest.raises(InputError, match="counts total"):
        laws.fit(stated, "chinchilla", params_convention="active")
    mixed = stated.assign(params_convention=["total", "active"] * 30)
    with pytest.raises(InputError, match="one convention"):
        laws.fit(mixed, "chinchilla")
    both = table.assign(n_params_total=2 * table.n_params)
    doubled = laws.fit(both, "chinchilla", params_convention="total", bootstrap=0)
    assert doubled.rows["n_params"] == pytest.approx(2 * table.n_params)


@pytest.mark.parametrize("law", ["chinchilla", "joint"])
@pytest.mark.parametrize("kind", ["three rows", "one row", "one size", "all the same", "constant loss", "twice"])
def test_degenerate_tables_are_answered_with_warnings(rng, law, kind):
    table = star_table(rng)
    tables = {
        "three rows": table[:3],
        "one row": table[:1],
        "one size": table[table.n_params == 25e3],
        "all the same": pd.concat([table[:1]] * 5),
        "constant loss": table.assign(loss=2.0),
        "twice": pd.concat([table, table]),
    }
    fit = laws.fit(tables[kind], law, bootstrap=10)
    assert fit.warnings and (kind == "twice" or not fit.identified["E"])
    json.dumps(fit.document(), allow_nan=False)
    json.dumps(laws.recommend(fit, **TARGET), allow_nan=False)


@pytest.mark.parametrize("law", ["chinchilla", "joint"])
def test_a_saved_fit_predicts_the_same(tmp_path, rng, law):
    fit = laws.fit(star_table(rng), law, bootstrap=20)
    fit.save(tmp_path / "fit.json")
    loaded = laws.Fit.load(tmp_path / "fit.json")
    assert loaded.document() == fit.document()
    assert loaded.predict(**TARGET) == fit.predict(**TARGET)
    assert {"law", "params", "standard_error", "interval", "objective", "loss", "n_rows", "n_dropped"} <= set(
        fit.document()
    )
    whole = json.loads((tmp_path / "fit.json").read_text())
    first = fit.law.names[0]
    broken = [{}, [], *({key: whole[key] for key in whole if key != gone} for gone in ("interval", "noise", "rows"))]
    for document in [
        *broken,
        {**whole, "interval": {first: None}},
        {**whole, "draws": [[1.0]]},
        {**whole, "noise": {}},
    ]:
        (tmp_path / "other.json").write_text(json.dumps(document))
        with pytest.raises(InputError, match="written by fit"):
            laws.Fit.load(tmp_path / "other.json")


def test_a_point_that_is_not_positive_is_refused_at_once(rng):
    """Without a warning of numpy's on the way, which tests take for an error."""
    fit = laws.fit(star_table(rng), "joint", bootstrap=0)
    for value in (-1, 0, np.nan, "many"):
        with pytest.raises(InputError, match="n_params"):
            fit.predict(n_params=value, n_tokens=1e5)
    with pytest.raises(InputError, match="n_tokens"):
        fit.optimum(n_params=1e5, n_tokens=-1.0)


def test_a_batch_that_does_not_divide_the_budget_keeps_its_cell(rng):
    table = star_table(rng)
    short = table.assign(n_tokens=table.n_tokens - table.n_tokens % 1000 * rng.uniform(size=len(table)))
    coarse = table.assign(n_tokens=np.where(table.index % 2 == 0, 0.95, 1.0) * table.n_tokens)
    law = laws.get("joint")
    cell = prepare(table, law).cell
    assert np.unique(cell).size == 12
    assert (prepare(short, law).cell == cell).all()
    assert np.unique(prepare(coarse, law).cell).size > 12
    stated = coarse.assign(n_tokens_budget=table.n_tokens)
    assert (prepare(stated, law).cell == cell).all()
    partly = short.assign(n_tokens_budget=table.n_tokens.where(table.index % 2 == 0))
    assert (prepare(partly, law).cell == cell).all()
    fit = laws.fit(short, law, bootstrap=20)
    assert fit.noise.n_groups == 12 and all(sum(counts.values()) == 12 for counts in fit.tried.values())
    assert sum(tried_grid(fit.law, fit.theta, prepare(short, law))["learning_rate"].values()) == 12
    hot = short.learning_rate == short.groupby("n_params").learning_rate.transform("max")
    diverged = prepare(short.assign(status=np.where(hot, "diverged", "finished")), law)
    assert diverged.censored.sum() == hot.sum() and not diverged.dropped
    one, other = laws.baselines(short, **TARGET), laws.baselines(table, **TARGET)
    assert [said["n_points"] for said in one.values()] == [said["n_points"] for said in other.values()]
    assert one["carry_forward"]["loss"] == other["carry_forward"]["loss"]


def test_cells_do_not_chain():
    """Budgets a little apart, each within 1 % of the next, end where the first is left by more than that."""
    tokens = 1e6 * 1.004 ** np.arange(9)
    table = pd.DataFrame({"n_params": 1e4, "n_tokens": tokens, "loss": 2.0})
    assert prepare(table, laws.CHINCHILLA).cell.tolist() == [0, 0, 0, 1, 1, 1, 2, 2, 2]


def test_a_seed_has_one_weight_in_all_the_cells_it_serves(rng):
    def weights(seeds):
        table = pd.DataFrame({"n_params": [1.0, 1, 1, 2, 2, 2], "n_tokens": 1.0, "loss": 2.0, "init_seed": seeds})
        drawn = bootstrap_weights(prepare(table, laws.CHINCHILLA), 50, rng)
        np.testing.assert_allclose(drawn.mean(axis=1), 1.0)
        return drawn

    crossed = weights([0, 1, 1, 0, 1, 1])
    np.testing.assert_allclose(crossed[:, 1] / crossed[:, 0], crossed[:, 4] / crossed[:, 3])
    assert np.ptp(crossed[:, 1] / crossed[:, 0]) > 0.1
    nested = weights([0, 1, 2, 3, 4, 5])
    assert np.ptp(nested[:, 1] / nested[:, 0]) > 0.1
    assert np.ptp((nested[:, 1] / nested[:, 0]) - (nested[:, 4] / nested[:, 3])) > 0.1
    single = weights([0] * 6)
    np.testing.assert_allclose(single, single[:, [0, 0, 0, 3, 3, 3]])


def test_scatter_of_seeds_is_in_the_units_of_the_residual(rng):
    table = star_table(rng).assign(loss=lambda frame: 10 * frame.loss)
    fits = {residual: laws.fit(table, "joint", residual=residual, bootstrap=0) for residual in ("log", "linear")}
    ratio = fits["linear"].noise.seed_sd / fits["log"].noise.seed_sd
    repeated = table[table.init_seed > 0].loss
    assert repeated.min() < ratio < repeated.max()


def test_recommend_and_baselines(rng):
    table = star_table(rng)
    fits = [laws.fit(table, "joint", bootstrap=20), laws.fit(table, "chinchilla", bootstrap=20)]
    answer = laws.recommend(fits, **TARGET)
    assert set(answer) >= {*laws.answer.FIELDS, "warnings"}
    assert answer["loss"]["value"] == fits[0].predict(**TARGET).value
    assert answer["critical_batch_size_tokens"]["value"] is None
    with pytest.raises(InputError, match="flops"):
        laws.recommend(fits, n_params=1e5)
    simple = laws.baselines(table, **TARGET)
    nearest = min(table.n_tokens.unique(), key=lambda n_tokens: abs(np.log(n_tokens / TARGET["n_tokens"])))
    at_nearest = table[(table.n_params == 83e3) & (table.n_tokens == nearest)]
    assert simple["carry_forward"]["loss"] == at_nearest.loss.min()
    assert 1.0 < simple["log_log_line"]["loss"] < table.loss.max()
    assert "6ND" in simple["log_log_line"]["rule"]
    with pytest.raises(InputError, match="n_tokens"):
        laws.baselines(table, 1e5, -1.0)


def test_the_log_log_line_uses_the_flops_that_the_table_has():
    """Losses on a line of FLOPs that are not 6ND, in one cell and another."""
    n_params, n_tokens = np.array([1e4, 2e4, 4e4, 8e4]), np.array([1e6, 3e6, 9e6, 27e6])
    flops = 6 * n_params * n_tokens * np.array([9.0, 5.0, 3.0, 2.0])
    table = pd.DataFrame({"n_params": n_params, "n_tokens": n_tokens, "loss": 9 * flops**-0.05, "train_flops": flops})
    line = laws.baselines(table, 2e5, 1e8, flops=2e14)["log_log_line"]
    assert line["loss"] == pytest.approx(9 * 2e14**-0.05) and "train_flops" in line["rule"]
    for other in (
        laws.baselines(table, 2e5, 1e8),
        laws.baselines(table.drop(columns="train_flops"), 2e5, 1e8, flops=1),
    ):
        assert other["log_log_line"]["loss"] != pytest.approx(line["loss"], rel=1e-3)
        assert "6ND" in other["log_log_line"]["rule"]


def test_compute_optimal_split_is_the_formula(rng):
    """Against Hoffmann et al. 2022, equation 4."""
    fit = laws.fit(surface_table(rng), "chinchilla", bootstrap=50)
    answer = laws.recommend(fit, flops=1e23)
    _, A, B, alpha, beta = fit.theta
    expected = (alpha * A / (beta * B)) ** (1 / (alpha + beta)) * (1e23 / 6) ** (beta / (alpha + beta))
    assert answer["n_params"]["value"] == pytest.approx(expected, rel=1e-4)
    assert answer["n_params"]["interval"][0] < expected < answer["n_params"]["interval"][1]
    assert 6 * answer["n_params"]["value"] * answer["n_tokens"]["value"] == pytest.approx(1e23)


def test_rows_of_several_kinds_are_said_to_mix(rng):
    table = surface_table(rng, 30)
    half = np.arange(30) < 15
    mixed = table.assign(loss_split=np.where(half, "train", "val"), seq_len=512, epochs=np.where(half, 0.5, 4.0))
    said = laws.fit(mixed, "chinchilla", bootstrap=0).warnings
    assert [w for w in said if "mix" in w] == [
        "the rows mix 2 values of loss_split (train, val): choose one with --where"
    ]
    assert any("15 rows repeat their data" in w for w in said)
    chosen = laws.fit(mixed, "chinchilla", where="loss_split == 'train'", bootstrap=0).warnings
    assert not any("mix" in w or "repeat their data" in w for w in chosen)


def test_tuning_runs_that_blew_up_unmarked_enter_as_lower_bounds(rng):
    table = star_table(rng, corners=True).drop(columns=["init_seed", "data_seed"])
    wild = table.groupby(["n_params", "n_tokens"])["learning_rate"].idxmax()
    blown = table.assign(loss=table.loss.where(~table.index.isin(wild), 9.0))
    fit = laws.fit(blown, "joint", bootstrap=0)
    assert fit.n_censored == len(wild) and fit.n_rows == len(table) - len(wild)
    assert any(f"{len(wild)} runs lost over 1.5 times" in warning for warning in fit.warnings)
    marked = laws.fit(blown.assign(status="finished"), "joint", bootstrap=0)
    assert marked.n_censored == 0 and marked.objective > 5 * fit.objective
