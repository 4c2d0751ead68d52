"""Queries select rows as pandas would, and are refused where they could do more than that."""

from __future__ import annotations

import pandas as pd
import pytest

from lbscale.errors import InputError
from lbscale.laws.reading import select

FRAME = pd.DataFrame({"loss": [1.0, 2.0, 3.0], "a b": [1, 2, 3], "kind": ["x", "y", None]})


@pytest.mark.parametrize(
    ("query", "kept"),
    [
        ("loss > 1", [1, 2]),
        ("1 < loss < 3", [1]),
        ("loss > 1 and not loss > 2", [1]),
        ("loss > 1 & loss < 3 | `a b` == 1", [0, 1]),
        ("kind == 'x' or loss in [3]", [0, 2]),
        ("kind.isna()", [2]),
        ("kind.str.contains('y', na=False)", [1]),
        ("loss > loss.mean()", [2]),
        ("loss ** 2 / 2 >= 2", [1, 2]),
        ("log(loss) > 0.5", [1, 2]),
        ("~loss.between(2, 3)", [0]),
        ("kind != '`' and index > 0", [1, 2]),
    ],
)
def test_conditions_on_columns_are_let_through(query: str, kept: list[int]) -> None:
    assert FRAME.index[select(FRAME, query)].tolist() == kept


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ("@pd.io.common.os.getcwd() == 'x'", "invalid syntax"),
        ("loss > @SECRET", "invalid syntax"),
        ("loss.to_csv('made')", "without .to_csv"),
        ("loss.values.tofile('made')", "without .tofile"),
        ("loss.__class__", "without .__class__"),
        ("kind.str.__class__", "without .__class__"),
        ("__import__('os').mkdir('made')", "without "),
        ("open('made', 'w')", "without calls of other functions"),
        ("kind == '`' or loss.to_csv('made') or '`' == ''", "without .to_csv"),
        ("`a b`.to_csv('made')", "without .to_csv"),
        ("loss > 9**9**9**9", "without powers"),
        ("loss > ((9**99)**99)**99", "without powers"),
        ("loss > 1.0 ** loss", "without powers"),
        ("'a' * 10**9 == kind", "without "),
        ("loss.isin([x for x in loss])", "without ListComp"),
        ("loss.map(lambda x: x)", "without "),
        ("loss = 3", "invalid syntax"),
        ("loss[0] > 1", "without Subscript"),
        ("loss > 1 if 1 else 0", "without IfExp"),
        ("(" * 300 + "loss" + ")" * 300, "nested parentheses"),
        ("loss > " + "1" * 10_000, "at most 10000 characters"),
        ("loss > 1\nloss > 2", "invalid syntax"),
    ],
)
def test_whatever_could_run_code_or_never_end_is_refused(
    query: str, said: str, tmp_path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match="where: ") as refusal:
        select(FRAME, query)
    assert said in str(refusal.value)
    assert list(tmp_path.iterdir()) == []
