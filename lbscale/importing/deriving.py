"""What follows from columns that were read, by arithmetic alone, and what does not: each is noted."""

from __future__ import annotations

import math
import re

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from lbscale.errors import check
from lbscale.importing.notes import Notes
from lbscale.laws.reading import as_numbers

SAME = 0.01  # relative; token counts are rounded to whole batches
SAME_MATRICES = 1e-3  # relative; norms and biases are left out
OF_6ND = 0.02  # relative scatter of FLOPs over 6 N D, where they are counted so
ANNEALED = 0.2  # share of its peak below which a learning rate has come down
# Non-embedding parameters of the OLMo ladder's models, as its published fits count them
# (https://github.com/allenai/OLMo-ladder, src/scripts/paper/configs/final.json).
OLMO_SIZES = {
    "190M": 190_354_176, "370M": 371_262_464, "760M": 758_220_288, "1B": 1_279_395_840, "1.3B": 1_279_395_840,
    "7B": 6_887_575_552, "13B": 13_202_396_160,
}  # fmt: skip
OLMO_FILE = re.compile(r"^(?:.*[-_])?(\d+(?:\.\d+)?[MB])(?:-\d+(?:\.\d+)?xC)?(?:[-_].*)?$")
CROSS_ENTROPY_IN_NATS = ("wandb", "olmo")


def derive(table: pd.DataFrame, kind: str, notes: Notes) -> pd.DataFrame:
    """The table with loss in nats, tokens, params and batch in tokens where they follow; fills the list of what is not
    established. Raises InputError for a loss per byte without bytes_per_token."""
    table = _loss(table, kind, notes)
    if notes.is_own:  # its own columns say what its numbers are
        return table
    table = _params(_learning_rate(_tokens(table, notes), notes), kind, notes)
    table = _flops(table, notes)
    _settings(table, notes)
    return table


def _loss(table: pd.DataFrame, kind: str, notes: Notes) -> pd.DataFrame:
    stated = str(table["loss_unit"].iloc[0]) if "loss_unit" in table else None
    unit = stated or notes.loss_unit
    loss = as_numbers(table, "loss")
    table = table.drop(columns="loss_unit", errors="ignore")
    if unit is None and not notes.is_own:
        unit = _unit_by_perplexity(table, loss)
        if unit is not None:
            notes.read("loss", "loss", f"in {unit}: its exponential is the table's perplexity")
        elif kind in CROSS_ENTROPY_IN_NATS:
            notes.unknown("loss_unit", "no name says it; frameworks log cross-entropy in nats", "nats per token")
        else:
            notes.unknown("loss_unit", "no name says nats, bits or per byte", "nats per token")
    with np.errstate(all="ignore"):
        if unit == "perplexity":
            table = table.assign(loss=np.log(loss))
            notes.read("loss", "loss", "ln perplexity")
        elif unit == "bits":
            table = table.assign(loss=loss * math.log(2.0))
            notes.read("loss", "loss", "bits per token x ln 2")
        elif unit == "bits per byte":
            check(
                "bytes_per_token" in table,
                "loss",
                "bits per byte",
                "a loss per token is needed, and bytes per token are not known: --set bytes_per_token=...",
            )
            table = table.assign(loss=loss * math.log(2.0) * as_numbers(table, "bytes_per_token"))
            notes.read("loss", "loss", "bits per byte x ln 2 x bytes_per_token")
    if "loss_split" not in table and not notes.is_own:
        if notes.loss_split is None:
            notes.unknown("loss_split", "no name says whether the loss is of training or held-out data")
        else:
            table = table.assign(loss_split=notes.loss_split)
    return table


def _unit_by_perplexity(table: pd.DataFrame, loss: NDArray[np.float64]) -> str | None:
    """The unit that a column of perplexity beside the loss shows."""
    for name in table.columns:
        if str(name).lower().endswith(("ppl", "perplexity")) and pd.api.types.is_numeric_dtype(table[name]):
            with np.errstate(all="ignore"):
                logarithm = np.log(as_numbers(table, name))
                for unit, factor in (("nats", 1.0), ("bits", math.log(2.0))):
                    if np.nanmax(np.abs(loss * factor / logarithm - 1.0), initial=0.0) < 1e-3:
                        return unit if np.isfinite(logarithm).any() else None
    return None


