"""A training step's speed against width, beside the same model in Flax Linen with optax, in the same process.

Forward, backward and update on one device with all cores that the process may use (`--cores` takes some away). Each
side has its own best micro-batch; the peer also its better attention and its better loop over updates. The settings
take turns. FLOPs are those of `lbscale.count`; the machine's peak is a large float32 matrix product on the same device.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import linen_peer
import numpy as np
from lanes import Setting
from measuring import Row, bar, interleaved, machine, note, parser, show, summary, versions

from lbscale import data
from lbscale.count import count_params, training_flops_per_token
from lbscale.data import corpus_spec
from lbscale.parallel import keep_compilations
from lbscale.plan import Layout
from lbscale.spec import Decoder

N_LAYERS = 4
BATCH_SIZE_TOKENS = 1024
BAR = 1.2
SIDES = ("lbscale", "linen")
PEER_FORMS = (("einsum", "scan"), ("dot_product_attention", "scan"), ("einsum", "loop"))


class Key(NamedTuple):
    """What names a setting; the peer has a form of attention and a loop over updates besides its micro-batch."""

    side: str
    micro_batch_tokens: int
    attention: str = ""
    loop: str = ""


def decoder(d_model: int) -> Decoder:
    """The shape at a width: heads of up to 64, and the feed-forward width that the ladder gives."""
    return Decoder(d_model=d_model, n_layers=N_LAYERS, n_heads=max(1, d_model // 64), d_ff=8 * round(d_model / 3))


def matmul_peak(n: int = 2048, repeats: int = 5) -> float:
    """FLOP/s of the fastest of a few float32 products of n x n matrices."""
    a = jax.random.normal(jax.random.key(0), (n, n))
    product = jax.jit(jnp.matmul)
    seconds = []
    for _ in range(repeats + 1):
        began = time.perf_counter()
        product(a, a).block_until_ready()
        seconds.append(time.perf_counter() - began)
    return 2 * n**3 / min(seconds[1:])


def lbscale_setting(model: Decoder, seq_len: int, micro_batch_tokens: int, n_updates: int) -> Callable[[], float]:
    """Seconds of `n_updates` updates of one lane."""
    n_steps = n_updates * BATCH_SIZE_TOKENS // micro_batch_tokens
    layout = Layout(1, micro_batch_tokens, 1, chunk_steps=n_steps)
    return Setting(model, layout, n_steps, seq_len=seq_len, batch_size_tokens=BATCH_SIZE_TOKENS).advance


def peer_setting(model: Decoder, seq_len: int, n_updates: int, key: Key) -> Callable[[], float]:
    """Seconds of `n_updates` updates of the peer."""
    module = linen_peer.Decoder(
        model.d_model, model.n_layers, model.n_heads, model.d_ff, model.vocab_size, attention=key.attention
    )
    rows = data.load(corpus_spec(seq_len=seq_len)).train
    arrays = linen_peer.Batch(rows.tokens_RT, rows.targets_RT, rows.starts_RT, rows.segments_RT > 0)
    index_SB = np.random.default_rng(0).integers(0, len(rows), (n_updates, BATCH_SIZE_TOKENS // seq_len))
    if key.loop == "scan":
        arrays, index_SB = jax.device_put((arrays, index_SB))
    train = linen_peer.TRAINERS[key.loop](module, BATCH_SIZE_TOKENS // key.micro_batch_tokens)
    rate = linen_peer.warmup_stable_decay(1e-3, 100 * n_updates * BATCH_SIZE_TOKENS, BATCH_SIZE_TOKENS, 8192)
    states = [linen_peer.create_state(module, 0, seq_len, rate)]

    def advance() -> float:
        began = time.perf_counter()
        states.append(jax.block_until_ready(train(states.pop(), arrays, index_SB)))
        return time.perf_counter() - began

    advance()
    return advance


def measure(d_model: int, seq_len: int, sizes: list[int], seconds: float, repeats: int, peak: float) -> list[Row]:
    """A row for each setting at a width, the fastest of each side marked `best`."""
    model = decoder(d_model)
    flops = training_flops_per_token(model, seq_len)
    # Calls of about the same duration at every width, at a guess of a sixth of the peak.
    n_updates = max(2, round(seconds * peak / 6 / flops / BATCH_SIZE_TOKENS))
    settings: dict[Key, Callable[[], float]] = {}
    for size in sizes:
        settings[Key("lbscale", size)] = lbscale_setting(model, seq_len, size, n_updates)
        for attention, loop in PEER_FORMS:
            key = Key("linen", size, attention, loop)
            settings[key] = peer_setting(model, seq_len, n_updates, key)
    note(f"width {d_model}, rows of {seq_len}: {len(settings)} settings, {n_updates} updates a call")
    kept = _fastest(settings, 2)
    taken = interleaved([settings[key] for key in kept], repeats)
    speeds = {key: n_updates * BATCH_SIZE_TOKENS / seconds for key, seconds in zip(kept, taken, strict=True)}
    best = {side: max((k for k in kept if k.side == side), key=lambda k: np.median(speeds[k])) for side in SIDES}
    rows = []
    for key, speed in speeds.items():
        tokens = summary(speed, "tokens_per_second")
        ratio = speed / speeds[best["linen"]]
        rows.append({
            "trainer": key.side, "d_model": d_model, "seq_len": seq_len, "n_params": count_params(model).total,
            "micro_batch_tokens": key.micro_batch_tokens, "attention": key.attention, "loop": key.loop, **tokens,
            "gflops_per_second": tokens["tokens_per_second"] * flops / 1e9,
            "share_of_matmul_peak": tokens["tokens_per_second"] * flops / peak,
            "ratio_to_peer": float(np.median(ratio)), "ratio_spread": [float(ratio.min()), float(ratio.max())],
            "best": key == best[key.side],
        })  # fmt: skip
    return rows


def _fastest(settings: dict[Key, Callable[[], float]], n_kept: int) -> list[Key]:
    """The `n_kept` fastest settings of each side, by the better of two turns."""
    seconds = {key: min(taken) for key, taken in zip(settings, interleaved([*settings.values()], 2), strict=True)}
    sides = [sorted((key for key in settings if key.side == side), key=lambda key: seconds[key]) for side in SIDES]
    return [key for side in sides for key in side[:n_kept]]


def line(row: Row) -> str:
    """A row as text."""
    low, high = row["spread"]
    form = f", {row['attention']}, {row['loop']}" if row["loop"] else ""
    return (
        f"{'*' if row['best'] else ' '} width {row['d_model']:>3}, rows of {row['seq_len']}, {row['trainer']:7} "
        f"{row['tokens_per_second']:>8,.0f} tokens/s ({low:,.0f} to {high:,.0f}), "
        f"{row['share_of_matmul_peak']:.1%} of the peak, {row['ratio_to_peer']:.2f}x the peer "
        f"(micro-batch {row['micro_batch_tokens']}{form})"
    )


def main() -> None:
    """Measure, and print a table or one JSON document."""
    options_parser = parser(__doc__, "two widths, fewer micro-batches and repeats")
    options_parser.add_argument("--widths", type=int, nargs="+")
    options_parser.add_argument("--seq-len", type=int, default=256)
    options_parser.add_argument("--micro-batch-tokens", type=int, nargs="+")
    options_parser.add_argument("--cores", type=int, help="cores the process may use; default: all")
    options = options_parser.parse_args()
    if options.cores:
        os.sched_setaffinity(0, set(sorted(os.sched_getaffinity(0))[: options.cores]))
    widths = options.widths or ([32, 128] if options.quick else [32, 64, 128, 256])
    sizes = options.micro_batch_tokens or ([256] if options.quick else [256, 512, 1024])
    keep_compilations()
    peak = matmul_peak()
    repeats, seconds = (5, 0.2) if options.quick else (9, 0.4)
    rows = [
        row for width in widths for row in measure(width, options.seq_len, sorted(set(sizes)), seconds, repeats, peak)
    ]
    peer = versions("flax", "optax", "jax")
    facts: dict[str, Any] = {"matmul_gflops_per_second": peak / 1e9, "peer": f"Linen decoder, optax.adamw ({peer})"}
    bars = [
        bar(f"lbscale over Linen, width {row['d_model']}", row["ratio_to_peer"], BAR)
        for row in rows
        if row["best"] and row["trainer"] == "lbscale"
    ]
    show(machine(**facts), rows, bars, line, options.json)


if __name__ == "__main__":
    main()
