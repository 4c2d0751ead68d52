"""A table of the page: one frame of numbers, shown in HTML, and given as CSV and LaTeX."""

from __future__ import annotations

import base64
import math
from dataclasses import dataclass
from typing import Any

import pandas as pd

MOST_SHOWN = 500  # rows in HTML and as LaTeX within the page; CSV, and the files beside the page, have all
_LATEX = str.maketrans(
    {character: f"\\{character}" for character in "&%$#_{}"}
    | {"\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}"}
    | {"<": r"\textless{}", ">": r"\textgreater{}", "±": r"$\pm$"}
)


@dataclass(frozen=True)
class Column:
    """One column that is shown: of one of the frame's `keys`, or of two, the ends of an interval; where it is missing,
    the text of the key `instead`."""

    words: str
    keys: tuple[str, ...]
    format: str = ".4g"
    is_text: bool = False
    instead: str | None = None


@dataclass(frozen=True)
class Exhibit:
    """A table; `name` is unique on the page and that of its files. The CSV has the frame as it is, every digit and
    every column, the others what `columns` show."""

    name: str
    caption: str
    frame: pd.DataFrame
    columns: tuple[Column, ...]

    def rows(self) -> list[list[str]]:
        """The cells that HTML shows."""
        return [[_cell(row, column) for column in self.columns] for row in self._records(MOST_SHOWN)]

    @property
    def n_hidden(self) -> int:
        """Rows that HTML does not show."""
        return max(0, len(self.frame) - MOST_SHOWN)

    def csv(self) -> str:
        """The frame as CSV."""
        return str(self.frame.to_csv(index=False))

    def latex(self) -> str:
        """The shown columns as a LaTeX table of the package booktabs, or longtable for more rows than a page has."""
        cells = [[_latex_cell(row, column) for column in self.columns] for row in self._records()]
        long = len(cells) > 40
        styler = pd.DataFrame(cells, columns=[_escape(column.words) for column in self.columns]).style
        return str(
            styler.hide(axis="index").to_latex(
                hrules=True,
                column_format="".join("l" if column.is_text else "r" for column in self.columns),
                caption=_escape(self.caption),
                label=f"tab:{self.name}",
                environment="longtable" if long else None,
                position=None if long else "tbp",
                position_float=None if long else "centering",
            )
        )

    def downloads(self) -> list[tuple[str, str, str]]:
        """For each format: its name, the file's name, and its content as an address that holds it."""
        found = [("CSV", f"{self.name}.csv", _address("text/csv", self.csv()))]
        if not self.n_hidden:
            found.append(("LaTeX", f"{self.name}.tex", _address("application/x-tex", self.latex())))
        return found

    def _records(self, most: int | None = None) -> list[dict[Any, Any]]:
        return self.frame.head(len(self.frame) if most is None else most).to_dict("records")


def _address(kind: str, text: str) -> str:
    return f"data:{kind};charset=utf-8;base64,{base64.b64encode(text.encode()).decode()}"


def _cell(row: dict[Any, Any], column: Column) -> str:
    values = [row[key] for key in column.keys]
    if any(map(_is_missing, values)):
        return _instead(row, column)
    return " to ".join(_said(value, column.format) for value in values)


def _latex_cell(row: dict[Any, Any], column: Column) -> str:
    values = [row[key] for key in column.keys]
    if any(map(_is_missing, values)):
        return _escape(_instead(row, column))
    if isinstance(values[0], str | bool):
        return _escape(values[0])
    said = [_latex_number(_said(value, column.format)) for value in values]
    return f"${said[0]}$" if len(said) == 1 else f"$[{said[0]},\\, {said[1]}]$"


def _instead(row: dict[Any, Any], column: Column) -> str:
    return "" if column.instead is None else str(row[column.instead])


def _said(value: Any, form: str) -> str:
    if isinstance(value, str | bool):
        return str(value)
    if isinstance(value, int):
        return f"{value:,}"
    return f"{value:,.0f}" if form == ".4g" and 1e4 <= abs(value) < 1e7 else f"{value:{form}}"


def _latex_number(text: str) -> str:
    """A number as it stands in LaTeX's mathematics."""
    digits, _, power = text.replace(",", "{,}").partition("e")
    return f"{digits} \\times 10^{{{int(power)}}}" if power else digits


def _escape(text: object) -> str:
    return str(text).translate(_LATEX)


def _is_missing(value: Any) -> bool:
    return value is None or value is pd.NA or (isinstance(value, float) and not math.isfinite(value))
