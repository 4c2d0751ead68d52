"""Run tables as people might bring them, with something wrong in cells, columns, encoding or the command's options."""

from __future__ import annotations

import functools
import io
from random import Random

import numpy as np
import pandas as pd
from every_law import simulate

from lbscale.laws import LAWS
from malformed.case import SECRET, Case
from malformed.mutate import RUBBISH, WRONG_TEXT, damaged_bytes, damaged_text

QUICK = ("chinchilla", "kaplan", "overtraining", "lr_sqrt", "surge", "steps_to_target", "downstream_error")
CELLS = (
    *("", "nan", "inf", "-inf", "0", "-1", "1e300", "1e-300", "1e400", "-0.0", str(2**63), str(2**80), "9" * 400),
    *(
        "text",
        "3,1",
        "3.1 ",
        "1_000",
        "True",
        "NULL",
        "é",
        '"',
        "'",
        "0x10",
        "1e",
        "2020-01-01",
        "\x00",
        "\ud800",
        "a\nb",
    ),
)
EXTRA = ("status", "annealed", "loss_se", "init_seed", "data_seed", "trunk_key", "params_convention", "seq_len")
MORE = ("n_params_total", "n_params_active", "train_flops", "epochs", "n_tokens_budget", "loss_split", "a b", "é", "")
PYTHON = f"open({SECRET!r}, 'w').close()"
QUERIES = (
    *("n_params > 0", "loss < 3 and n_tokens > 1e9", "n_params", "1", "True", "loss > 0 or 1", "x > 1", "loss = 3", ""),
    *(" ", "\n", "loss >", "loss > 'a'", "loss == 'a'", "loss in [1, 2]", "not loss > 3", "-loss", "~(loss > 2)"),
    *(
        "loss.isna()",
        "loss.notna() & n_params > 1",
        "loss > loss.mean()",
        "loss.between(2, 3)",
        "`loss` > 2",
        "`a b` > 1",
    ),
    *("`loss > 2", "status == 'finished'", "loss > @x", "loss > @np.inf", "@pd.io.common.os.getcwd() == 'x'"),
    *(
        f"@pd.io.common.os.system('touch {SECRET}') == 0",
        f"loss.to_csv('{SECRET}')",
        f"@__import__('os').mkdir('{SECRET}')",
    ),
    *(
        f"@{PYTHON}",
        PYTHON,
        f"loss.map({PYTHON})",
        f"index.to_frame().to_csv('{SECRET}')",
        f"loss.to_pickle('{SECRET}')",
    ),
    *(
        "loss.__class__.__mro__",
        "@warnings.sys.exit()",
        "exec('1')",
        "@Path('x').touch()",
        "loss.values.tofile('canary')",
    ),
    *(
        "n_params > 9**9**9**9",
        "loss > 10 ** 100000000",
        "'a' * 10**9 == 'b'",
        "[1] * 10**9",
        "(lambda: 1)()",
        "1 if 1 else 0",
    ),
    *("[x for x in loss]", "loss > 1; import os", "loss > 1\nloss > 2", "loss := 3", "f'{loss}' == ''", "loss[0] > 1"),
    *("(" * 300 + "loss" + ")" * 300 + " > 1", "not " * 5000 + "loss > 1", "-" * 5000 + "loss > 1", "sin(loss) > 0"),
    *(
        "loss > 1 and " * 300 + "loss > 0",
        "loss / 0 > 1",
        "loss // 0 > 1",
        "loss % 0 > 1",
        "loss > 1e400",
        "loss is None",
    ),
    *(
        "index > 2",
        "loss > 2 == n_params > 1",
        "1 < loss < 3",
        "loss & n_params",
        "loss | 1",
        "loss ** 2 > 4",
        "loss.str.len() > 1",
    ),
    *(
        "@loss > 1",
        "loss > \x00",
        "loss > é",
        "\ud800",
        "loss.query('1')",
        "loss.eval('1')",
        "status.str.contains('(')",
    ),
)
OPTIONS: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("--where", QUERIES),
    ("--where", QUERIES),
    ("--holdout", QUERIES),
    ("--holdout", ("n_params > 1e9", "loss < 2.5", "n_tokens > n_tokens.median()", "batch_size_tokens > 1e6")),
    ("--where", ("n_params > 1e9", "loss < 2.5 | loss > 3", "n_tokens > n_tokens.median()", "index % 2 == 0")),
    (
        "--map",
        ("n_params=n_tokens", "loss=x", "loss", "a=b=c", "loss=loss", "=", "x=loss", "é=loss", "loss=n_params_total"),
    ),
    ("--fix", ("E=1.8", "E=nan", "E=-1", "alpha=1e300", "x=1", "E", "E=0", "E=1e-300", "beta=0.3", "A=1", "E=1e308")),
    ("--group", ("n_params", "loss", "x", "", "status", "a b", "é")),
    ("--bootstrap", ("0", "1", "2", "-1", "x", "1.5", "", "1e3", "nan", "٣")),
    ("--seed", ("0", "-1", "x", "99999999999999999999999", "")),
    ("--loss", ("squares", "huber", "lad", "asymmetric", "mse")),
    ("--delta", ("1e-3", "0", "-1", "1e300", "1e-300", "nan", "inf", "x")),
    ("--asymmetry", ("4", "0", "-1", "1e300", "x")),
    ("--residual", ("log", "linear", "x")),
    ("--params-convention", ("total", "non_embedding", "active", "x")),
    ("--interval", ("bootstrap", "profile", "delta", "x")),
    ("--windows", ("size", "leave-one-size-out", "compute", "x")),
    ("--flops", ("exact", "6ND", "x")),
)


