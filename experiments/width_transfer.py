"""Do the best learning rate and decay of a narrow model serve a wide one, under the standard table and under muP?

Byte-level decoders of two layers with heads of width 16, at widths 16 to 128, on the Python standard library: six peak
learning rates a factor 2 apart and two seeds under either parameterisation, whose tables agree at width 32 but for the
head's decay. The two widest standard models, whose best rates are low, get one rate more; at one seed, three of the
rates are run again with ten times the decay. A parabola in ln(learning rate) gives each width's best rate, and the
slope of its logarithm against ln(width) the drift.

Cost: 1.6e13 FLOPs, about four minutes on two cores.
Expect: a best rate that falls with width under the standard table and stays under muP, and one decay that serves all
widths.

Papers: Yang et al. 2022 (muP, arXiv 2203.03466), Everett et al. 2024 (arXiv 2407.05872), Fan et al. 2025 (decay across
widths, arXiv 2510.15262).
"""

from collections.abc import Mapping
from typing import Any

from lbscale import laws, sweep
from lbscale.data import corpus_spec
from lbscale.report.width import transfer_figure
from lbscale.spec import (
    AdamW,
    ConstantBatch,
    Decoder,
    MuP,
    Run,
    Standard,
    WarmupStableDecay,
    WeightDecay,
    fraction,
    run_key,
)

WIDTHS = (16, 32, 64, 128)
HEAD_DIM = 16
TABLES = (Standard(), MuP(base_width=32))
RATES = (1e-3, 2e-3, 4e-3, 8e-3, 1.6e-2, 3.2e-2)
SEEDS = (0, 1)
DECAYS = (0.1, 1.0)


def decoder(d_model: int, parameterization: Standard | MuP) -> Decoder:
    """Width alone changes: the feed-forward width and the number of heads go with it, depth and head width stay."""
    return Decoder(
        d_model=d_model, n_layers=2, n_heads=d_model // HEAD_DIM, d_ff=5 * d_model // 2,
        parameterization=parameterization,
    )  # fmt: skip


def runs() -> list[Run]:
    """Every rate at both seeds with the usual decay, the middle rates at one seed with ten times as much."""
    base = {
        "data": corpus_spec(seq_len=64),
        "schedule": WarmupStableDecay(decay_tokens=fraction(0.3), warmup_tokens=8_192),
        "batch": ConstantBatch(128),
        "n_tokens": 131_072,
    }
    models = [decoder(width, table) for width in WIDTHS for table in TABLES]
    wide = [decoder(width, Standard()) for width in WIDTHS[2:]]
    usual, strong = (AdamW(weight_decay=WeightDecay(coefficient)) for coefficient in DECAYS)
    seeds = sweep.zip(init_seed=SEEDS, data_seed=SEEDS)
    return sweep.chain(
        sweep.product({**base, "optimizer": usual}, seeds, model=models, learning_rate=RATES),
        sweep.product({**base, "optimizer": usual}, seeds, model=wide, learning_rate=[RATES[0] / 2]),
        sweep.product({**base, "optimizer": strong}, seeds[:1], model=models, learning_rate=RATES[2:5]),
    )


def labelled(table: Any) -> Any:
    """The run table with `coefficient`, of weight decay, which tells arms of one parameterisation apart."""
    by_key = {run_key(run): run for run in runs()}
    return table.assign(coefficient=[by_key[key].optimizer.weight_decay.coefficient for key in table["key"]])


def answer(table: Any) -> dict[str, Any]:
    """By parameterisation: the best rate of every width and seed, the drift, and the loss given up by transferring."""
    usual = labelled(table).query(f"coefficient == {DECAYS[0]}")
    return {
        kind: laws.learning_rate_transfer(rows, replicate="init_seed")
        for kind, rows in usual.groupby("parameterization", sort=False)
    }


def decay_effect(table: Any) -> Any:
    """Loss with ten times the decay less loss with the usual one, in nats per token, at the same rate and seed."""
    axes = ["parameterization", "d_model", "learning_rate"]
    first = labelled(table).query(f"init_seed == {SEEDS[0]}")
    wide = first.pivot(index=axes, columns="coefficient", values="loss")
    return (wide[DECAYS[1]] - wide[DECAYS[0]]).dropna().rename("loss_difference").reset_index()


def figures(table: Any, fits: Mapping[str, Any]) -> dict[str, Any]:
    """Loss against learning rate at every width, with the fitted bests."""
    usual = labelled(table).query(f"coefficient == {DECAYS[0]}")
    return {"width_transfer": transfer_figure(usual, answer(table))}


if __name__ == "__main__":
    import sys

    from lbscale.cli import main

    raise SystemExit(main(["run", __file__, *sys.argv[1:]]))
