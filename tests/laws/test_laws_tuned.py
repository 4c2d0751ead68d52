"""A recipe's best settings: means over seeds decide, lost runs rule a setting out, and edges are counted."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from lbscale.laws.tuned import tuned_runs


def grid(losses: dict[tuple[float, int], float], **columns: object) -> pd.DataFrame:
    """Runs of one cell: {(learning rate, seed): loss}."""
    rows = [(1e6, 1e8, rate, seed, loss) for (rate, seed), loss in losses.items()]
    return pd.DataFrame(rows, columns=["n_params", "n_tokens", "learning_rate", "init_seed", "loss"]).assign(**columns)


def test_the_mean_over_seeds_decides():
    lucky = grid({(1.0, 0): 3.2, (1.0, 1): 3.2, (2.0, 0): 2.9, (2.0, 1): 3.6, (3.0, 0): 3.5, (3.0, 1): 3.5})
    kept, tuning, n_dropped = tuned_runs(lucky)
    assert set(kept.learning_rate) == {1.0} and len(kept) == 2 and n_dropped == 4
    assert (tuning.n_cells, tuning.n_single, tuning.tried) == (1, 0, 3.0)


@pytest.mark.parametrize(("best", "at_edge"), [(1.0, 1), (2.0, 0), (3.0, 1)])
def test_a_best_value_at_the_edge_is_counted(best, at_edge):
    table = grid({(rate, 0): 3.0 + abs(rate - best) for rate in (1.0, 2.0, 3.0)})
    assert tuned_runs(table)[1].at_edge == {"learning_rate": at_edge}


@pytest.mark.parametrize("how", ["status", "loss", "nan"])
def test_a_setting_with_a_lost_run_is_not_chosen_but_was_tried(how):
    table = grid({(1.0, 0): 3.3, (2.0, 0): 3.2, (3.0, 0): 3.0, (3.0, 1): 3.1})
    if how == "status":
        table["status"] = ["finished"] * 3 + ["diverged"]
    else:
        table.loc[3, "loss"] = 9.0 if how == "loss" else np.nan
    kept, tuning, _ = tuned_runs(table)
    finished = kept[kept.learning_rate == 2.0]
    assert len(finished) == 1 and not (kept.loss == 3.0).any()
    assert tuning.at_edge == {"learning_rate": 0}
    assert (len(kept) == 2) == (how != "loss")  # what has no loss stays in, for its reason to be counted


def test_runs_before_annealing_are_not_compared():
    table = grid({(1.0, 0): 3.3, (2.0, 0): 3.2, (3.0, 0): 3.0}, annealed=[True, True, False])
    kept, tuning, _ = tuned_runs(table)
    assert list(kept.learning_rate) == [2.0, 3.0] and tuning.tried == 2


def test_cells_are_tuned_apart():
    one, other = grid({(1.0, 0): 3.0, (2.0, 0): 3.1}), grid({(1.0, 0): 3.1, (2.0, 0): 3.0}).assign(n_params=2e6)
    kept, tuning, _ = tuned_runs(pd.concat([one, other], ignore_index=True))
    assert list(kept.learning_rate) == [1.0, 2.0] and tuning.n_cells == 2


def test_a_table_without_settings_keeps_all():
    table = grid({(1.0, 0): 3.0, (1.0, 1): 3.1}).drop(columns="learning_rate")
    kept, tuning, n_dropped = tuned_runs(table)
    assert len(kept) == 2 and n_dropped == 0 and tuning.settings == () and tuning.warnings("adam") == []
