"""What enters: files, dropped rows, conventions, degenerate tables; what leaves: JSON and answers."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest
from laws_tables import TARGET, star_table, surface_table

from lbscale import laws
from lbscale.errors import InputError


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
    (tmp_path / "other.json").write_text("{}")
    with pytest.raises(InputError, match="written by fit"):
        laws.Fit.load(tmp_path / "other.json")


def test_recommend_and_baselines(rng):
    table = star_table(rng)
    fits = [laws.fit(table, "joint", bootstrap=20), laws.fit(table, "chinchilla", bootstrap=20)]
    answer = laws.recommend(fits, **TARGET)
    assert set(answer) == {*laws.answer.FIELDS, "warnings"}
    assert answer["loss"]["value"] == fits[0].predict(**TARGET).value
    assert answer["critical_batch_size_tokens"]["value"] is None
    with pytest.raises(InputError, match="flops"):
        laws.recommend(fits, n_params=1e5)
    simple = laws.baselines(table, **TARGET)
    nearest = min(table.n_tokens.unique(), key=lambda n_tokens: abs(np.log(n_tokens / TARGET["n_tokens"])))
    at_nearest = table[(table.n_params == 83e3) & (table.n_tokens == nearest)]
    assert simple["carry_forward"]["loss"] == at_nearest.loss.min()
    assert 1.0 < simple["log_log_line"]["loss"] < table.loss.max()


def test_compute_optimal_split_is_the_formula(rng):
    """Against Hoffmann et al. 2022, equation 4."""
    fit = laws.fit(surface_table(rng), "chinchilla", bootstrap=50)
    answer = laws.recommend(fit, flops=1e23)
    _, A, B, alpha, beta = fit.theta
    expected = (alpha * A / (beta * B)) ** (1 / (alpha + beta)) * (1e23 / 6) ** (beta / (alpha + beta))
    assert answer["n_params"]["value"] == pytest.approx(expected, rel=1e-4)
    assert answer["n_params"]["interval"][0] < expected < answer["n_params"]["interval"][1]
    assert 6 * answer["n_params"]["value"] * answer["n_tokens"]["value"] == pytest.approx(1e23)
