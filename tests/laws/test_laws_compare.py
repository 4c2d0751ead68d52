"""Comparison of laws: the true form is never called worse, rows are the same for all, and choosing has its price."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from laws_tables import CHINCHILLA_TRUTH, star_table

from lbscale import laws
from lbscale.errors import InputError
from lbscale.laws.form import Law, Parameter

GRID = {"n_params": np.geomspace(2e7, 5e9, 8), "n_tokens": np.geomspace(1e9, 3e11, 5)}
PRODUCT_TRUTH = np.array([40.0, 0.06, 0.07])


def _product(theta, logs):
    level, alpha, beta = (theta[..., j, None] for j in range(3))
    return level * np.exp(-alpha * logs["n_params"] - beta * logs["n_tokens"])


def _product_starts(logs, target):
    design = np.column_stack([np.ones(target.size), -logs["n_params"], -logs["n_tokens"]])
    level, alpha, beta = np.linalg.lstsq(design, np.log(target), rcond=None)[0]
    return np.array([[np.exp(level), alpha, beta]])


PRODUCT = Law(
    name="product",
    columns=("n_params", "n_tokens"),
    parameters=(
        Parameter(
            "level", "nats per token", 1e-3, 1e3, "loss at the reference", "log",
            (("n_params", "alpha", -1), ("n_tokens", "beta", -1)),
        ),
        Parameter("alpha", "1", -3.0, 3.0, "exponent of params"),
        Parameter("beta", "1", -3.0, 3.0, "exponent of tokens"),
    ),
    form=_product,
    starts=_product_starts,
    reference={},
    paper="",
    schedule="any",
)  # fmt: skip


def grid_table(rng, law, theta, noise=0.003) -> pd.DataFrame:
    """Eight sizes, five budgets, and the losses of a law with relative noise."""
    n_params, n_tokens = (values.ravel() for values in np.meshgrid(*GRID.values(), indexing="ij"))
    frame = pd.DataFrame({"n_params": n_params, "n_tokens": n_tokens})
    return frame.assign(loss=law.predict(theta, frame) * np.exp(noise * rng.normal(size=len(frame))))


@pytest.mark.parametrize("way", [{"windows": "size"}, {"windows": "compute"}, {"holdout": "n_tokens > 5e10"}])
@pytest.mark.parametrize("truth", ["chinchilla", "product"])
def test_the_true_form_is_not_worse_than_another(rng, truth, way):
    law, theta = {"chinchilla": (laws.CHINCHILLA, CHINCHILLA_TRUTH), "product": (PRODUCT, PRODUCT_TRUTH)}[truth]
    found = laws.compare(grid_table(rng, law, theta), ["chinchilla", PRODUCT], bootstrap=0, **way)
    against = found.against_best(truth)
    assert against is None or against["verdict"] == "no difference"
    if truth == "chinchilla":  # which a product cannot imitate
        assert next(iter(found.fits)) == truth and found.against_best("product")["verdict"] == "worse"


def test_laws_are_ranked_by_error_on_rows_they_have_not_seen(rng):
    """Held-out rows that follow the law which fits the other rows worse."""
    table = grid_table(rng, PRODUCT, PRODUCT_TRUTH)
    held, options = "n_params > 9e7", {"bootstrap": 0}
    fits = {"chinchilla": laws.fit(table, "chinchilla", where=f"~({held})", **options)}
    fits["product"] = laws.fit(table, PRODUCT, where=f"~({held})", **options)
    training = {name: np.abs(fit.rows["relative_residual"]).mean() for name, fit in fits.items()}
    worse = max(training, key=training.get)
    outside = table.n_params > 9e7
    table.loc[outside, "loss"] = fits[worse].law.predict(fits[worse].theta, table[outside])
    found = laws.compare(table, ["chinchilla", PRODUCT], holdout=held, **options)
    assert next(iter(found.fits)) == worse and found.errors[worse] < 1e-9
    assert list(found.errors) == sorted(found.errors, key=found.errors.get)
    for name, rows in found.held.items():
        assert rows.measured.tolist() == table.loss[outside].tolist()
        assert found.errors[name] == pytest.approx((rows.predicted / rows.measured - 1).abs().mean())


def test_the_document_has_the_fits_documents_in_order(rng):
    table = grid_table(rng, laws.CHINCHILLA, CHINCHILLA_TRUTH)
    found = laws.compare(table, [PRODUCT, "chinchilla", "joint"], holdout="n_tokens > 5e10", bootstrap=10)
    document = json.loads(json.dumps(found.document(), allow_nan=False))
    assert [item["law"] for item in document["laws"]] == ["chinchilla", "product"]
    assert [item["rank"] for item in document["laws"]] == [1, 2]
    errors = [item["holdout"]["mean_relative_error"] for item in document["laws"]]
    assert errors == sorted(errors)
    single = laws.fit(table, "chinchilla", holdout="n_tokens > 5e10", bootstrap=10).document()
    assert document["laws"][0].keys() >= single.keys()
    assert document["laws"][0]["params"] == single["params"]
    assert document["laws"][0]["holdout"]["mean_relative_error"] == single["holdout"]["mean_relative_error"]
    assert [item["law"] for item in document["unranked"]] == ["joint"]
    assert "learning_rate" in document["unranked"][0]["reason"]
    [pair] = document["pairs"]
    assert (pair["law"], pair["than"], pair["verdict"]) == ("product", "chinchilla", "worse")
    assert pair["interval"][0] < pair["difference"] < pair["interval"][1]
    for text in (found.summary(), found._repr_html_()):
        assert "joint" in text and "chinchilla" in text and "worse" in text


def test_a_form_is_chosen_on_inner_windows_and_judged_on_outer_ones(rng):
    table = grid_table(rng, laws.CHINCHILLA, CHINCHILLA_TRUTH)
    found = laws.compare(table, ["chinchilla", PRODUCT], windows="size", bootstrap=0)
    assert [window["n_held"] for window in found.windows] == [5] * 5
    nested = found.nested
    assert len(nested["windows"]) == 4  # the first outer window has no windows inside
    names = [window["name"] for window in found.windows]
    for part in nested["windows"]:
        assert part["n_inner_windows"] == names.index(part["window"])
        rows = found.held[part["chosen"]]
        assert part["mean_relative_error"] == pytest.approx(
            rows[rows.window == part["window"]].relative_error.abs().mean()
        )
    assert sum(nested["chosen"].values()) == 4
    assert nested["mean_relative_error"] == pytest.approx(
        np.mean([p["mean_relative_error"] for p in nested["windows"]])
    )


def test_leaving_sizes_out_holds_every_row_once(rng):
    table = grid_table(rng, laws.CHINCHILLA, CHINCHILLA_TRUTH)
    found = laws.compare(table, "chinchilla", windows="leave-one-size-out", bootstrap=0)
    assert sorted(map(int, found.held["chinchilla"].row)) == table.index.tolist()
    assert found.held_out["n_sizes"] == 8 and len(found.nested["windows"]) == 8


def test_rows_that_one_law_cannot_use_are_left_out_for_all(rng):
    table = star_table(rng)
    table.loc[table.n_params > 80e3, "learning_rate"] *= np.where(
        np.arange((table.n_params > 80e3).sum()) < 4, np.nan, 1
    )
    found = laws.compare(table, ["chinchilla", "joint"], holdout="n_params > 80e3", bootstrap=0)
    assert len(found.held["chinchilla"]) == len(found.held["joint"]) == (table.n_params > 80e3).sum() - 4
    assert next(iter(found.fits)) == "joint"
    assert found.held_out["n_sizes"] == 1 and found.against_best("chinchilla")["interval"] is None
    assert "one held-out size" in found.warnings[0]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"laws": []}, "at least one law"),
        ({"laws": ["chinchila"]}, "did you mean 'chinchilla'"),
        ({"laws": ["chinchilla", "chinchilla"]}, "each law once"),
        ({"laws": ["chinchilla", replace(PRODUCT, targets=("error",))]}, "the same quantities"),
        ({"laws": ["joint"]}, "learning_rate"),
        ({"holdout": "n_params < 0"}, "some rows"),
        ({"holdout": "n_params > 0"}, "use none"),
        ({"where": "n_params < 5e7"}, "needs more than 3 sizes"),
        ({"windows": "sise"}, "did you mean 'size'"),
        ({"windows": "size", "where": "n_tokens < 2e9"}, "at least one window with 6 rows"),
        ({"windows": "compute", "flops": "exact"}, "train_flops"),
        ({"bootstrap": -1}, "bootstrap"),
    ],
)
def test_bad_input_is_one_line(rng, change, said):
    table = grid_table(rng, laws.CHINCHILLA, CHINCHILLA_TRUTH)
    if change.get("where") == "n_tokens < 2e9":
        table = table[table.n_params < 3e8]
    with pytest.raises(InputError, match=said) as raised:
        laws.compare(table, **{"laws": ["chinchilla"], "bootstrap": 0, **change})
    assert "\n" not in str(raised.value)
