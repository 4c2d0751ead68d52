"""A saved fit is read back whole or refused with the field that is wrong."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from laws_tables import surface_table

from lbscale import laws
from lbscale.errors import InputError


@pytest.fixture(scope="module")
def saved(tmp_path_factory) -> Path:
    """A fit of the surface, in its file."""
    path = tmp_path_factory.mktemp("fits") / "fit.json"
    laws.fit(surface_table(np.random.default_rng(0)), "chinchilla", bootstrap=3).save(path)
    return path


def test_a_saved_fit_whose_numbers_were_changed_is_refused(saved: Path, tmp_path: Path) -> None:
    text = saved.read_text()
    n_refused = 0
    digits = [place for place, character in enumerate(text) if character.isdigit()]
    for place in np.random.default_rng(0).choice(digits, 50, replace=False):
        changed = text[:place] + str((int(text[place]) + 1) % 10) + text[place + 1 :]
        (tmp_path / "changed.json").write_text(changed)
        if json.loads(changed) != json.loads(text):  # a seventeenth digit may say nothing
            with pytest.raises(InputError, match="written by fit"):
                laws.Fit.load(tmp_path / "changed.json")
            n_refused += 1
    assert n_refused > 40


def test_a_fit_from_before_there_were_checksums_is_read(saved: Path, tmp_path: Path) -> None:
    document = json.loads(saved.read_text())
    del document["sha256"]
    (tmp_path / "old.json").write_text(json.dumps(document))
    assert laws.Fit.load(tmp_path / "old.json").document() == laws.Fit.load(saved).document()


@pytest.mark.parametrize(
    ("path", "value", "named"),
    [
        (("params", "E"), "x", "written by fit"),
        (("params", "A"), -1.0, "fit.params"),
        (("params",), {"E": 1.0}, "fit.params: {'E': 1.0} cannot be used; a mapping with the names A, B"),
        (("draws",), [[1.0]], "written by fit"),
        (("range", "n_params"), [2.0, 1.0], "fit.range.n_params"),
        (("range", "n_params", 0), None, "fit.range.n_params: None cannot be used; a positive number"),
        (("residual",), "lin", "did you mean 'linear'"),
        (("interval_method",), None, "fit.interval_method"),
        (("noise", "new_run_sd"), -1, "fit.noise.new_run_sd"),
        (("noise", "t"), [1], "fit.noise.t"),
        (("reference", "n_params"), 0, "fit.reference.n_params"),
        (("reference", "n_parms"), 1.0, "did you mean 'n_params'"),
        (("effects", "spreads"), [[1.0]], "fit.effects.spreads"),
        (("effects", "clusters", "label", 0), 1e9, "fit.effects.clusters.label"),
        (("convention", "params"), 3, "fit.convention"),
        (("tried",), {"x": {}}, "fit.tried"),
        (("warnings",), "x", "fit.warnings"),
        (("effects", "names"), [1], "fit.effects.names"),
        (("interval", "E"), [1.0], "fit.interval.E"),
    ],
    ids=lambda value: ".".join(map(str, value)) if isinstance(value, tuple) else "",
)
def test_a_field_that_no_answer_can_be_made_of_is_named(
    saved: Path, tmp_path: Path, path: tuple[Any, ...], value: Any, named: str
) -> None:
    document = copy.deepcopy(json.loads(saved.read_text()))
    del document["sha256"]
    owner = document
    for key in path[:-1]:
        owner = owner[key]
    owner[path[-1]] = value
    (tmp_path / "changed.json").write_text(json.dumps(document))
    with pytest.raises(InputError) as refusal:
        laws.Fit.load(tmp_path / "changed.json")
    assert named in str(refusal.value) and "changed.json" in str(refusal.value)
