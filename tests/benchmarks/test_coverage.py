"""The simulated tables of the coverage benchmark: which rows share errors."""

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from lbscale.laws.clusters import connect
from lbscale.laws.factors import factors
from lbscale.laws.table import prepare


@pytest.fixture(scope="module")
def coverage() -> ModuleType:
    """The benchmark, under a name of its own: a package called coverage may be there too."""
    place = Path(__file__).parents[2] / "benchmarks" / "coverage.py"
    spec = importlib.util.spec_from_file_location("benchmark_of_coverage", place)
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize(("kind", "n_groups"), [("independent", 72), ("shared", 12), ("crossed", 3)])
def test_rows_share_what_the_kind_of_errors_says(coverage: ModuleType, kind: str, n_groups: int) -> None:
    case = coverage.CASES["kaplan"]
    rows = prepare(coverage.table(case, np.random.default_rng(0), 12, kind), case.law)
    group = connect([factor.label for factor in factors(rows, fewest=2)], rows.n)
    assert 0.9 * n_groups <= group.max() + 1 <= n_groups  # a few budgets of their own fall in one cell by chance


@pytest.mark.parametrize("kind", ["independent", "shared", "crossed"])
def test_losses_scatter_about_the_law_as_stated(coverage: ModuleType, kind: str) -> None:
    case = coverage.CASES["kaplan"]
    tables = [coverage.table(case, np.random.default_rng(seed), 12, kind) for seed in range(20)]
    spread = np.std(np.concatenate([np.log(table.loss / case.loss(table)) for table in tables]))
    assert spread == pytest.approx(coverage.SCATTER[kind].run, rel=0.15)
