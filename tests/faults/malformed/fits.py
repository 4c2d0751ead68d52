"""Fit files as `lbscale fit --out` writes them, damaged, through predict and recommend."""

from __future__ import annotations

import functools
import json
import tempfile
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
from every_law import simulate

from lbscale import laws
from lbscale.laws.document import CHECKSUM, checksum
from malformed.case import Case
from malformed.mutate import damaged_bytes, damaged_document, wrong_value

FITTED = (("chinchilla", "delta", 0), ("chinchilla", "bootstrap", 5), ("step_law", "delta", 0), ("lr_sqrt", "delta", 2))
POINTS = {
    "chinchilla": (
        ("n_params=1e9", "n_tokens=2e10"),
        ("n_params=1e-300", "n_tokens=1e300"),
        ("n_params=1e9",),
        ("x=1",),
    ),
    "step_law": (("n_params=1e9", "n_tokens=2e10"), ("n_params=-1", "n_tokens=0"), ("learning_rate=1",)),
    "lr_sqrt": (("batch_size_tokens=1e5",), ("batch_size_tokens=1e308",), ("batch_size_tokens=0",)),
}
BUDGETS = (
    ("--flops", "1e20"),
    ("--n-params", "1e9", "--n-tokens", "2e10"),
    ("--flops", "1e300"),
    ("--flops", "1e-300"),
)
ODD = (("--flops", "-1"), ("--n-params", "1e9"), ("--flops", "0"), ("--n-params", "1", "--flops", "1"), ())
# What an answer is made of; the rest of a fit's file is there to be read.
TELLING = ("params", "interval_method", "residual", "range", "noise", "effects", "tried", "reference", "law", "draws")


@functools.cache
def _saved(name: str, interval: str, n_draws: int) -> bytes:
    table = simulate(name, np.random.default_rng(0))
    fitted = laws.fit(table, name, interval=interval, bootstrap=n_draws)
    with tempfile.TemporaryDirectory() as folder:
        fitted.save(Path(folder) / "fit.json")
        return (Path(folder) / "fit.json").read_bytes()


def fit_case(random: Random) -> Case:
    """`predict` or `recommend` from a damaged fit."""
    law, *made = random.choice(FITTED)
    content = _damaged(random, _saved(law, *made))
    name = random.choice(("fit.json", "fit.json", "fit.json", "fit"))
    if random.random() < 0.6:
        words = ["predict", name, "--set", *random.choice(POINTS[law][:1] * 4 + POINTS[law])]
    else:
        words = ["recommend", *random.choice(BUDGETS * 3 + ODD), "--from", name]
    files = {name: content} if random.random() < 0.98 else {f"{name}/inside": b""}
    detail = content.decode(errors="replace")
    return Case("fit file", (*words, *random.choice(((), ("--json",)))), files, detail=detail[:3000])


def _damaged(random: Random, content: bytes) -> bytes:
    kind = random.random()
    if kind < 0.15:
        return damaged_bytes(random, content)
    document: dict[str, Any] = json.loads(content)
    if kind < 0.5:  # one whole field
        document[random.choice((*document, *TELLING))] = wrong_value(random)
    elif kind < 0.9:  # inside of a field that answers are made of
        name = random.choice(TELLING)
        document[name] = damaged_document(random, document[name])
    else:
        document = damaged_document(random, document)
    if isinstance(document, dict) and random.random() < 0.9:  # else the checksum alone refuses it
        document.pop(CHECKSUM, None)
        document[CHECKSUM] = checksum(document)
    return json.dumps(document).encode()
