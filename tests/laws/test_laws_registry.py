"""Every law of the registry: in the catalogue of the README, and from a table through a file to an answer."""

from __future__ import annotations

import json
import re
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pytest
from every_law import simulate

from lbscale import laws, report

README = Path(laws.__file__).with_name("README.md").read_text(encoding="utf-8")
CATALOGUE = README.split("## The catalogue")[1].split("\n## ")[0]


def test_the_catalogue_names_every_law_and_no_other() -> None:
    first_cells = [line.split("|")[1] for line in CATALOGUE.splitlines() if line.startswith("| `")]
    named = [name for cell in first_cells for name in re.findall(r"`(\w+)`", cell)]
    assert sorted(named) == sorted(laws.LAWS)


@pytest.mark.parametrize("name", laws.LAWS)
def test_a_saved_fit_answers_as_before(name: str, rng: np.random.Generator, tmp_path: Path) -> None:
    table = simulate(name, rng)
    fitted = laws.fit(table, name, bootstrap=10)
    fitted.save(tmp_path / "fit.json")
    again = laws.Fit.load(tmp_path / "fit.json")
    law = fitted.law
    middle = {
        column: float(np.sqrt(low * high)) for column, (low, high) in fitted.range.items() if column in law.columns
    }
    inside, same = fitted.predict(**middle), again.predict(**middle)
    assert same == inside
    assert same.interval_mean[0] < same.value < same.interval_mean[1]
    assert same.interval_new_run[0] < same.interval_mean[0]
    assert json.loads(json.dumps(again.document(), allow_nan=False)) == json.loads(json.dumps(fitted.document()))
    assert law.name in again.summary() and law.name in again._repr_html_()
    wild = again.predict(**{column: 1e3 * value for column, value in middle.items()})
    assert wild.warnings and np.isfinite(wild.value)
    plt.close(report.figure_of(report.law_figure(again)))


@pytest.mark.parametrize("name", laws.LAWS)
def test_any_fit_can_be_asked_for_a_recommendation(name: str, rng: np.random.Generator) -> None:
    fitted = laws.fit(simulate(name, rng), name, bootstrap=0)
    by_size = laws.recommend(fitted, n_params=1e9, n_tokens=2e10)
    laws.recommend(fitted, flops=1e21)
    reads = {column for column in fitted.law.columns if column not in fitted.law.tuned}
    for target in set(fitted.law.targets) & by_size.keys():
        known = by_size[target]["value"] is not None
        assert known == (bool(reads) and reads <= {"n_params", "n_tokens"}), target
