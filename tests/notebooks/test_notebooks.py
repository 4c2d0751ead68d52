"""The notebooks as a reader has them: each runs from start to end, draws, explains itself, and asks one question."""

from __future__ import annotations

import ast
import re
import runpy
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from matplotlib import pyplot as plt

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "notebooks"
NOTEBOOKS = sorted(path.name for path in FOLDER.glob("*.py"))
MOST_INCHES = 12.0
MOST_PAPER = 80.0  # square inches
MOST_CODE_LINES = 14  # in one cell


def cells(name: str) -> list[tuple[str, str]]:
    """The cells of a notebook, each "markdown" or "code" with its text; text is without the comment marks."""
    found = []
    before, *parts = re.split(r"^# %%", (FOLDER / name).read_text(), flags=re.MULTILINE)
    assert before == ""
    for part in parts:
        kind, _, body = part.partition("\n")
        assert kind in ("", " [markdown]")
        if kind:
            lines = body.strip().splitlines()
            assert all(line == "#" or line.startswith("# ") for line in lines), lines
            found.append(("markdown", "\n".join(line[2:] for line in lines)))
        else:
            found.append(("code", body.strip()))
    return found


@pytest.fixture
def beside_results(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder for notebooks beside the committed tables and nothing else of the project, to work in."""
    shutil.copytree(ROOT / "results" / "tour", tmp_path / "results" / "tour", ignore=shutil.ignore_patterns("figures"))
    folder = tmp_path / "notebooks"
    folder.mkdir()
    monkeypatch.chdir(folder)
    yield folder
    plt.close("all")


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_it_runs_and_draws_small_figures(name: str, beside_results: Path) -> None:
    shutil.copy(FOLDER / name, beside_results)
    before = dict(plt.rcParams)
    runpy.run_path(str(beside_results / name))
    figures = [plt.figure(number) for number in plt.get_fignums()]
    assert figures
    for figure in figures:
        width, height = figure.get_size_inches()
        assert width <= MOST_INCHES and width * height <= MOST_PAPER
        assert figure.axes and any(axis.has_data() for axis in figure.axes)
        figure.canvas.draw()  # a label that cannot be laid out, or a missing glyph, is a warning and so an error
    assert dict(plt.rcParams) == before
    assert [path.name for path in beside_results.iterdir() if path.name != "__pycache__"] == [name]


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_it_asks_a_question_and_says_how_to_read_its_figures(name: str) -> None:
    parts = cells(name)
    kind, opening = parts[0]
    assert kind == "markdown" and opening.startswith("# ") and re.search(r"^\*\*.*\?", opening, re.MULTILINE)
    said = "\n".join(text for kind, text in parts if kind == "markdown")
    assert "**Look at" in said and re.search("do(es)? not say", said)
    assert "*simulated*" in opening or "project's own" in opening
    assert sum(kind == "markdown" for kind, _ in parts) * 3 >= len(parts)


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_every_code_cell_is_whole_short_and_names_no_place_of_a_machine(name: str) -> None:
    for kind, text in cells(name):
        if kind == "code":
            ast.parse(text)  # jupytext makes a cell of it, so it must stand alone
            assert 0 < len([line for line in text.splitlines() if line.strip()]) <= MOST_CODE_LINES
        assert not re.search(r"(?<![\w.:/])/[a-z]+/|~/|[A-Z]:\\", text)


def test_the_folder_s_readme_lists_them_all() -> None:
    listed = re.findall(r"^\| \[(\w+\.py)\]\((\w+\.py)\)", (FOLDER / "README.md").read_text(), re.MULTILINE)
    assert sorted(listed) == [(name, name) for name in NOTEBOOKS]


def test_three_lines_lead_from_a_table_to_a_figure() -> None:
    first = next(text for kind, text in cells("fit_a_law.py") if kind == "code")
    assert len([line for line in first.splitlines() if line.strip()]) == 3
    assert "read_csv" not in first and "law_figure" in first.splitlines()[-1]
