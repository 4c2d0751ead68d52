"""The decoder against a float64 transcription, its parameter table, and its precision."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from lbscale import model as models
from lbscale.model import decoder as decoder_module
from lbscale.model import parameter_table
from lbscale.spec import Decoder

VARIANTS = [
    Decoder(d_model=16, n_layers=2, n_heads=2, d_ff=24, vocab_size=19),
    Decoder(d_model=16, n_layers=2, n_heads=4, n_kv_heads=2, d_ff=24, vocab_size=19, mlp="gelu", qk_norm=False),
    Decoder(d_model=24, n_layers=1, n_heads=3, n_kv_heads=1, d_ff=40, vocab_size=19, tied_head=True),
]


def rows(vocab_size: int = 19) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Two rows of 12 positions, the first holding two documents."""
    rng = np.random.default_rng(1)
    tokens, targets = rng.integers(0, vocab_size, (2, 2, 12))
    starts = np.array([[0] * 5 + [5] * 7, [0] * 12], np.int32)
    return tokens, targets, starts


def random_params(model: Decoder) -> Any:
    """Parameters with every leaf random, gains too, so that each of them matters."""
    params = models.init(model, jax.random.key(0))
    leaves, treedef = jax.tree.flatten(params)
    rng = np.random.default_rng(2)
    return jax.tree.unflatten(treedef, [leaf + 0.1 * rng.normal(size=leaf.shape).astype(np.float32) for leaf in leaves])


def norm64(x: np.ndarray, gain: np.ndarray) -> np.ndarray:
    return x / np.sqrt(np.mean(x**2, axis=-1, keepdims=True) + 1e-6) * gain


def rotate64(x: np.ndarray, positions: np.ndarray, base: float) -> np.ndarray:
    """Rotary pairs as complex numbers: (a + ib) exp(i position frequency)."""
    half = x.shape[-1] // 2
    angle = positions[:, None, None] * base ** (-np.arange(half) / half)
    turned = (x[..., :half] + 1j * x[..., half:]) * np.exp(1j * angle)
    return np.concatenate([turned.real, turned.imag], axis=-1)


def losses64(model: Decoder, params: Any, tokens: np.ndarray, targets: np.ndarray, starts: np.ndarray) -> np.ndarray:
    """Cross-entropy of one row, written position by position in float64."""
    weights = jax.tree.map(lambda leaf: np.asarray(leaf, np.float64), params)
    positions = np.arange(len(tokens)) - starts
    x = weights["embedding"][tokens]
    for i in range(model.n_layers):
        layer = {name: leaf[i] for name, leaf in weights["layers"].items()}
        h = norm64(x, layer["attention_norm"])
        q, k, v = (
            (h @ layer[name]).reshape(len(tokens), heads, model.head_dim)
            for name, heads in (("query", model.n_heads), ("key", model.kv_heads), ("value", model.kv_heads))
        )
        if model.qk_norm:
            q, k = norm64(q, layer["query_norm"]), norm64(k, layer["key_norm"])
        q, k = rotate64(q, positions, model.rope_base), rotate64(k, positions, model.rope_base)
        out = np.zeros_like(q)
        for t in range(len(tokens)):
            for head in range(model.n_heads):
                group = head // (model.n_heads // model.kv_heads)
                seen = slice(starts[t], t + 1)
                scores = np.exp(k[seen, group] @ q[t, head] / np.sqrt(model.head_dim))
                out[t, head] = scores @ v[seen, group] / scores.sum()
        x = x + out.reshape(len(tokens), -1) @ layer["out"]
        h = norm64(x, layer["mlp_norm"])
        up = h @ layer["up"]
        if model.mlp == "gelu":
            inner = 0.5 * up * (1 + np.tanh(np.sqrt(2 / np.pi) * (up + 0.044715 * up**3)))
        else:
            gate = h @ layer["gate"]
            inner = gate / (1 + np.exp(-gate)) * up
        x = x + inner @ layer["down"]
    head = weights["embedding"].T if model.tied_head else weights["head"]
    logits = norm64(x, weights["final_norm"]) @ head
    return np.log(np.exp(logits).sum(axis=-1)) - logits[np.arange(len(tokens)), targets]


@pytest.mark.parametrize("model", VARIANTS)
def test_loss_equals_the_transcription(model: Decoder) -> None:
    params, (tokens, targets, starts) = random_params(model), rows()
    loss, _ = models.loss_terms(model, params, *map(jnp.asarray, (tokens, targets, starts)))
    for row in range(2):
        expected = losses64(model, params, tokens[row], targets[row], starts[row])
        np.testing.assert_allclose(loss[row], expected, rtol=2e-5, atol=2e-5)


