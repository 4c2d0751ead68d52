"""Conventions: what follows from the table is converted, what is mixed is refused, and exponents are shown for both."""

from __future__ import annotations

import numpy as np
import pytest
from laws_tables import surface_table

from lbscale import laws
from lbscale.errors import InputError
from lbscale.laws.by_convention import convention_lines
from lbscale.laws.conventions import count_flops, count_params, counted


def test_sequences_become_tokens_where_their_length_is_given(rng):
    table = surface_table(rng)
    expected = laws.fit(table, "chinchilla", bootstrap=0).params
    counted_in = table.assign(n_sequences=table.n_tokens / 2048).drop(columns="n_tokens")
    for name in ("seq_len", "seq_len_tokens"):
        found = laws.fit(counted_in.assign(**{name: 2048}), "chinchilla", bootstrap=0).params
        assert found == pytest.approx(expected)
    with pytest.raises(InputError, match="n_sequences: add a column seq_len"):
        laws.fit(counted_in, "chinchilla")
    read = laws.read_table(table.assign(batch_size_sequences=8, seq_len=128))
    assert (read.batch_size_tokens == 1024).all()
    both = laws.read_table(table.assign(batch_size_sequences=8, seq_len=128, batch_size_tokens=7))
    assert (both.batch_size_tokens == 7).all()


def test_flops_are_exact_or_6nd_and_never_both(rng):
    table = surface_table(rng)
    six, said = count_flops(table)
    assert said == "6ND"
    np.testing.assert_allclose(six.train_flops, 6 * table.n_params * table.n_tokens)
    exact = table.assign(train_flops=1e20)
    assert count_flops(exact)[1] == "exact"
    assert count_flops(exact, "6ND")[0].train_flops.tolist() == six.train_flops.tolist()
    with pytest.raises(InputError, match="do not mix"):
        count_flops(exact.assign(train_flops=exact.train_flops.where(exact.index > 3)))
    with pytest.raises(InputError, match="add it, or use 6ND"):
        count_flops(table, "exact")
    with pytest.raises(InputError, match="no column n_tokens"):
        count_flops(table.drop(columns="n_tokens"))
    with pytest.raises(InputError, match="allowed: 6ND, exact"):
        count_flops(table, "6nd")


def test_the_only_count_of_a_table_is_used(rng):
    table = surface_table(rng)
    total = table.rename(columns={"n_params": "n_params_total"})
    frame, said = count_params(total, None)
    assert said == "total" and (frame.n_params == table.n_params).all()
    with pytest.raises(InputError, match="--params-convention total or active"):
        laws.fit(total.assign(n_params_active=1.0), "chinchilla")
    assert counted(table) == [] and counted(total) == ["total"]
    assert counted(total.assign(n_params=1.0, params_convention="non_embedding")) == ["total", "non_embedding"]


def test_exponents_are_shown_under_both_counts(rng):
    """With embeddings of n^(1/2) weights, loss follows the total: its exponent is the planted one, the other is not."""
    table = surface_table(rng, 200, noise=0.001)
    total = table.n_params
    both = table.assign(n_params_total=total, n_params=total - 0.9 * total**0.9, params_convention="non_embedding")
    found = laws.by_convention(both, "chinchilla", bootstrap=20)
    assert list(found) == ["total", "non_embedding"]
    for name, exponents in found.items():
        single = laws.fit(both, "chinchilla", params_convention=name, bootstrap=20)
        assert exponents["alpha"]["value"] == single.params["alpha"]
        assert exponents["alpha"]["interval"] == single.interval["alpha"]
        assert exponents["exponent_n_params_of_flops"]["value"] == single.derived["exponent_n_params_of_flops"]["value"]
    assert abs(found["total"]["alpha"]["value"] - 0.35) < abs(found["non_embedding"]["alpha"]["value"] - 0.35)
    lines = convention_lines(found)
    assert len(lines) == 2 and "by total params: alpha 0.35" in lines[0]
    assert laws.by_convention(table, "chinchilla") == {}


def test_params_beside_a_total_count_are_non_embedding(rng):
    table = surface_table(rng, 30)
    both = table.assign(n_params_total=table.n_params + 1e7)
    assert counted(both) == ["total", "non_embedding"]
    assert set(laws.by_convention(both, "chinchilla", bootstrap=0)) == {"total", "non_embedding"}