def _tokens(table: pd.DataFrame, notes: Notes) -> pd.DataFrame:
    table = _batch(table, notes)
    value = {
        name: as_numbers(table, name)
        for name in table
        if name in ("steps", "batch_size_tokens", "n_sequences", "seq_len")
    }
    product, rule = None, ""
    if {"steps", "batch_size_tokens"} <= value.keys():
        product, rule = value["steps"] * value["batch_size_tokens"], "steps x batch_size_tokens"
    elif {"n_sequences", "seq_len"} <= value.keys():
        product, rule = value["n_sequences"] * value["seq_len"], "n_sequences x seq_len"
    if "n_tokens" not in table:
        if product is None:
            notes.unknown("n_tokens", "no column of tokens, and steps with a batch in tokens do not make them")
            return table
        notes.read(rule, "n_tokens", f"derived: {rule}")
        return table.assign(n_tokens=product)
    if product is None:
        notes.unknown("n_tokens", "steps x batch is not there to check whether tokens are those trained", "as they are")
        return table
    gap = np.nanmax(np.abs(product / as_numbers(table, "n_tokens") - 1.0), initial=0.0)
    if gap <= SAME:
        notes.read(rule, "n_tokens", f"checked: {rule} agrees within {100 * SAME:g} %")
    else:
        notes.unknown("n_tokens", f"{rule} differs from the column by up to {100 * gap:.3g} %", "the column")
    return table


def _batch(table: pd.DataFrame, notes: Notes) -> pd.DataFrame:
    """The batch in tokens; of one in an unknown unit, as tokens or sequences where tokens and steps show which."""
    value = {name: as_numbers(table, name) for name in table if name in ("steps", "n_tokens", "batch_size", "seq_len")}
    if "batch_size" in value and not {"batch_size_tokens", "batch_size_sequences"} & set(table.columns):
        found = None
        if {"steps", "n_tokens"} <= value.keys():
            with np.errstate(all="ignore"):
                per_step = value["n_tokens"] / value["steps"] / value["batch_size"]
            if np.isfinite(per_step).any():
                if np.nanmax(np.abs(per_step - 1.0)) <= SAME:
                    found = "batch_size_tokens"
                elif "seq_len" in value and np.nanmax(np.abs(per_step / value["seq_len"] - 1.0)) <= SAME:
                    found = "batch_size_sequences"
        if found is None:
            notes.unknown("batch_size", "nothing shows whether it counts tokens or sequences, or those of one device; "
                          "--map batch_size_tokens=... or batch_size_sequences=... says it", None)  # fmt: skip
        else:
            table = table.rename(columns={"batch_size": found})
            notes.read("batch_size", found, "n_tokens / steps shows what it counts")
    if "batch_size_tokens" not in table and "batch_size_sequences" in table:
        if "seq_len" in table:
            tokens = as_numbers(table, "batch_size_sequences") * as_numbers(table, "seq_len")
            notes.read("batch_size_sequences x seq_len", "batch_size_tokens", "derived")
            return table.assign(batch_size_tokens=tokens)
        notes.unknown("batch_size", "tokens per sequence are not known: --set seq_len=...")
    return table


def _learning_rate(table: pd.DataFrame, notes: Notes) -> pd.DataFrame:
    if "learning_rate_peak" in table:
        if "learning_rate" in table:
            table = table.drop(columns="learning_rate")
        table = table.rename(columns={"learning_rate_peak": "learning_rate"})
        notes.read("learning_rate_peak", "learning_rate", "its name says that it is the peak")
    elif "learning_rate" in table:
        notes.unknown("learning_rate", "no name says whether it is the peak or the last one", "the peak")
    elif "learning_rate_final" in table:
        notes.unknown("learning_rate", "only the last one is known, and laws are about the peak")
    else:
        notes.unknown("learning_rate", "no column")
    if "annealed" not in table and {"learning_rate", "learning_rate_final"} <= set(table.columns):
        share = as_numbers(table, "learning_rate_final") / as_numbers(table, "learning_rate")
        table = table.assign(annealed=share <= ANNEALED)
        rule = f"derived: the learning rate ends at or below {ANNEALED:g} of its peak"
        notes.read("learning_rate_final / learning_rate", "annealed", rule)
    return table


