"""Recommendations that rest on several fits: which law answers which field, and what is said of those that cannot."""

from __future__ import annotations

import numpy as np
import pytest
from every_law import simulate

from lbscale import laws
from lbscale.errors import InputError
from lbscale.laws import Fit

SIZES = {"n_params": 1e9, "n_tokens": 2e10}


def fitted(name: str, rng: np.random.Generator, **options: str) -> Fit:
    """A fit of the law called `name` to its own simulated table."""
    return laws.fit(simulate(name, rng), name, bootstrap=0, **options)


def test_a_rate_at_a_batch_takes_the_batch_that_another_law_recommends(rng: np.random.Generator) -> None:
    edge, rate = fitted("batch_upper_edge", rng), fitted("lr_at_batch", rng)
    answer = laws.recommend([rate, edge], **SIZES)
    batch = edge.predict(n_tokens=SIZES["n_tokens"]).value
    assert answer["batch_size_tokens"]["value"] == batch
    assert answer["learning_rate"]["value"] == rate.predict(**SIZES, batch_size_tokens=batch).value
    assert answer["learning_rate"]["source"] == "lr_at_batch"
    assert laws.recommend(rate, **SIZES)["learning_rate"]["value"] is None  # no law says at which batch


def test_the_tuned_optimum_goes_before_a_prediction(rng: np.random.Generator) -> None:
    tuned, edge = fitted("step_law", rng), fitted("batch_upper_edge", rng)
    answer = laws.recommend([edge, tuned], **SIZES)
    assert answer["batch_size_tokens"]["source"] == answer["learning_rate"]["source"] == "step_law"


def test_a_rule_of_the_batch_alone_answers_for_no_other_size(rng: np.random.Generator) -> None:
    answer = laws.recommend([fitted("surge", rng), fitted("batch_upper_edge", rng)], **SIZES)
    assert answer["learning_rate"]["value"] is None


def test_the_critical_batch_follows_the_predicted_loss(rng: np.random.Generator) -> None:
    surface, critical = fitted("chinchilla", rng), fitted("critical_batch_loss", rng)
    answer = laws.recommend([critical, surface], **SIZES)
    expected = critical.predict(target_loss=surface.predict(**SIZES).value).value
    assert answer["critical_batch_size_tokens"]["value"] == pytest.approx(expected)


def test_laws_of_more_than_sizes_are_named(rng: np.random.Generator) -> None:
    answer = laws.recommend(fitted("repetition", rng), flops=1e21)
    assert answer["loss"]["value"] is None
    assert any("repetition needs epochs" in warning for warning in answer["warnings"])


def test_fits_that_count_params_differently_are_refused(rng: np.random.Generator) -> None:
    surface, tuned = fitted("chinchilla", rng, params_convention="total"), fitted("step_law", rng)
    with pytest.raises(InputError, match=r"'chinchilla: total', 'step_law: non_embedding'.*--params-convention"):
        laws.recommend([surface, tuned], **SIZES)
    assert laws.recommend([surface], **SIZES)["loss"]["value"] > 0
