"""The ladder: from a number of parameters to a width, depth and heads. A user's own function may stand in its place."""

from __future__ import annotations

import math
from collections.abc import Iterator

from lbscale.count.params import count_params
from lbscale.errors import check
from lbscale.spec import Decoder

_LARGEST_HEAD = 64


def _width_per_layer(n_params: float) -> float:
    """d_model / n_layers: 18 at 1e5 params, 64 at 1.25e8 and 128 at 1e10, near GPT-3's family (arXiv 2005.14165)."""
    return max(12.0, 18.0 * (n_params / 1e5) ** 0.18)


def _widths() -> Iterator[int]:
    """Steps of 8 while a head may be the whole width, then whole numbers of heads of 32 to 64."""
    yield from range(16, 64, 8)
    yield from range(64, 256, 32)
    yield from range(256, 32_768 + 1, 64)


def decoder_of_size(n_params: float, *, width_per_layer: float | None = None, **choices: object) -> Decoder:
    """The decoder nearest `n_params` non-embedding parameters at about the given width per layer, or the ladder's.

    The feed-forward width is 8/3 of the model's, in steps of 8, so that a layer holds about 12 d_model^2. `choices` are
    further Decoder fields. Raises InputError outside 2e3 to 1e12 parameters.
    """
    check(2e3 <= n_params <= 1e12, "n_params", n_params, "from 2e3 to 1e12 non-embedding parameters is allowed")
    check(width_per_layer is None or width_per_layer > 0, "width_per_layer", width_per_layer, "a positive number")
    target = width_per_layer or _width_per_layer(n_params)

    def cost(model: Decoder) -> float:
        size_error = abs(math.log(count_params(model).non_embedding / n_params))
        return size_error + 0.2 * abs(math.log(model.d_model / model.n_layers / target))

    models = (_decoder(d_model, max(1, round(n_params / (12 * d_model**2))), choices) for d_model in _widths())
    return min(models, key=cost)


def _decoder(d_model: int, n_layers: int, choices: dict[str, object]) -> Decoder:
    d_ff = 8 * round(d_model / 3)
    n_heads = next(n for n in range(1, d_model) if d_model % (2 * n) == 0 and d_model // n <= _LARGEST_HEAD)
    fields: dict[str, object] = {"d_model": d_model, "n_layers": n_layers, "n_heads": n_heads, "d_ff": d_ff}
    return Decoder(**{**fields, **choices})  # type: ignore[arg-type]
