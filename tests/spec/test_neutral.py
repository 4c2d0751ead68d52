"""A field added after runs were recorded stays out of their documents until it says something new."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from lbscale.errors import InputError
from lbscale.spec import Decoder, MuP, Run, Standard, from_json, run_key, to_json
from lbscale.spec.neutral import neutral, neutral_values, written_fields

MakeRun = Callable[..., Run]
GOLDEN = json.loads((Path(__file__).parent / "golden_keys.json").read_text())
NARROW = Decoder(d_model=32, n_layers=2, n_heads=2, d_ff=88)


@dataclasses.dataclass(frozen=True)
class Grown:
    """A spec whose added field has since got another default."""

    width: int
    dropout: float = dataclasses.field(default=0.5, metadata=neutral(0.0))


def test_an_added_field_is_written_unless_neutral() -> None:
    assert list(written_fields(Grown(3))) == ["width", "dropout"]
    assert list(written_fields(Grown(3, dropout=0.0))) == ["width"]


def test_a_document_without_an_added_field_means_its_neutral_value_not_its_default() -> None:
    assert neutral_values(Grown) == {"dropout": 0.0}


def test_recorded_documents_mean_the_standard_parameterisation() -> None:
    for entry in GOLDEN:
        model = from_json(entry["run"]).model
        assert getattr(model, "parameterization", Standard()) == Standard()


def test_the_neutral_value_leaves_the_key_and_another_moves_it(make_run: MakeRun) -> None:
    def key(parameterization: Any) -> str:
        return run_key(make_run(model=dataclasses.replace(NARROW, parameterization=parameterization)))

    assert key(Standard()) == run_key(make_run(model=NARROW))
    others = [
        MuP(base_width=32),
        MuP(base_width=64),
        MuP(base_width=32, decay="coupled"),
        MuP(base_width=32, base_head_dim=16),
    ]
    assert len({key(value) for value in (Standard(), *others)}) == 5


@pytest.mark.parametrize("rule", [Standard(), MuP(base_width=32), MuP(base_width=16, decay="sqrt_width")])
def test_a_parameterisation_is_read_back(make_run: MakeRun, rule: Any) -> None:
    run = make_run(model=dataclasses.replace(NARROW, parameterization=rule))
    assert from_json(json.loads(json.dumps(to_json(run)))) == run
    assert ("parameterization" in to_json(run)["model"]) == (rule != Standard())


def test_the_neutral_value_may_be_written_out(make_run: MakeRun) -> None:
    document = to_json(make_run(model=NARROW))
    document["model"]["parameterization"] = {"kind": "standard"}
    assert from_json(document) == make_run(model=NARROW)


@pytest.mark.parametrize(
    ("make", "field"),
    [
        (lambda: MuP(base_width=0), "base_width"),
        (lambda: MuP(base_width=32, decay="sqrt"), "decay"),
        (lambda: MuP(base_width=32, base_head_dim=0.5), "base_head_dim"),
        (lambda: dataclasses.replace(NARROW, parameterization="mup"), "parameterization"),
    ],
)
def test_impossible_parameterisations_are_refused_by_field(make: Callable[[], Any], field: str) -> None:
    with pytest.raises(InputError, match=f"^{field}: ") as caught:
        make()
    assert caught.value.field == field
