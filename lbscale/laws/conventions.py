"""What the numbers of a table count: params, tokens or sequences, exact FLOPs or 6ND.

A fit mixes no two of them. What follows from the table's own columns is converted; else the error says what to add.
"""

from __future__ import annotations

import pandas as pd

from lbscale.errors import InputError, check, check_choice

PARAMS = ("total", "non_embedding", "active")
FLOPS = ("exact", "6ND")
EXACT_FLOPS = "train_flops"
SEQ_LENS = ("seq_len", "seq_len_tokens")
# tokens = sequences x seq_len
OF_SEQUENCES = {"n_tokens": "n_sequences", "batch_size_tokens": "batch_size_sequences"}


def in_tokens(frame: pd.DataFrame) -> pd.DataFrame:
    """The frame with token counts beside its counts of sequences, wherever it says how long a sequence is."""
    seq_len = next((name for name in SEQ_LENS if name in frame), None)
    for tokens, sequences in OF_SEQUENCES.items():
        if tokens not in frame and sequences in frame and seq_len is not None:
            product = [pd.to_numeric(frame[name], errors="coerce") for name in (sequences, seq_len)]
            frame = frame.assign(**{tokens: product[0] * product[1]})
    return frame


def how_to_convert(frame: pd.DataFrame, name: str) -> str | None:
    """How the missing column could be made of those that the frame has; None where nothing stands for it."""
    sequences = OF_SEQUENCES.get(name)
    if sequences is not None and sequences in frame:
        return f"it has {sequences}: add a column seq_len, of tokens per sequence, and tokens follow"
    if name == "n_params":
        kinds = counted(frame)
        if kinds:
            return f"say which count to use: --params-convention {' or '.join(kinds)}"
    return None


def count_params(frame: pd.DataFrame, convention: str | None) -> tuple[pd.DataFrame, str]:
    """The frame with `n_params` counted by `convention`, and the convention's name.

    A column `n_params_total` (or `_non_embedding`, `_active`) is used where the table has it; otherwise the
    convention says what the column `n_params` counts. It defaults to the table's column `params_convention`,
    then to the only count there is, then to non-embedding. Raises InputError where flag and table disagree or
    the table mixes conventions.
    """
    stated = _stated(frame)
    if convention is not None:
        check_choice("params_convention", convention, PARAMS)
        if f"n_params_{convention}" in frame:
            return frame.assign(n_params=frame[f"n_params_{convention}"]), convention
    check(
        len(stated) < 2,
        "params_convention",
        stated,
        "one convention in a fit: convert n_params, or use --where",
    )
    if not stated:
        only = counted(frame)
        if convention is None and "n_params" not in frame and len(only) == 1:
            return frame.assign(n_params=frame[f"n_params_{only[0]}"]), only[0]
        return frame, convention or "non_embedding"
    check_choice("params_convention", stated[0], PARAMS)
    check(
        convention in (None, stated[0]),
        "params_convention",
        convention,
        f"the table counts {stated[0]} params: add a column n_params_{convention}",
    )
    return frame, stated[0]


def count_flops(frame: pd.DataFrame, convention: str | None = None) -> tuple[pd.DataFrame, str]:
    """The frame with a column `train_flops`, and how it counts: "exact" or "6ND".

    "exact" is the table's own column `train_flops`; "6ND" is 6 x n_params x n_tokens, which is far from exact below
    width 512 (Kaplan et al. 2020, https://arxiv.org/abs/2001.08361, count params without embeddings). Defaults to
    exact where the table has it. Raises InputError where it is asked for and missing, or given for some rows only.
    """
    if convention is not None:
        check_choice("flops", convention, FLOPS)
    known = pd.to_numeric(frame[EXACT_FLOPS], errors="coerce").notna() if EXACT_FLOPS in frame else None
    if convention is None:
        convention = "6ND" if known is None or not known.any() else "exact"
    if convention == "exact":
        if known is None:
            raise InputError("flops", "exact", f"the table has no column {EXACT_FLOPS}; add it, or use 6ND")
        check(
            bool(known.all()),
            "flops",
            f"{int((~known).sum())} rows without {EXACT_FLOPS}",
            f"exact FLOPs and 6ND do not mix: fill {EXACT_FLOPS}, leave those rows out, or use 6ND for all",
        )
        return frame, "exact"
    for name in ("n_params", "n_tokens"):
        if name not in frame:
            raise InputError("flops", "6ND", f"the table has no column {name}")
    n_params, n_tokens = (pd.to_numeric(frame[name], errors="coerce") for name in ("n_params", "n_tokens"))
    return frame.assign(**{EXACT_FLOPS: 6.0 * n_params * n_tokens}), "6ND"


def counted(frame: pd.DataFrame) -> list[str]:
    """The conventions that params are counted under: in columns of their own, or as what `n_params` is said to be.

    Beside another count, `n_params` without a word is non-embedding.
    """
    stated = _stated(frame)
    others = [kind for kind in PARAMS if f"n_params_{kind}" in frame]
    if not stated and others and "n_params" in frame:
        stated = ["non_embedding"]
    return [kind for kind in PARAMS if kind in others or stated == [kind]]


def _stated(frame: pd.DataFrame) -> list[str]:
    """What the table itself says that `n_params` counts; more than one where it mixes."""
    return sorted(set(frame["params_convention"].dropna().astype(str))) if "params_convention" in frame else []