@functools.cache
def _good(name: str) -> pd.DataFrame:
    return simulate(name, np.random.default_rng(0))


def table_case(random: Random) -> Case:
    """`fit` or `compare` of a damaged table with plausible or damaged options."""
    law = random.choice(QUICK if random.random() < 0.9 else sorted(LAWS))
    frame = _good(law)
    n_rows = random.choice((0, 1, 2, 5, 12, 30, *[len(frame)] * 6))
    frame = frame.iloc[sorted(random.sample(range(len(frame)), min(n_rows, len(frame))))]
    name, content = _file(random, frame)
    named = law if random.random() < 0.95 else random.choice((*LAWS, "x", "", "Chinchilla", "é"))
    if random.random() < 0.8:
        words = ["fit", name, "--law", named]
    else:
        laws = "chinchilla,kaplan" if law in ("chinchilla", "kaplan", "overtraining") else named
        words = [
            "compare",
            name,
            "--laws",
            laws if random.random() < 0.8 else random.choice((f"{law},x", "x,", ",", law * 2)),
        ]
    words += _options(random, words[0])
    files = {name: content} if content is not None else {f"{name}/inside": b"x"}
    return Case("table", tuple(words), files, writes=("out.json",), detail=repr(content)[:1500])


def _options(random: Random, verb: str) -> list[str]:
    words = ["--bootstrap", random.choice(("0", "2"))]
    for _ in range(random.choice((0, 0, 0, 1, 1, 2))):
        flag, values = random.choice(OPTIONS)
        value = random.choice(values)
        words += [flag, damaged_text(random, value) if random.random() < 0.1 else value]
    if verb == "fit" and random.random() < 0.1:
        words += ["--out", random.choice(("out.json", "out.json", "no/out.json", ".", "x" * 300, "/dev/full", "", "/"))]
    if random.random() < 0.3:
        words.append("--json")
    return words


