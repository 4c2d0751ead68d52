"""Laws of several targets, and laws fitted to what is made of raw runs."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from test_laws_optimum import LINE

from lbscale import laws
from lbscale.laws.form import Law, Parameter


def two(theta, logs):
    """Two power laws of tokens, one after the other."""
    first, second = (theta[..., j, None] * np.exp(theta[..., j + 1, None] * logs["n_tokens"]) for j in (0, 2))
    return np.concatenate([first, second], axis=-1)


def starts(logs, target):
    rate, batch = np.exp(np.log(target.reshape(2, -1)).mean(axis=1))
    return np.array([[rate, -0.1, batch, 0.1]])


PAIR = Law(
    name="pair",
    columns=("n_tokens",),
    targets=("learning_rate", "batch_size_tokens"),
    target_units=("1", "tokens"),
    parameters=tuple(
        Parameter(name, unit, low, high, "", kind, moves)
        for name, unit, low, high, kind, moves in (
            ("lr", "1", 1e-9, 1e2, "log", (("n_tokens", "lr_exponent", 1),)),
            ("lr_exponent", "1", -3.0, 3.0, "linear", ()),
            ("batch", "tokens", 1e-3, 1e12, "log", (("n_tokens", "batch_exponent", 1),)),
            ("batch_exponent", "1", -3.0, 3.0, "linear", ()),
        )
    ),
    form=two,
    starts=starts,
    reference={},
    paper="",
    schedule="any",
    loss="squares",
)


@pytest.fixture
def table(rng) -> pd.DataFrame:
    """Rates that scatter by 5 %, batches by 20 %."""
    n_tokens = np.exp(rng.uniform(20, 26, 40))
    return pd.DataFrame(
        {
            "n_tokens": n_tokens,
            "learning_rate": 0.3 * n_tokens**-0.2 * np.exp(0.05 * rng.normal(size=40)),
            "batch_size_tokens": 3.0 * n_tokens**0.5 * np.exp(0.2 * rng.normal(size=40)),
        }
    )


def test_two_targets_are_two_regressions(table, tmp_path):
    fit = laws.fit(table, PAIR, bootstrap=40)
    for name, column in (("lr_exponent", "learning_rate"), ("batch_exponent", "batch_size_tokens")):
        slope, _ = np.polyfit(np.log(table.n_tokens), np.log(table[column]), 1)
        assert fit.params[name] == pytest.approx(slope, rel=1e-6)
    assert np.sqrt(fit.effects.new_run) == pytest.approx([0.05, 0.2], rel=0.3)
    prediction = fit.predict(n_tokens=1e10)
    assert list(prediction.targets) == ["learning_rate", "batch_size_tokens"]
    first, second = prediction.targets.values()
    assert prediction.value == first["value"] and prediction.interval_mean == first["interval_mean"]
    spans = [np.log(said["interval_new_run"][1] / said["interval_new_run"][0]) for said in (first, second)]
    assert spans[1] > 2 * spans[0]
    assert set(fit.rows) >= {"learning_rate", "predicted", "batch_size_tokens", "predicted_batch_size_tokens"}
    json.dumps(fit.document(), allow_nan=False)


def test_what_is_made_of_raw_runs_is_fitted_and_counted(rng):
    raw = pd.DataFrame({"n_tokens": np.repeat([1e9, 4e9, 2e10, 1e11], 5), "loss": 0.0})
    raw["loss"] = 5.0 * raw.n_tokens**-0.05 * np.exp(0.1 * np.abs(rng.normal(size=20)))

    def lowest(frame: pd.DataFrame) -> pd.DataFrame:
        best = frame.loc[frame.groupby("n_tokens").loss.idxmin()].assign(loss_se=0.01)
        best.attrs = {"dropped": {"not the best of its cell": len(frame) - len(best)}, "warnings": ["made of cells"]}
        return best

    fit = laws.fit(raw, replace(LINE, reduce=lowest), bootstrap=0)
    assert fit.n_rows == 4 and fit.n_dropped == {"not the best of its cell": 16}
    assert "made of cells" in fit.warnings
