"""The ladder from a size to a shape."""

from __future__ import annotations

import math

import pytest

from lbscale.count import count_params, decoder_of_size
from lbscale.errors import InputError

SIZES = [10 ** (4 + step / 4) for step in range(25)]  # 1e4 to 1e10


@pytest.mark.parametrize("n_params", SIZES)
def test_decoder_is_near_its_target_and_of_a_usual_shape(n_params: float) -> None:
    model = decoder_of_size(n_params)
    # Layers and steps of the width are whole, which tells most where there are few of them.
    tolerance, narrowest_head = (0.2, 16) if n_params < 3e5 else (0.05, 32)
    assert abs(math.log(count_params(model).non_embedding / n_params)) < tolerance
    assert narrowest_head <= model.head_dim <= 64
    assert 5 <= model.d_model / model.n_layers <= 160
    assert 2.5 <= model.d_ff / model.d_model <= 2.85


def test_larger_targets_give_larger_models() -> None:
    counts = [count_params(decoder_of_size(size)).non_embedding for size in SIZES]
    assert counts == sorted(set(counts))


def test_choices_are_taken_over() -> None:
    model = decoder_of_size(1e5, mlp="gelu", d_ff=256, tied_head=True, vocab_size=1000)
    assert (model.mlp, model.d_ff, model.tied_head, model.vocab_size) == ("gelu", 256, True, 1000)


@pytest.mark.parametrize("n_params", [100.0, 1e15, float("nan")])
def test_sizes_without_a_shape_are_refused(n_params: float) -> None:
    with pytest.raises(InputError, match=r"n_params: .* from 2e3 to 1e12"):
        decoder_of_size(n_params)