def _file(random: Random, frame: pd.DataFrame) -> tuple[str, bytes | None]:
    """A file's name and content; no content stands for a folder."""
    kind = random.random()
    if kind < 0.02:
        return "table.csv", None
    if kind < 0.06:
        return random.choice(("table.csv", "table.parquet")), random.choice(RUBBISH)
    for _ in range(random.choice((0, 0, 1, 2))):
        frame = random.choice(_FRAME_CHANGES)(random, frame)
    if kind < 0.25:
        content = _parquet(frame)
        return "table.parquet", damaged_bytes(random, content) if random.random() < 0.4 else content
    separator = random.choice((*",,,,,,,,,,;;;;\t\t", "|", " "))
    text = frame.to_csv(index=False, sep=separator, decimal="," if separator == ";" else ".")
    for _ in range(random.choice((0, 1, 1, 4))):
        text = _with_cell(random, text, separator)
    if random.random() < 0.1:
        text = damaged_text(random, text)
    content = text.encode(random.choice((*["utf-8"] * 20, "utf-8-sig", "utf-16")), "surrogatepass")
    return random.choice(("table.csv", "table.csv", "table")), damaged_bytes(
        random, content
    ) if random.random() < 0.1 else content


def _parquet(frame: pd.DataFrame) -> bytes:
    file = io.BytesIO()
    columns = pd.Index(
        [f"{name}{i}" if frame.columns.tolist().count(name) > 1 else name for i, name in enumerate(frame)]
    )
    try:
        frame.set_axis(columns, axis=1).to_parquet(file)
    except Exception:  # not every damaged frame is one that parquet takes
        return b"PAR1"
    return file.getvalue()


def _with_cell(random: Random, text: str, separator: str) -> str:
    """The text with one cell, of the header now and then, of something else."""
    lines = text.splitlines()
    if not lines:
        return text
    row = 0 if random.random() < 0.05 else random.randrange(len(lines))
    cells = lines[row].split(separator)
    cells[random.randrange(len(cells))] = random.choice((*CELLS, *WRONG_TEXT))
    lines[row] = separator.join(cells)
    return "\n".join(lines) + "\n"


def _drop_column(random: Random, frame: pd.DataFrame) -> pd.DataFrame:
    return frame.drop(columns=random.choice(list(frame.columns))) if len(frame.columns) else frame


def _doubled_column(random: Random, frame: pd.DataFrame) -> pd.DataFrame:
    return pd.concat([frame, frame.iloc[:, :1]], axis=1)


def _constant_column(random: Random, frame: pd.DataFrame) -> pd.DataFrame:
    frame = frame.copy()
    if len(frame.columns):
        values = (0, -1, 1, 1e300, 1e-300, np.nan, np.inf, -np.inf, "text", None, True, 2**62, [1], {"a": 1}, b"\xff")
        value = random.choice((*values, pd.Timestamp(0), pd.Timedelta(1), 3 + 1j))
        frame.isetitem(random.randrange(len(frame.columns)), [value] * len(frame))
    return frame


def _scaled_column(random: Random, frame: pd.DataFrame) -> pd.DataFrame:
    names = [name for name in frame if pd.api.types.is_float_dtype(frame.get(name))]
    scale = random.choice((1e-300, 1e290, 1e100, -1.0, 1e-30, 1e18))
    return frame.assign(**{name: frame[name] * scale for name in random.sample(names, min(1, len(names)))})


def _extra_column(random: Random, frame: pd.DataFrame) -> pd.DataFrame:
    kinds = ("finished", "diverged", "stopped", "", "nan", "1", "-1", "0", "total", "active", "text", "False", "1e300")
    values = random.sample(kinds, random.choice((1, 2, 3)))
    return frame.assign(**{random.choice((*EXTRA, *MORE)): [random.choice(values) for _ in range(len(frame))]})


def _same_rows(random: Random, frame: pd.DataFrame) -> pd.DataFrame:
    return frame.iloc[[0] * len(frame)] if len(frame) else frame


def _index(random: Random, frame: pd.DataFrame) -> pd.DataFrame:
    return frame.set_axis([random.choice((0, 1, 2)) for _ in range(len(frame))], axis=0)


_FRAME_CHANGES = (
    *(_drop_column, _doubled_column, _constant_column, _constant_column, _scaled_column, _extra_column),
    *(_extra_column, _same_rows, _index),
)