def _params(table: pd.DataFrame, kind: str, notes: Notes) -> pd.DataFrame:
    if kind == "olmo":
        table = _olmo_params(table, notes)
    counted = [kind for kind in ("total", "non_embedding", "active") if f"n_params_{kind}" in table]
    if "params_convention" in table:
        return table
    if "n_params" in table and (rule := _matrices_rule(table)) is not None:
        notes.read("n_params", "params_convention", f"non_embedding: {rule} gives it")
        return table.assign(params_convention="non_embedding")
    if "n_params" in table:
        why = "no name says whether embeddings are counted; --set params_convention=... says it"
        notes.unknown("params_convention", why, "non_embedding")
    elif not counted:
        notes.unknown("n_params", "no column of params; --map n_params=COLUMN or --set n_params=... says it")
    return table


def _matrices_rule(table: pd.DataFrame) -> str | None:
    """The formula of the layers' matrices that gives `n_params`, where the table has the shapes."""
    if not {"d_model", "n_layers"} <= set(table.columns):
        return None
    width, depth, size = (as_numbers(table, name) for name in ("d_model", "n_layers", "n_params"))
    formulas = {"12 n_layers d_model^2": 12.0 * depth * width**2}
    if "d_ff" in table:
        hidden = as_numbers(table, "d_ff")
        for n_matrices in (2, 3):
            rule = f"n_layers (4 d_model^2 + {n_matrices} d_model d_ff)"
            formulas[rule] = depth * width * (4.0 * width + n_matrices * hidden)
    with np.errstate(all="ignore"):
        gaps = {rule: np.abs(made / size - 1.0).max() for rule, made in formulas.items()}
    return next((rule for rule, gap in gaps.items() if gap <= SAME_MATRICES), None)


def _olmo_params(table: pd.DataFrame, notes: Notes) -> pd.DataFrame:
    """Params of the ladder by the names of its files, and of DataDecide from its compute, which is 6 N D."""
    if any(str(name).startswith("n_params") for name in table.columns):
        return table
    if {"train_flops", "n_tokens", "model"} <= set(table.columns):
        with np.errstate(all="ignore"):
            sizes = as_numbers(table, "train_flops") / (6.0 * as_numbers(table, "n_tokens"))
        notes.read("compute / (6 tokens)", "n_params", "derived: DataDecide counts compute as 6 N D")
        return table.assign(n_params=np.round(sizes))
    found = table["run_id"].astype(str).str.extract(OLMO_FILE)[0] if "run_id" in table else pd.Series(dtype=object)
    if len(found) and found.isin(list(OLMO_SIZES)).all():
        notes.read("run_id", "n_params_non_embedding", "the ladder's published count of the size in the file's name")
        return table.assign(n_params_non_embedding=found.map(OLMO_SIZES).astype(float))
    return table


def _flops(table: pd.DataFrame, notes: Notes) -> pd.DataFrame:
    if "train_gflops" in table:
        flops = 1e9 * as_numbers(table, "train_gflops")
        table = table.drop(columns="train_gflops")
        if "train_flops" not in table:
            table = table.assign(train_flops=flops)
            notes.read("train_gflops", "train_flops", "times 1e9")
    if "train_flops" not in table:
        return table
    for name in ("n_params", "n_params_total", "n_params_non_embedding"):
        if name in table and "n_tokens" in table:
            ratio = as_numbers(table, "train_flops") / (6.0 * as_numbers(table, name) * as_numbers(table, "n_tokens"))
            ratio = ratio[np.isfinite(ratio)]
            if ratio.size and np.abs(ratio - 1.0).max() <= OF_6ND:
                notes.read("train_flops", "train_flops_6nd", f"6 x {name} x n_tokens gives it")
                return table.rename(columns={"train_flops": "train_flops_6nd"})
    notes.unknown("flops", "they are not 6 x params x tokens, and nothing says how they are counted", "exact")
    return table


def _settings(table: pd.DataFrame, notes: Notes) -> None:
    """Conventions that only columns of their own could establish."""
    if "schedule" not in table:
        notes.unknown("schedule", "no column; --set schedule=... says it")
    if "annealed" not in table:
        notes.unknown("annealed", "nothing says whether the learning rate had come down when the loss was read",
                      "annealed")  # fmt: skip
    if "init_seed" not in table and "data_seed" not in table:
        notes.unknown("seeds", "no column: rows of equal settings are taken as independent")
    elif "data_seed" not in table:
        notes.unknown(
            "seeds", "one seed: whether it is of the weights, of the data's order, or of both", "of the weights"
        )
    if "seq_len" not in table:
        notes.unknown("seq_len", "no column: losses of other lengths do not compare")
    if "n_tokens" in table and "epochs" not in table:
        notes.unknown("epochs", "no column: whether tokens repeat", "fresh tokens")
