"""A sweep of 24 runs of one small shape: lanes, one lane after another, and a process a run with a plain trainer.

Wall time of everything from Python's start to the last loss: imports, compilation, training, evaluation. The peer is
`linen_peer.py`, which trains the same model on the same rows; it gets both cores in the better of two ways, one process
at a time with XLA's threads, or a process pinned to each core. Beside it stands the same with jax's compilation cache
warm. lbscale starts with an empty cache, measures curves on the way and writes its store, as `lbscale run` does.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from measuring import Row, bar, machine, note, parser, show, versions

from lbscale import data, sweep
from lbscale.clock import row_indices
from lbscale.count import count_params, decoder_of_size
from lbscale.data import corpus_spec
from lbscale.spec import AdamW, Run, WarmupStableDecay, fraction, run_key

SIZE = 25e3
SEQ_LEN, BATCH_SIZE_TOKENS, WARMUP_TOKENS = 64, 256, 8192
RATES, SEEDS = tuple(float(rate) for rate in np.geomspace(1e-3, 3e-2, 8)), (0, 1, 2)
N_RUNS = len(RATES) * len(SEEDS)
# Row positions of a run: about 1 and 10 seconds of the peer's training on two cores.
LENGTHS = {"short": 131_072, "long": 1_310_720}
BARS = {"short": 5.0, "long": 1.5}
HERE = Path(__file__).parent


def runs(n_tokens: int) -> list[Run]:
    """The sweep: learning rates x seeds of the initial weights, all on the same rows in the same order."""
    schedule = WarmupStableDecay(decay_tokens=fraction(0.3), warmup_tokens=WARMUP_TOKENS)
    base = {"model": decoder_of_size(SIZE), "data": corpus_spec(seq_len=SEQ_LEN), "optimizer": AdamW()}
    axes: dict[str, Sequence[Any]] = {"learning_rate": RATES, "init_seed": SEEDS}
    fixed: dict[str, Sequence[Any]] = {"n_tokens": [n_tokens], "batch_size_tokens": [BATCH_SIZE_TOKENS]}
    return sweep.product(base | {"schedule": schedule}, **fixed, **axes)


def train_lbscale(n_tokens: int, arm: str, micro_batch_tokens: int | None) -> None:
    """What a subprocess does for lbscale: all runs as lanes over the devices, or in one lane on one device."""
    from lbscale.execute import execute
    from lbscale.parallel import keep_compilations, machine_layout, one_device_per_core
    from lbscale.plan import make_plan
    from lbscale.store import Store

    keep_compilations()
    if arm == "lanes":
        one_device_per_core()
    layout = machine_layout()
    if micro_batch_tokens:
        layout = replace(layout, micro_batch_tokens=micro_batch_tokens, large_micro_batch_tokens=None)
    began = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        every = runs(n_tokens)
        progress = list(execute(make_plan(every, layout), layout, Store(Path(folder))))
    seconds = (time.perf_counter() - began) / N_RUNS
    losses = {run_key(run): result.loss for step in progress for run, result in step.finished}
    print(json.dumps({"losses": [losses[run_key(run)] for run in every], "training_seconds": seconds}))


def _start(command: Sequence[str], environment: Mapping[str, str], core: int | None = None) -> subprocess.Popen[str]:
    pin = None if core is None else (lambda: os.sched_setaffinity(0, {core}))
    arguments: dict[str, Any] = {"env": {**os.environ, **environment}, "stdout": subprocess.PIPE, "text": True}
    return subprocess.Popen([sys.executable, *command], preexec_fn=pin, **arguments)


def _result(process: subprocess.Popen[str]) -> Row:
    output, _ = process.communicate()
    if process.returncode:
        raise SystemExit(f"{' '.join(map(str, process.args))} failed")
    return dict(json.loads(output.splitlines()[-1]))


def chosen(n_measured: int) -> range:
    """Which runs the peer trains when it does not train all."""
    return range(0, N_RUNS, N_RUNS // n_measured)[:n_measured]


def lbscale_row(arm: str, n_tokens: int, n_compared: int, micro_batch_tokens: int | None, cache: str) -> Row:
    """All runs by lbscale in one process; the loss is that of the runs which the peer trains."""
    command = [str(HERE / "sweep.py"), "--arm", arm, "--n-tokens", str(n_tokens)]
    command += ["--micro-batch-tokens", str(micro_batch_tokens)] if micro_batch_tokens else []
    began = time.perf_counter()
    result = _result(_start(command, {"XDG_CACHE_HOME": cache}))
    seconds = time.perf_counter() - began
    losses = [result["losses"][i] for i in chosen(n_compared)]
    return _row(arm, n_tokens, N_RUNS, seconds, [result["training_seconds"]], losses)


def peer_row(
    arm: str, n_tokens: int, rows_file: Path, n_measured: int, at_a_time: int, environment: dict[str, str]
) -> Row:
    """`n_measured` runs by the plain trainer, a process each, `at_a_time` side by side on cores of their own."""
    every = runs(n_tokens)
    wanted = [every[i] for i in chosen(n_measured)]
    cores = sorted(os.sched_getaffinity(0))
    results: list[Row] = []
    began = time.perf_counter()
    for first in range(0, n_measured, at_a_time):
        batch = wanted[first : first + at_a_time]
        pins = [cores[i % len(cores)] if at_a_time > 1 else None for i in range(len(batch))]
        commands = [_peer_command(run, rows_file) for run in batch]
        started = [_start(command, environment, core) for command, core in zip(commands, pins, strict=True)]
        results += [_result(process) for process in started]
    seconds = time.perf_counter() - began
    training, losses = ([result[name] for result in results] for name in ("training_seconds", "loss"))
    return _row(arm, n_tokens, n_measured, seconds, training, losses)


def _peer_command(run: Run, rows_file: Path) -> list[str]:
    model = decoder_of_size(SIZE)
    numbers = {
        "d-model": model.d_model, "n-layers": model.n_layers, "n-heads": model.n_heads, "d-ff": model.d_ff,
        "n-tokens": run.n_tokens, "batch-size-tokens": BATCH_SIZE_TOKENS, "warmup-tokens": WARMUP_TOKENS,
        "seed": run.init_seed, "learning-rate": run.learning_rate,
    }  # fmt: skip
    return [str(HERE / "linen_peer.py"), str(rows_file), *(f"--{name}={value}" for name, value in numbers.items())]


def _row(
    arm: str, n_tokens: int, n_measured: int, seconds: float, training: list[float], losses: list[float | None]
) -> Row:
    row = {
        "arm": arm, "n_tokens": n_tokens, "runs_measured": n_measured, "seconds_per_run": seconds / n_measured,
        "runs_per_hour": 3600 * n_measured / seconds, "training_seconds_per_run": float(np.median(training)),
        "training_spread": [min(training), max(training)],
        "median_loss": float(np.median([np.inf if loss is None else loss for loss in losses])),
    }  # fmt: skip
    note(line(row))
    return row


def write_rows(path: Path, n_tokens: int) -> None:
    """The rows that a run trains on, in its order, and those it is measured on: what a plain trainer would have on
    disk."""
    corpus = data.load(corpus_spec(seq_len=SEQ_LEN))
    train = corpus.train.take(row_indices(0, 0, n_tokens // SEQ_LEN, len(corpus.train)))
    arrays = {}
    for part, rows in (("train", train), ("evaluation", corpus.evaluation)):
        four = (rows.tokens_RT, rows.targets_RT, rows.starts_RT, rows.segments_RT > 0)
        arrays |= {f"{part}_{i}": array for i, array in enumerate(four)}
    np.savez(path, **arrays)


def measure(n_tokens: int, n_measured: int, one_lane_micro_batch_tokens: int | None, with_cache: bool) -> list[Row]:
    """A row an arm at one run length, with ratios to the better peer and to one lane; the last is the lanes'."""
    n_cores = len(os.sched_getaffinity(0))
    with tempfile.TemporaryDirectory() as folder:
        rows_file, cache = Path(folder) / "rows.npz", f"{folder}/cache"
        write_rows(rows_file, n_tokens)
        side_by_side = f"process a run, {n_cores} at a time"
        rows = [
            peer_row("process a run, one at a time", n_tokens, rows_file, n_measured, 1, {}),
            peer_row(side_by_side, n_tokens, rows_file, n_measured, n_cores, {}),
        ]
        best = max(peer["runs_per_hour"] for peer in rows)
        if with_cache:
            keep = {"JAX_COMPILATION_CACHE_DIR": cache, "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0"}
            _result(_start(_peer_command(runs(n_tokens)[0], rows_file), keep))
            rows.append(peer_row(f"{side_by_side}, cache warm", n_tokens, rows_file, n_measured, n_cores, keep))
        one_lane = lbscale_row("one lane", n_tokens, n_measured, one_lane_micro_batch_tokens, f"{folder}/one_lane")
        rows += [one_lane, lbscale_row("lanes", n_tokens, n_measured, None, f"{folder}/lanes")]
    for row in rows:
        row["ratio_to_peer"] = row["runs_per_hour"] / best
        row["ratio_to_one_lane"] = row["runs_per_hour"] / one_lane["runs_per_hour"]
    return rows


