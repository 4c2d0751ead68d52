"""The figure of chosen runs: what lies where."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from lbscale.laws import CHINCHILLA, NextRuns, next_runs
from lbscale.report.next_figure import next_figure


@pytest.fixture(scope="module")
def chosen() -> NextRuns:
    sizes, budgets = np.meshgrid(1e7 * 2.0 ** np.arange(4), 2e8 * 2.0 ** np.arange(4))
    rows = pd.DataFrame({"n_params": sizes.ravel(), "n_tokens": budgets.ravel()})
    luck = 3e-3 * np.random.default_rng(0).standard_normal(len(rows))
    loss = CHINCHILLA.predict(np.array([1.8, 480.0, 2100.0, 0.35, 0.37]), rows) * np.exp(luck)
    target = {"n_params": 1e9, "n_tokens": 2e10}
    return next_runs(rows.assign(loss=loss), "chinchilla", budget=1e19, target=target, draws=2, max_runs=8)


def test_existing_runs_chosen_runs_and_the_target_are_drawn(chosen: NextRuns) -> None:
    [axes] = next_figure(chosen)
    there, new, star = (points.get_offsets() for points in axes.collections)
    assert len(there) == 16
    assert set(map(tuple, new)) == set(chosen.runs[["n_params", "n_tokens"]].itertuples(index=False, name=None))
    assert star.tolist() == [[1e9, 2e10]]
    labels = [text.get_text() for text in axes.get_legend().get_texts()]
    assert labels == ["trained (16)", f"chosen ({len(chosen.runs)})", "target"]
