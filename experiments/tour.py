"""Which learning rate and batch size does a language model want, and can small models tell one of twice their size?

86 runs of byte-level decoders on the Python standard library: four sizes x three token budgets, each cell a star of
learning rates and batch sizes about the expected optimum, denser at two anchor cells that are also repeated over
three seeds. A joint law (loss surface plus tuning bowl) is fitted to all of them and predicts a larger model; what it
recommends is then trained beside four neighbours.

Cost: about 1.7e13 FLOPs with the follow-up, four minutes on two cores.
Expect: a best learning rate that falls with size and rises with batch, a best batch that grows with tokens, an
irreducible loss that models this small cannot see. The expected optimum below comes from scratch runs at 25 k params.

Papers: Hoffmann et al. 2022 (arXiv 2203.15556), Li et al. 2025 (Step Law, arXiv 2503.04715), Hu et al. 2024 (MiniCPM's
warmup-stable-decay, arXiv 2404.06395).
"""

from collections.abc import Mapping

from lbscale import laws, sweep
from lbscale.count import count_params, decoder_of_size
from lbscale.data import corpus_spec
from lbscale.spec import AdamW, Run, WarmupStableDecay, fraction

SIZES = (14e3, 25e3, 45e3, 83e3)
BUDGETS = (131_072, 393_216, 1_048_576)
ANCHORS = ((14e3, 393_216), (25e3, 131_072))
TARGET_SIZE, TARGET_TOKENS = 150e3, 786_432
LAWS = {"joint": laws.get("joint")}


def base() -> dict:
    """What all runs share. Decay, betas and the warm-up's 20 updates are held constant across batch sizes."""
    return {
        "data": corpus_spec(seq_len=64),
        "optimizer": AdamW(beta1=0.9, beta2=0.95),
        "schedule": WarmupStableDecay(decay_tokens=fraction(0.3), warmup_tokens=8_192, warmup_updates=20),
    }


def expected_optimum(n_params: float, n_tokens: float) -> tuple[float, int]:
    """The centre of a cell's grid: peak learning rate, and batch in tokens as a power of two."""
    return 7e-3 * (n_params / 25e3) ** -0.4, nearest_power_of_two(128 * (n_tokens / 131_072) ** 0.4)


def at_batch(learning_rate: float, factor: float) -> float:
    """The learning rate that goes with a batch `factor` times as large: the square-root rule."""
    return learning_rate * factor**0.5


def star(n_params: float, n_tokens: int) -> list[dict]:
    """The centre, three times the learning rate either way, and four times the batch either way, not below one row."""
    rate, batch = expected_optimum(n_params, n_tokens)
    smaller = max(64, batch // 4)
    return sweep.zip(
        learning_rate=[rate, rate / 3, rate * 3, at_batch(rate, 4), at_batch(rate, smaller / batch)],
        batch_size_tokens=[batch, batch, batch, 4 * batch, smaller],
    )


def dense(n_params: float, n_tokens: int) -> list[dict]:
    """Learning rates at four and sixteen times the batch, from which the rule between the two can be read."""
    rate, batch = expected_optimum(n_params, n_tokens)
    large, largest = at_batch(rate, 4), at_batch(rate, 16)
    return sweep.zip(
        learning_rate=[large / 2.5, large * 2.5, largest, largest * 2.5, rate * 6],
        batch_size_tokens=[4 * batch, 4 * batch, 16 * batch, 16 * batch, batch],
    )


def runs() -> list[Run]:
    """The whole study; a cell has a seed of its own, so that cells err independently, and anchors have three."""
    shared = base()
    listed: list[Run] = []
    cells = [(size, budget) for size in SIZES for budget in BUDGETS]
    for seed, (size, budget) in enumerate(cells):
        anchor = (size, budget) in ANCHORS
        points = star(size, budget) + (dense(size, budget) if anchor else [])
        for repeat in range(3 if anchor else 1):
            listed += sweep.product(
                shared, points if repeat == 0 else points[:4],
                model=[decoder_of_size(size)], n_tokens=[budget],
                init_seed=[seed + 100 * repeat], data_seed=[seed + 100 * repeat],
            )  # fmt: skip
    return listed


def follow_up(fits: Mapping[str, laws.Fit]) -> list[Run]:
    """The recommendation for a model larger than any trained, and half and double its learning rate and batch."""
    model = decoder_of_size(TARGET_SIZE)
    best = fits["joint"].optimum(n_params=count_params(model).non_embedding, n_tokens=TARGET_TOKENS)
    batch = nearest_power_of_two(best["batch_size_tokens"]["value"])
    # The best learning rate at the batch that is trained, which rounding has moved off the best batch.
    moved = (batch / best["batch_size_tokens"]["value"]) ** fits["joint"].params["lr_exponent_batch"]
    rate = float(f"{best['learning_rate']['value'] * moved:.3g}")
    points = sweep.zip(
        learning_rate=[rate, rate / 2, rate * 2, rate, rate],
        batch_size_tokens=[batch, batch, batch, batch // 2, batch * 2],
    )
    return sweep.product(base(), points, model=[model], n_tokens=[TARGET_TOKENS], init_seed=[1_000], data_seed=[1_000])


def nearest_power_of_two(batch_size_tokens: float) -> int:
    """In tokens, from 128 to 4,096, so that half of it is still a row."""
    return min((2**k for k in range(7, 13)), key=lambda size: abs(size / batch_size_tokens - 1))


if __name__ == "__main__":
    import sys

    from lbscale.cli import main

    raise SystemExit(main(["run", __file__, *sys.argv[1:]]))