@pytest.mark.parametrize("model", VARIANTS)
def test_gradient_equals_differences_of_the_transcription(model: Decoder) -> None:
    params, (tokens, targets, starts) = random_params(model), rows()
    arrays = [jnp.asarray(a) for a in (tokens, targets, starts)]
    gradient = jax.grad(lambda p: jnp.sum(models.loss_terms(model, p, *arrays)[0]))(params)
    rng = np.random.default_rng(3)
    direction = jax.tree.map(lambda leaf: rng.normal(size=leaf.shape), params)

    def along(step: float) -> float:
        moved = jax.tree.map(lambda leaf, d: np.asarray(leaf, np.float64) + step * d, params, direction)
        return sum(losses64(model, moved, tokens[r], targets[r], starts[r]).sum() for r in range(2))

    expected = (along(1e-5) - along(-1e-5)) / 2e-5
    slope = sum(jax.tree.leaves(jax.tree.map(lambda g, d: np.sum(np.asarray(g, np.float64) * d), gradient, direction)))
    assert slope == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize("model", VARIANTS)
def test_the_table_lists_exactly_the_leaves_of_init(model: Decoder) -> None:
    params = models.init(model, jax.random.key(0))
    leaves = {"/".join(p.key for p in path): leaf.shape for path, leaf in jax.tree_util.tree_leaves_with_path(params)}
    assert leaves == {entry.path: entry.shape for entry in parameter_table(model)}


def test_init_has_the_standard_deviations_of_the_table() -> None:
    model = Decoder(d_model=128, n_layers=4, n_heads=4, d_ff=344)
    params = models.init(model, jax.random.key(5))
    for entry in parameter_table(model):
        group, _, name = entry.path.rpartition("/")
        leaf = np.asarray((params[group] if group else params)[name])
        if entry.init_std:
            assert leaf.std() == pytest.approx(entry.init_std, rel=0.02)
        else:
            assert np.all(leaf == 1)


def test_a_document_is_predicted_as_if_it_stood_alone() -> None:
    model = VARIANTS[0]
    params, (tokens, targets, starts) = random_params(model), rows()
    packed, _ = models.loss_terms(model, params, *map(jnp.asarray, (tokens, targets, starts)))
    alone = [jnp.asarray(a[:1, 5:]) for a in (tokens, targets)]
    loss, _ = models.loss_terms(model, params, *alone, jnp.zeros((1, 7), jnp.int32))
    np.testing.assert_allclose(packed[0, 5:], loss[0], rtol=1e-5)


def test_a_token_of_one_document_has_no_gradient_from_another() -> None:
    model = VARIANTS[0]
    params, (_, targets, starts) = random_params(model), rows()
    tokens = np.array([[0, 1, 2, 3, 4, 10, 11, 12, 13, 14, 15, 16]] * 2)

    def second(p: Any) -> jax.Array:
        return jnp.sum(models.loss_terms(model, p, *map(jnp.asarray, (tokens, targets, starts)))[0][0, 5:])

    gradient = np.asarray(jax.grad(second)(params)["embedding"])
    assert np.all(gradient[:5] == 0)
    assert np.all(np.abs(gradient[10:17]).sum(axis=1) > 0)


def test_scanned_and_unrolled_layers_agree(monkeypatch: pytest.MonkeyPatch) -> None:
    model = Decoder(d_model=16, n_layers=5, n_heads=2, d_ff=24, vocab_size=19)
    params, arrays = random_params(model), [jnp.asarray(a) for a in rows()]

    def loss_and_gradient() -> Any:
        return jax.value_and_grad(lambda p: jnp.sum(models.loss_terms(model, p, *arrays)[0]))(params)

    unrolled = loss_and_gradient()
    monkeypatch.setattr(decoder_module, "_MAX_UNROLLED_LAYERS", 0)
    for a, b in zip(jax.tree.leaves(unrolled), jax.tree.leaves(loss_and_gradient()), strict=True):
        np.testing.assert_allclose(a, b, rtol=2e-4, atol=2e-5)


def test_bfloat16_compute_is_near_float32_and_keeps_float32_gradients() -> None:
    fields = {"d_model": 32, "n_layers": 2, "n_heads": 2, "d_ff": 64, "vocab_size": 19}
    full, half = Decoder(**fields), Decoder(**fields, compute_dtype="bfloat16")
    params, arrays = models.init(full, jax.random.key(0)), [jnp.asarray(a) for a in rows()]
    exact, _ = models.loss_terms(full, params, *arrays)
    rounded, _ = models.loss_terms(half, params, *arrays)
    assert rounded.dtype == jnp.float32
    np.testing.assert_allclose(rounded, exact, rtol=3e-2)
    gradient = jax.grad(lambda p: jnp.sum(models.loss_terms(half, p, *arrays)[0]))(params)
    assert {leaf.dtype for leaf in jax.tree.leaves(gradient)} == {jnp.dtype("float32")}
