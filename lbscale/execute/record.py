"""From a lane's last reading to the result that is stored."""

from __future__ import annotations

import functools
import math
import os
import platform
import time
from typing import Any

import jax
import numpy as np

from lbscale.clock import is_annealed, row_indices
from lbscale.data import PackedCorpus
from lbscale.execute.slot import Slot
from lbscale.plan import Layout
from lbscale.spec import FlaxModel, Model, source_digest
from lbscale.store import SOURCE_DIGEST, Result
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


def result_of(
    slot: Slot, lane: int, measurement: Measurement, diverged_at: int, corpus: PackedCorpus, layout: Layout
) -> Result:
    """The result of one lane at its end.

    A run has diverged if a gradient was not finite, or if it ended both above a uniform guess and above where its curve
    began. Its budget stands as planned even where a group was ended early because none of its lanes was left.
    """
    run = slot.group.runs[lane]
    began_at = max([math.log(run.model.vocab_size), *(point.loss for point in slot.curves[lane][:1])])
    diverged = diverged_at >= 0 or not measurement.loss <= began_at
    loss = None if diverged else measurement.loss
    n_tokens = int(slot.controls[lane].tokens_S[-1])
    n_rows = n_tokens // run.data.seq_len
    index = row_indices(run.data_seed, 0, n_rows, len(corpus.train))
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
        diverged_tokens=int(slot.controls[lane].tokens_S[diverged_at - 1]) if diverged_at >= 0 else None,
        seconds=time.perf_counter() - slot.began,
        curve=tuple(slot.curves[lane]),
        machine=machine_record(layout, slot.controls[lane].micro_batch_rows * run.data.seq_len) | _source(run.model),
    )
