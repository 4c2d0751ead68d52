"""The plateau about an optimum and the best learning rate at a given batch, against brute force and simulation."""

from __future__ import annotations

import numpy as np
import pytest
from every_law import simulate
from laws_tables import JOINT_TRUTH, TRUE_LAW, star_table

from lbscale import laws
from lbscale.errors import InputError

TARGET = {"n_params": 2e5, "n_tokens": 2e7}


@pytest.fixture(scope="module")
def joint() -> laws.Fit:
    """A fit of the joint law to a simulated design."""
    return laws.fit(star_table(np.random.default_rng(3)), "joint", bootstrap=0)


def losses(fit: laws.Fit, rates, batches):
    """The law's loss at the target on a grid."""
    rates, batches = np.broadcast_arrays(rates, batches)
    columns = {"learning_rate": rates.ravel(), "batch_size_tokens": batches.ravel()}
    columns |= {name: np.full(rates.size, value) for name, value in TARGET.items()}
    return fit.law.predict(fit.theta, columns).reshape(rates.shape)


def test_the_plateau_is_the_region_that_gives_up_so_much(joint: laws.Fit) -> None:
    answer = laws.recommend(joint, **TARGET, give_up_percent=2.0)
    found, best = answer["plateau"], answer["loss"]["value"]
    excess = 0.02 * (best - joint.params["E"])
    assert found["give_up"] == pytest.approx(excess)
    rates, batches = np.array(found["boundary"]).T
    np.testing.assert_allclose(losses(joint, rates, batches) - best, excess, rtol=1e-6)
    rate, batch = answer["learning_rate"]["value"], answer["batch_size_tokens"]["value"]
    grid = np.exp(np.linspace(-6, 6, 4001))
    within = grid[losses(joint, rate * grid, batch) <= best + excess] * rate
    np.testing.assert_allclose([within.min(), within.max()], found["learning_rate"], rtol=0.01)
    allowed = losses(joint, rate * grid[:, None], batch * grid[None, ::8]).min(axis=0) <= best + excess
    np.testing.assert_allclose(
        [batch * grid[::8][allowed][0], batch * grid[::8][allowed][-1]], found["batch_size_tokens"], rtol=0.03
    )
    for name in ("learning_rate", "batch_size_tokens"):
        for value, (low, high) in zip(found[name], found[f"{name}_intervals"], strict=True):
            assert low < value < high
    largest = found["largest_batch_size_tokens"]
    assert losses(joint, largest["learning_rate"], largest["value"]) == pytest.approx(best + excess)


def test_the_learning_rate_is_the_best_at_the_given_batch(joint: laws.Fit) -> None:
    free = laws.recommend(joint, **TARGET)
    batch = 2.0 * free["batch_size_tokens"]["value"]
    answer = laws.recommend(joint, **TARGET, batch_size_tokens=batch)
    rates = answer["learning_rate"]["value"] * np.exp(np.linspace(-1, 1, 2001))
    assert answer["learning_rate"]["value"] == pytest.approx(rates[np.argmin(losses(joint, rates, batch))], rel=2e-3)
    assert answer["learning_rate"]["value"] != pytest.approx(free["learning_rate"]["value"], rel=0.05)
    assert answer["batch_size_tokens"]["source"] == "given"
    least = losses(joint, answer["learning_rate"]["value"], batch)
    assert answer["loss"]["value"] == pytest.approx(least)
    assert answer["plateau"]["given_up"] == pytest.approx(least - free["loss"]["value"])
    low, high = answer["plateau"]["learning_rate"] or (0, 0)
    edge = free["loss"]["value"] + answer["plateau"]["give_up"]
    if low:
        np.testing.assert_allclose(losses(joint, np.array([low, high]), batch), edge, rtol=1e-6)


def test_at_its_own_batch_nothing_moves(joint: laws.Fit) -> None:
    free = laws.recommend(joint, **TARGET)
    same = laws.recommend(joint, **TARGET, batch_size_tokens=free["batch_size_tokens"]["value"])
    for name in ("learning_rate", "loss"):
        assert same[name]["value"] == pytest.approx(free[name]["value"])
        (low, high), (least, most) = same[name]["interval"], free[name]["interval"]
        assert least <= low * (1 + 1e-9) and high <= most * (1 + 1e-9)  # the error of the best batch is no part of it