def line(row: Row) -> str:
    """A row as text."""
    ratio = f", {row['ratio_to_peer']:.2f}x the better peer" if "ratio_to_peer" in row else ""
    return (
        f"{row['arm']:35} {row['n_tokens']:>8,} tokens: {row['runs_per_hour']:>7,.0f} runs/hour{ratio}; "
        f"{row['seconds_per_run']:.2f} s a run, {row['training_seconds_per_run']:.2f} s of it training, "
        f"loss {row['median_loss']:.3f} ({row['runs_measured']} runs)"
    )


def main() -> None:
    """Measure, and print a table or one JSON document."""
    options_parser = parser(
        __doc__, "runs an eighth as long as the short ones, two processes of the peer and none with the cache"
    )
    options_parser.add_argument("--processes", type=int, help=f"peer's processes to measure, of {N_RUNS}; default: all")
    options_parser.add_argument("--lengths", nargs="+", choices=LENGTHS, default=list(LENGTHS))
    for name in ("arm", "n-tokens", "micro-batch-tokens"):
        options_parser.add_argument(f"--{name}", type=None if name == "arm" else int, help=argparse.SUPPRESS)
    options = options_parser.parse_args()
    if options.arm:
        train_lbscale(options.n_tokens, options.arm, options.micro_batch_tokens)
        return
    lengths = {"quick": LENGTHS["short"] // 8} if options.quick else {name: LENGTHS[name] for name in options.lengths}
    n_measured = options.processes or (2 if options.quick else N_RUNS)
    rows: list[Row] = []
    bars: list[Row] = []
    for name, n_tokens in lengths.items():
        measured = measure(n_tokens, n_measured, options.micro_batch_tokens, with_cache=not options.quick)
        rows += measured
        bars.append(bar(f"lanes over a process a run, {name}", measured[-1]["ratio_to_peer"], BARS.get(name, 5.0)))
        bars.append(bar(f"lanes over one lane, {name}", measured[-1]["ratio_to_one_lane"], 1.0))
    facts = machine(peer=f"Linen decoder, optax.adamw ({versions('flax', 'optax', 'jax')})",
                    n_params=count_params(decoder_of_size(SIZE)).total, runs=N_RUNS)  # fmt: skip
    show(facts, rows, bars, line, options.json)


if __name__ == "__main__":
    main()
