"""Tables: CSV has every digit, LaTeX is escaped and balanced, HTML says what is missing."""

from __future__ import annotations

import base64
import io
import re

import numpy as np
import pandas as pd
from hypothesis import given
from hypothesis import strategies as st

from lbscale.report.exhibit import MOST_SHOWN, Column, Exhibit

COLUMNS = (
    Column("what_is it", ("what",), is_text=True),
    Column("value", ("value",)),
    Column("95 % interval", ("low", "high"), instead="note"),
)


def exhibit(what="a_b & 100 %", value=1.23e-9, low=1.0, high=20_000.0, note="not known"):
    """A table of one row."""
    frame = pd.DataFrame([{"what": what, "value": value, "low": low, "high": high, "note": note}])
    return Exhibit("name", "Cost in $ of #1", frame, COLUMNS)


def test_csv_has_every_digit():
    value = 0.1 + 0.2
    again = pd.read_csv(io.StringIO(exhibit(value=value).csv()))
    assert again["value"][0] == value and list(again) == ["what", "value", "low", "high", "note"]


def test_latex_is_escaped_and_has_units_and_intervals():
    text = exhibit().latex()
    assert r"a\_b \& 100 \% & $1.23 \times 10^{-9}$ & $[1,\, 20{,}000]$ \\" in text
    assert r"what\_is it & value & 95 \% interval \\" in text and r"\caption{Cost in \$ of \#1}" in text
    assert r"\toprule" in text and r"\begin{tabular}{lrr}" in text


@given(st.text(alphabet=st.characters(min_codepoint=32, max_codepoint=126), max_size=30))
def test_no_text_breaks_latex(what):
    """What is left after escapes are taken out has no character that LaTeX reads as its own."""
    (row,) = [line for line in exhibit(what=what).latex().splitlines() if line.endswith(r"$[1,\, 20{,}000]$ \\")]
    first = row.removesuffix(r" & $1.23 \times 10^{-9}$ & $[1,\, 20{,}000]$ \\")
    bare = re.sub(r"\\text(backslash|asciitilde|asciicircum|less|greater)\{\}|\\[&%$#_{}]", "", first)
    assert not set(bare) & set("&%$#_{}~^\\<>")


def test_what_is_missing_is_said():
    assert exhibit(low=None).rows() == [["a_b & 100 %", "1.23e-09", "not known"]]
    assert exhibit(value=np.nan, high=np.inf).rows() == [["a_b & 100 %", "", "not known"]]
    assert "not known \\\\" in exhibit(low=None).latex()


def test_a_long_table_is_whole_in_its_files_and_short_on_the_page():
    n_rows = MOST_SHOWN + 20
    long = Exhibit("runs", "Runs", pd.DataFrame({"run": range(n_rows)}), (Column("run", ("run",)),))
    assert len(long.rows()) == MOST_SHOWN and long.n_hidden == 20
    assert len(long.csv().splitlines()) == n_rows + 1 and long.latex().count("$ \\\\") == n_rows
    assert "longtable" in long.latex()
    ((words, name, address),) = long.downloads()
    assert (words, name) == ("CSV", "runs.csv")
    assert base64.b64decode(address.partition("base64,")[2]).decode() == long.csv()