def test_a_batch_far_off_allows_no_rate_and_says_so(joint: laws.Fit) -> None:
    answer = laws.recommend(joint, **TARGET, batch_size_tokens=2e6, give_up=1e-4)
    assert answer["plateau"]["learning_rate"] is None and answer["plateau"]["give_up"] == 1e-4
    assert any("outside the plateau" in warning for warning in answer["warnings"])


def test_a_law_of_optima_moves_by_the_square_root_or_by_the_bowl(joint: laws.Fit, rng: np.random.Generator) -> None:
    tuned = laws.fit(simulate("step_law", rng), "step_law", bootstrap=0)
    point = {"n_params": 1e9, "n_tokens": 2e10}
    best = tuned.optimum(**point)
    batch = 4.0 * best["batch_size_tokens"]["value"]
    answer = laws.recommend(tuned, **point, batch_size_tokens=batch)
    assert answer["learning_rate"]["value"] == pytest.approx(2.0 * best["learning_rate"]["value"])
    assert "square-root rule" in answer["learning_rate"]["source"]
    both = laws.recommend([tuned, joint], **point, batch_size_tokens=batch)
    factor = 4.0 ** joint.params["lr_exponent_batch"]
    assert both["learning_rate"]["value"] == pytest.approx(factor * best["learning_rate"]["value"], rel=1e-6)
    edges, own = both["learning_rate"]["interval"], best["learning_rate"]["interval"]
    assert edges[1] / edges[0] > 1 and own[0] is not None


def test_a_rate_law_at_a_given_batch_needs_no_law_of_the_batch(rng: np.random.Generator) -> None:
    rate = laws.fit(simulate("lr_at_batch", rng), "lr_at_batch", bootstrap=0)
    point = {"n_params": 1e9, "n_tokens": 2e10}
    answer = laws.recommend(rate, **point, batch_size_tokens=5e5)
    assert answer["learning_rate"]["value"] == rate.predict(**point, batch_size_tokens=5e5).value
    assert answer["plateau"]["give_up"] is None and answer["plateau"]["source"]


def test_the_largest_batch_alone_from_a_law_of_it(rng: np.random.Generator) -> None:
    edge = laws.fit(simulate("batch_upper_edge", rng), "batch_upper_edge", bootstrap=0)
    answer = laws.recommend(edge, n_params=1e9, n_tokens=2e10)
    expected = edge.predict(n_tokens=2e10).value
    assert answer["plateau"]["largest_batch_size_tokens"]["value"] == pytest.approx(expected)


def test_intervals_of_the_largest_batch_cover_the_truth() -> None:
    give_up = 0.01
    _, batch, _ = TRUE_LAW.optimum(JOINT_TRUTH, **TARGET)
    truth = float(batch[0]) * float(TRUE_LAW.loss_to_setting(JOINT_TRUTH, give_up)["batch_size_tokens"][1])
    ends = []
    for seed in range(25):
        fit = laws.fit(star_table(np.random.default_rng(100 + seed)), "joint", bootstrap=0)
        answer = laws.recommend(fit, **TARGET, give_up=give_up)
        ends.append(answer["plateau"]["largest_batch_size_tokens"]["interval"])
    low, high = np.array(ends, float).T
    assert np.isfinite(low).all()
    assert np.mean((low < truth) & (truth < high)) >= 0.85


@pytest.mark.parametrize(
    ("given", "field"),
    [
        ({"batch_size_tokens": 1e9}, "batch_size_tokens"),
        ({"batch_size_tokens": -1.0}, "batch_size_tokens"),
        ({"give_up": 0.1, "give_up_percent": 1.0}, "give_up"),
        ({"give_up": 0.0}, "give_up"),
        ({"schedule": "cosine"}, "schedule"),
    ],
)
def test_what_contradicts_is_refused(joint: laws.Fit, given: dict, field: str) -> None:
    with pytest.raises(InputError) as caught:
        laws.recommend(joint, **TARGET, **given)
    assert caught.value.field == field
