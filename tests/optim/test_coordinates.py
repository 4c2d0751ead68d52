"""Coordinate and singular-value checks: flat in width under muP, and clearly not under the standard table."""

from __future__ import annotations

import functools

import numpy as np
import pandas as pd
import pytest

from lbscale.model import parameter_table
from lbscale.optim.coordinates import (
    Trajectory,
    coordinate_check,
    short_training,
    singular_check,
    top_singular_values,
    width_slopes,
)
from lbscale.report.width import check_figure
from lbscale.spec import Decoder, MuP, Parameterization, Standard

WIDTHS = (32, 192)
TABLES = {"standard": Standard(), "mup": MuP(base_width=32)}
HYPER = {
    "adamw": {"learning_rate": 2e-3, "decay": 0.0, "clip_norm": 0.0, "beta1": 0.9, "beta2": 0.95, "eps": 1e-12},
    "sgd": {"learning_rate": 0.1, "decay": 0.0, "clip_norm": 0.0, "momentum": 0.9},
}


def family(parameterization: Parameterization) -> list[Decoder]:
    """One layer, heads of 16; everything else widens together."""
    return [
        Decoder(
            d_model=d, n_layers=1, n_heads=d // 16, d_ff=2 * d, vocab_size=64, mlp="gelu",
            parameterization=parameterization,
        )
        for d in WIDTHS
    ]  # fmt: skip


def batch() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    tokens = np.random.default_rng(0).integers(0, 64, (4, 33))
    return tokens[:, :-1], tokens[:, 1:], np.zeros((4, 32), np.int32)


@functools.cache
def trajectories(name: str, kind: str) -> list[Trajectory]:
    """A few updates of the family under a table and an optimizer, once for all tests."""
    return short_training(family(TABLES[name]), kind, HYPER[kind], batch(), seeds=(0,))


@pytest.fixture(scope="module", params=["adamw", "sgd"])
def checks(request: pytest.FixtureRequest) -> dict[str, pd.DataFrame]:
    """The coordinate check of both tables, under one optimizer."""
    return {name: coordinate_check(trajectories(name, request.param), batch()) for name in TABLES}


def test_updates_move_activations_alike_at_every_width_under_mup(checks: dict[str, pd.DataFrame]) -> None:
    slopes = width_slopes(checks["mup"], "change")
    assert slopes.drop("logits").abs().max() < 0.2, slopes
    # A part of what logits move by comes from the head's own draw and falls as 1/sqrt(width); what is learned stays.
    assert -0.5 < slopes["logits"] < 0.1, slopes


def test_updates_move_something_more_at_larger_widths_under_the_standard_table(checks: dict[str, pd.DataFrame]) -> None:
    slopes = width_slopes(checks["standard"], "change")
    assert slopes.max() > 0.25, slopes
    assert slopes["logits"] > width_slopes(checks["mup"], "change")["logits"] + 0.4


def test_embeddings_keep_their_size_under_mup_and_shrink_under_the_standard_table(
    checks: dict[str, pd.DataFrame],
) -> None:
    sizes = {name: width_slopes(check[check["update"] == 0], "size") for name, check in checks.items()}
    assert abs(sizes["mup"]["embedding"]) < 0.05
    assert sizes["standard"]["embedding"] == pytest.approx(-0.5, abs=0.05)


def test_top_singular_values_of_adamw_updates() -> None:
    found = {name: width_slopes(singular_check(trajectories(name, "adamw")), "change") for name in TABLES}
    assert found["standard"].min() > 0.5 and found["mup"].abs().max() < 0.4, found


def test_top_singular_values_are_those_of_each_layer() -> None:
    model = Decoder(d_model=16, n_layers=2, n_heads=1, d_ff=16, vocab_size=9)
    table = parameter_table(model)
    diagonal = np.stack([np.diag(np.arange(16.0)), 2 * np.diag(np.arange(16.0))])
    names = ("query", "key", "value", "out", "up", "down", "gate")
    found = top_singular_values(table, {"layers": dict.fromkeys(names, diagonal)})
    assert set(found["name"]) == set(names)
    np.testing.assert_allclose(found.sort_values(["name", "layer"])["value"], [15.0, 30.0] * len(names))


def test_slopes_are_exponents_and_the_figure_shows_a_panel_a_table() -> None:
    check = pd.DataFrame(
        [
            {"d_model": d, "seed": s, "update": u, "name": n, "change": u * d**p, "size": 1.0}
            for d in (16, 64) for s in (0, 1) for u in (0, 1) for n, p in (("a", 0.5), ("b", -1.0))
        ]
    )  # fmt: skip
    slopes = width_slopes(check, "change")
    assert slopes.to_dict() == pytest.approx({"a": 0.5, "b": -1.0})
    axes = check_figure({"one": check, "two": check})
    assert [ax.get_title() for ax in np.ravel(axes)] == ["one", "two"]
