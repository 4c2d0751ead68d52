"""The commands about laws: the documents that they promise, on a table with planted constants."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

Command = Callable[..., Any]
TRUTH = {"E": 1.8, "A": 480.0, "B": 2100.0, "alpha": 0.35, "beta": 0.37}
FIELDS = ("n_params", "n_tokens", "learning_rate", "batch_size_tokens", "loss", "critical_batch_size_tokens")


def loss_at(n_params: Any, n_tokens: Any) -> Any:
    """The planted surface."""
    return TRUTH["E"] + TRUTH["A"] / n_params ** TRUTH["alpha"] + TRUTH["B"] / n_tokens ** TRUTH["beta"]


@pytest.fixture
def table(folder: Path) -> Path:
    """Thirty runs of the planted surface with a noise of 0.1 %, one of them stopped."""
    n_params, n_tokens = (grid.ravel() for grid in np.meshgrid(10.0 ** np.arange(7, 10, 0.5), 10.0 ** np.arange(8, 13)))
    noise = np.exp(1e-3 * np.random.default_rng(0).normal(size=n_params.size))
    frame = pd.DataFrame({"n_params": n_params, "n_tokens": n_tokens, "loss": loss_at(n_params, n_tokens) * noise})
    frame["status"] = ["stopped"] + ["finished"] * (len(frame) - 1)
    path = folder / "table.csv"
    frame.to_csv(path, index=False)
    return path


def fit(lbscale: Command, table: Path, *words: str) -> Any:
    """The document of a fit of the loss surface."""
    return lbscale("fit", str(table), "--law", "chinchilla", "--bootstrap", "50", "--json", *words).json


def test_fit_prints_the_document_of_the_contract(lbscale: Command, table: Path) -> None:
    document = fit(lbscale, table)
    assert document.keys() >= {
        "law", "params", "standard_error", "interval", "objective", "loss", "n_rows", "n_dropped", "derived",
        "convention", "warnings",
    }  # fmt: skip
    assert (document["law"], document["n_rows"], document["n_dropped"]) == ("chinchilla", 29, {"stopped": 1})
    assert document["params"].keys() == document["standard_error"].keys() == document["interval"].keys() == set(TRUTH)
    for name, (low, high) in document["interval"].items():
        assert low < document["params"][name] < high
        assert document["params"][name] == pytest.approx(TRUTH[name], rel=0.3)


def test_fit_keeps_rows_out_on_request(lbscale: Command, table: Path) -> None:
    document = fit(lbscale, table, "--where", "n_params > 2e7", "--holdout", "n_params > 1e9")
    assert document["n_rows"] == 20
    assert document["holdout"]["n_rows"] == 5
    assert 0 <= document["holdout"]["mean_relative_error"] < 0.01


def test_fit_takes_a_tables_own_names_after_one_flag(lbscale: Command, table: Path) -> None:
    renamed = table.with_name("renamed.parquet")
    pd.read_csv(table).rename(columns={"n_params": "N", "n_tokens": "D"}).to_parquet(renamed)
    assert fit(lbscale, renamed, "--map", "n_params=N", "n_tokens=D")["params"] == fit(lbscale, table)["params"]


def test_fit_is_the_same_for_the_same_seed(lbscale: Command, table: Path) -> None:
    first, same, other = (fit(lbscale, table, "--seed", seed) for seed in "112")
    assert first == same
    assert first["params"] == other["params"] and first["standard_error"] != other["standard_error"]


def test_fit_without_json_is_for_a_reader(lbscale: Command, table: Path) -> None:
    outcome = lbscale("fit", str(table), "--law", "chinchilla", "--bootstrap", "50")
    assert outcome.code == 0 and outcome.err == ""
    assert all(name in outcome.out for name in ("chinchilla", *TRUTH))


def test_fit_takes_options_of_the_engine(lbscale: Command, table: Path) -> None:
    wide, plain = fit(lbscale, table, "--group", "n_params"), fit(lbscale, table)
    assert wide["params"] == plain["params"] and wide["interval"] != plain["interval"]
    assert fit(lbscale, table, "--interval", "bootstrap")["interval"] != plain["interval"]
    fixed = fit(lbscale, table, "--fix", "E=1.7")["params"]
    assert fixed["E"] == 1.7 and fixed["alpha"] != plain["params"]["alpha"]


def test_fit_draws_the_law(lbscale: Command, table: Path) -> None:
    fit(lbscale, table, "--holdout", "n_params > 1e9", "--figure", "law.png")
    assert Path("law.png").read_bytes().startswith(b"\x89PNG")


def test_fit_shows_exponents_under_both_counts(lbscale: Command, table: Path) -> None:
    frame = pd.read_csv(table)
    both = table.with_name("both.csv")
    frame.assign(n_params_total=frame.n_params + 1e6, params_convention="non_embedding").to_csv(both, index=False)
    shown = fit(lbscale, both)["by_convention"]
    assert shown["non_embedding"]["alpha"]["value"] == fit(lbscale, table)["params"]["alpha"]
    assert shown["total"]["alpha"]["value"] > shown["non_embedding"]["alpha"]["value"]
    words = lbscale("fit", str(both), "--law", "chinchilla").out
    assert "by total params: alpha" in words and "by non_embedding params: alpha" in words
    assert "by_convention" not in fit(lbscale, table)


def test_compare_ranks_laws_by_held_out_error(lbscale: Command, table: Path) -> None:
    words = ("compare", str(table), "--laws", "joint,chinchilla", "--holdout", "n_params > 1e9", "--bootstrap", "20")
    document = lbscale(*words, "--json").json
    [law] = document["laws"]
    assert (law["law"], law["rank"]) == ("chinchilla", 1)
    alone = fit(lbscale, table, "--holdout", "n_params > 1e9", "--bootstrap", "20")
    assert law.keys() >= alone.keys()
    assert law["holdout"]["mean_relative_error"] == alone["holdout"]["mean_relative_error"]
    assert [item["law"] for item in document["unranked"]] == ["joint"]
    assert document["nested"]["chosen"] == {"chinchilla": 1}
    text = lbscale(*words).out
    assert "n_params > 1e9" in text and "not ranked: joint" in text


@pytest.mark.parametrize("kind", ["size", "leave-one-size-out", "compute"])
def test_compare_takes_windows(lbscale: Command, table: Path, kind: str) -> None:
    words = ("compare", str(table), "--laws", "chinchilla", "--windows", kind, "--bootstrap", "0", "--json")
    document = lbscale(*words).json
    assert document["held_out"]["windows"] == kind and document["held_out"]["query"] is None
    assert sum(window["n_held"] for window in document["windows"]) == document["laws"][0]["holdout"]["n_rows"] + (
        1 if kind == "leave-one-size-out" else 0  # the run that was stopped, of the smallest size
    )
    assert document["held_out"]["flops"] == ("6ND" if kind == "compute" else None)


@pytest.fixture
def saved(lbscale: Command, table: Path) -> str:
    """A fit written to a file."""
    fit(lbscale, table, "--out", "fit.json")
    return "fit.json"


def test_what_fit_writes_holds_what_it_prints(lbscale: Command, table: Path) -> None:
    printed = fit(lbscale, table, "--out", "fit.json")
    written = json.loads(Path("fit.json").read_text())
    assert {name: written[name] for name in printed} == printed


def test_predict_prints_the_document_of_the_contract(lbscale: Command, saved: str) -> None:
    document = lbscale("predict", saved, "--set", "n_params=2e10", "n_tokens=1e12", "--json").json
    assert document.keys() >= {"value", "interval_mean", "interval_new_run", "extrapolation", "warnings"}
    (mean_low, mean_high), (low, high) = document["interval_mean"], document["interval_new_run"]
    assert low < mean_low < document["value"] < mean_high < high
    assert low < loss_at(2e10, 1e12) < high
    largest = 10**9.5
    assert document["extrapolation"]["n_params"] == pytest.approx(2e10 / largest)
    assert document["extrapolation"]["n_tokens"] == 1
    assert any("n_params" in warning for warning in document["warnings"])


def test_predict_without_json_tells_both_intervals(lbscale: Command, saved: str) -> None:
    outcome = lbscale("predict", saved, "--set", "n_params=1e8", "n_tokens=1e10")
    assert outcome.out.startswith("loss ") and outcome.out.count("95 %") == 2
    assert "nats per token" in outcome.out.splitlines()[0]


def test_predict_tells_each_target_in_its_unit(lbscale: Command, folder: Path) -> None:
    rows = [(n, d, 2.0 * n**-0.6 * d**0.2 * lr, 0.4 * d**0.58 * b, 3 + np.log(lr) ** 2 + np.log(b) ** 2 / 9)
            for n in (1e8, 3e8, 1e9) for d in (1e9, 1e10, 1e11) for lr in 2.0 ** np.arange(-2, 3)
            for b in 2.0 ** np.arange(-2, 3)]  # fmt: skip
    names = ["n_params", "n_tokens", "learning_rate", "batch_size_tokens", "loss"]
    pd.DataFrame(rows, columns=names).to_csv(folder / "grid.csv", index=False)
    lbscale("fit", "grid.csv", "--law", "batch_upper_edge", "--out", "edge.json")
    assert lbscale("fit", "grid.csv", "--law", "step_law", "--out", "step.json").code == 0
    said = lbscale("predict", "step.json", "--set", "n_params=1e9", "n_tokens=2e10").out
    assert "loss" not in said and said.count("95 %") == 4
    assert said.startswith("learning_rate ") and "batch_size_tokens " in said and " tokens\n" in said
    advice = lbscale("recommend", "--n-params", "1e9", "--n-tokens", "2e10", "--from", "edge.json", "--json").json
    assert advice["batch_size_tokens"]["source"] == "batch_upper_edge"


def test_predict_refuses_a_point_beyond_what_laws_can_take(lbscale: Command, folder: Path) -> None:
    batch = 2.0 ** np.arange(15, 24)
    frame = pd.DataFrame({"batch_size_tokens": batch, "steps_to_target": 2e3 + 4e8 / batch})
    frame.to_csv(folder / "curve.csv", index=False)
    assert lbscale("fit", "curve.csv", "--law", "steps_to_target", "--bootstrap", "0", "--out", "fit.json").code == 0
    outcome = lbscale("predict", "fit.json", "--set", "batch_size_tokens=1e-305", "--json")
    assert outcome.code == 2 and outcome.out == "" and outcome.err.count("\n") == 1
    assert "batch_size_tokens: 1e-305 cannot be used; a positive number from 1e-40" in outcome.err


def test_predict_refuses_a_fit_whose_law_is_not_finite(lbscale: Command, folder: Path, saved: str) -> None:
    document = json.loads((folder / saved).read_text())
    del document["sha256"]
    document["params"] |= {"A": 1e308, "B": 1e308, "alpha": 0.0, "beta": 0.0}
    (folder / "wild.json").write_text(json.dumps(document))
    outcome = lbscale("predict", "wild.json", "--set", "n_params=1e9", "n_tokens=1e10")
    assert outcome.code == 2 and outcome.out == "" and outcome.err.count("\n") == 1
    assert "loss is finite" in outcome.err


def test_recommend_refuses_fits_that_count_params_differently(lbscale: Command, table: Path, saved: str) -> None:
    fit(lbscale, table, "--params-convention", "total", "--out", "total.json")
    words = ("recommend", "--flops", "1e20", "--json", "--from", saved)
    assert lbscale(*words).code == 0
    mixed = lbscale(*words, "total.json")
    assert mixed.code == 2 and mixed.out == "" and "--params-convention" in mixed.err


@pytest.mark.parametrize(
    "words", [("--n-params", "1e9", "--n-tokens", "2e10"), ("--flops", "1e20")], ids=["sizes", "budget"]
)
def test_recommend_prints_the_document_of_the_contract(lbscale: Command, saved: str, words: tuple[str, ...]) -> None:
    document = lbscale("recommend", *words, "--from", saved, "--json").json
    assert document.keys() >= {*FIELDS, "warnings"}
    for name in FIELDS:
        assert document[name].keys() >= {"value", "interval", "source", "valid_for"}, name
    n_params, n_tokens = document["n_params"]["value"], document["n_tokens"]["value"]
    assert document["loss"]["value"] == pytest.approx(loss_at(n_params, n_tokens), rel=0.01)
    assert document["learning_rate"]["value"] is None  # a loss surface knows nothing of it, and says so
    assert "learning_rate" in lbscale("recommend", *words, "--from", saved).out


def test_recommended_sizes_spend_the_budget_and_are_its_best(lbscale: Command, saved: str) -> None:
    document = lbscale("recommend", "--flops", "1e20", "--from", saved, "--json").json
    n_params, n_tokens = document["n_params"]["value"], document["n_tokens"]["value"]
    assert 6 * n_params * n_tokens == pytest.approx(1e20, rel=1e-3)
    sizes = n_params * np.exp(np.linspace(-1, 1, 201))
    best = sizes[np.argmin(loss_at(sizes, 1e20 / 6 / sizes))]
    assert n_params == pytest.approx(best, rel=0.2)
