"""What a layer computes again changes what is held, and no loss or gradient."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from lbscale import model as models
from lbscale.errors import InputError
from lbscale.model import decoder as decoder_module
from lbscale.parallel import machine_layout
from lbscale.plan import Layout
from lbscale.spec import Decoder, FlaxModel

FIELDS: dict[str, Any] = {"d_model": 16, "n_layers": 2, "n_heads": 2, "d_ff": 24, "vocab_size": 19}


def loss_and_gradient(model: Any, remat: str) -> tuple[np.ndarray, list[np.ndarray]]:
    params = models.init(model, jax.random.key(0))
    tokens_BT = jax.random.randint(jax.random.key(1), (2, 12), 0, model.vocab_size)
    starts_BT = jnp.asarray([[0] * 5 + [5] * 7, [0] * 12], jnp.int32)

    def loss(params: Any) -> jax.Array:
        return jnp.sum(models.loss_terms(model, params, tokens_BT, tokens_BT[:, ::-1], starts_BT, remat=remat)[0])

    value, gradient = jax.jit(jax.value_and_grad(loss))(params)
    return np.asarray(value), jax.tree.leaves(jax.device_get(gradient))


@pytest.mark.parametrize("remat", ["dots", "full"])
@pytest.mark.parametrize("is_scanned", [False, True])
def test_a_decoder_is_the_same_under_every_policy(
    remat: str, is_scanned: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(decoder_module, "_MAX_UNROLLED_LAYERS", 0 if is_scanned else 8)
    plain, again = (loss_and_gradient(Decoder(**FIELDS), name) for name in ("none", remat))
    np.testing.assert_allclose(again[0], plain[0], rtol=1e-6)
    for a, b in zip(again[1], plain[1], strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-5 * np.abs(b).max())


def test_dots_multiplies_with_weights_once_and_full_again() -> None:
    model = Decoder(**FIELDS)
    params = models.init(model, jax.random.key(0))
    rows_BT = jnp.zeros((2, 12), jnp.int32)

    def products(remat: str) -> int:
        loss = lambda params: jnp.sum(models.loss_terms(model, params, rows_BT, rows_BT, rows_BT, remat=remat)[0])
        return str(jax.make_jaxpr(jax.grad(loss))(params)).count("dot_general")

    # Six of a layer's seven are made again: nothing reads what the last one, `down`, returns.
    assert products("full") - products("dots") == 6


def test_bfloat16_is_near_float32_under_every_policy() -> None:
    exact, _ = loss_and_gradient(Decoder(**FIELDS), "none")
    for remat in ("none", "full"):
        value, gradient = loss_and_gradient(Decoder(**FIELDS, compute_dtype="bfloat16"), remat)
        np.testing.assert_allclose(value, exact, rtol=2**-7)  # bfloat16 rounds to 8 bits
        assert all(leaf.dtype == np.float32 and np.isfinite(leaf).all() for leaf in gradient)


@pytest.mark.parametrize("name", ["LINEN", "NNX"])
def test_a_flax_module_recomputes_as_a_whole_all_but_its_products(name: str) -> None:
    model = FlaxModel(path=f"flax_examples:{name}", version="1", arguments={"width": 16})
    models.check_model(model, 12, "dots")
    plain, again = (loss_and_gradient(model, remat) for remat in ("none", "dots"))
    np.testing.assert_allclose(again[0], plain[0], rtol=1e-6)
    for a, b in zip(again[1], plain[1], strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-5 * np.abs(b).max())
    with pytest.raises(InputError, match="remat: 'full' cannot be used; none or dots is needed for a Flax module"):
        models.check_model(model, 12, "full")


def test_an_unknown_policy_is_refused_by_name() -> None:
    with pytest.raises(InputError, match="remat: 'ful' cannot be used; did you mean 'full'"):
        Layout(1, 64, 1, remat="ful")
    with pytest.raises(InputError, match="remat: 'all'"):
        machine_layout(remat="all")
