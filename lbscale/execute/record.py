"""From a lane's last reading to the result that is stored."""

from __future__ import annotations

import functools
import math
import os
import platform
from dataclasses import dataclass
from typing import Any

import jax
import numpy as np

from lbscale.clock import is_annealed, prefix_key, row_indices, trunk_key
from lbscale.data import PackedCorpus
from lbscale.plan import Layout, Stretch
from lbscale.spec import FlaxModel, Model, Run, source_digest
from lbscale.store import SOURCE_DIGEST, CurvePoint, Result
from lbscale.train import Measurement


@functools.cache
def machine_record(layout: Layout, micro_batch_tokens: int) -> dict[str, Any]:
    """Where and how runs ran; no part of their keys."""
    device = jax.devices()[0]
    return {
        "backend": device.platform,
        "device": device.device_kind,
        "n_devices": layout.n_devices,
        "group_size": layout.group_size,
        "micro_batch_tokens": micro_batch_tokens,
        "remat": layout.remat,
        "jax": jax.__version__,
        "host": platform.node(),
        "cores": os.cpu_count(),
    }


def _source(model: Model) -> dict[str, str]:
    """The digest of a Flax model's source, which is no part of its runs' keys."""
    return {SOURCE_DIGEST: source_digest(model)} if isinstance(model, FlaxModel) else {}


@dataclass(frozen=True)
class Reading:
    """What is known of a run at its end: the stretches of its way, its curve, the seconds it took, its last loss, and
    the micro-step of its first non-finite gradient or -1."""

    path: tuple[Stretch, ...]
    curve: tuple[CurvePoint, ...]
    seconds: float
    measurement: Measurement
    diverged_at: int


def result_of(run: Run, reading: Reading, corpus: PackedCorpus, layout: Layout) -> Result:
    """The result of a run at its end.

    A run has diverged if a gradient was not finite, or if it ended both above a uniform guess and above where its curve
    began. Its budget stands as planned even where a group was ended early because none of its lanes was left.
    """
    path, measurement = reading.path, reading.measurement
    began_at = max([math.log(run.model.vocab_size), *(point.loss for point in reading.curve[:1])])
    diverged = reading.diverged_at >= 0 or not measurement.loss <= began_at
    loss = None if diverged else measurement.loss
    n_tokens = path[-1].last_tokens
    n_rows = n_tokens // run.data.seq_len
    index = row_indices(run.data_seed, 0, n_rows, len(corpus.train))
    branched_at = max((stretch.last_tokens for stretch in path if stretch.n_runs > 1), default=0)
    return Result(
        status="diverged" if diverged else "finished",
        loss=loss,
        loss_se=None if diverged else measurement.loss_se,
        bits_per_byte=None if loss is None else loss * corpus.bits_per_byte_factor,
        loss_split="validation",
        n_tokens=n_tokens,
        n_tokens_real=int(np.sum(corpus.train.segments_RT[index] > 0)),
        epochs=n_rows / len(corpus.train),
        annealed=is_annealed(run),
        diverged_tokens=_tokens_at(path, reading.diverged_at) if reading.diverged_at >= 0 else None,
        seconds=reading.seconds,
        curve=reading.curve,
        machine=machine_record(layout, path[-1].program.micro_batch_tokens) | _source(run.model),
        trunk_key=trunk_key(run),
        branched_at_tokens=branched_at,
        branched_from=prefix_key(run, branched_at) if branched_at else None,
    )


def _tokens_at(path: tuple[Stretch, ...], step: int) -> int:
    """The clock after `step` micro-steps of a way."""
    for stretch in path:
        micro = stretch.program.micro_batch_tokens
        n_steps = stretch.n_tokens // micro
        if step <= n_steps:
            return stretch.first_tokens + step * micro
        step -= n_steps
    raise AssertionError(f"the way ends {step} micro-steps before")
