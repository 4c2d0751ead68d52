"""Studies are found by name or path, and refused where their module is no study."""

from __future__ import annotations

import textwrap
from pathlib import Path

import pytest

from lbscale import laws, sweep
from lbscale.errors import InputError
from lbscale.spec import Run
from lbscale.study import experiment_paths, load_study

BODY = """
    from lbscale import sweep
    from lbscale.spec import AdamW, ConstantBatch, Constant, Corpus, Decoder

    BASE = {
        "model": Decoder(d_model=16, n_layers=1, n_heads=1, d_ff=16),
        "data": Corpus(name="text", fingerprint="f", seq_len=64),
        "optimizer": AdamW(),
        "schedule": Constant(),
        "batch": ConstantBatch(64),
        "n_tokens": 1024,
    }
"""
RUNS = "RUNS = sweep.product(BASE, learning_rate=[0.1, 0.2])"


def write_module(folder: Path, name: str, text: str, docstring: str = "A question?") -> Path:
    """An experiment module of the base, a docstring and some text."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}.py"
    path.write_text(f'"""{docstring}\n\nMore of it."""\n{textwrap.dedent(BODY)}\n{text}\n')
    return path


def test_a_module_at_any_path_is_a_study(tmp_path: Path) -> None:
    study = load_study(str(write_module(tmp_path / "some where", "mine", RUNS)))
    assert (study.name, study.question) == ("mine", "A question?\n\nMore of it.")
    assert [run.learning_rate for run in study.runs] == [0.1, 0.2]
    assert (study.laws, study.follow_up, study.figures) == ({}, None, None)


def test_runs_may_be_a_function(tmp_path: Path) -> None:
    text = "def runs():\n    return sweep.product(BASE, learning_rate=[0.3])"
    study = load_study(str(write_module(tmp_path, "mine", text)))
    assert [run.learning_rate for run in study.runs] == [0.3]


def test_runs_may_be_a_generator(tmp_path: Path) -> None:
    text = f"def runs():\n    yield from {RUNS.removeprefix('RUNS = ')}"
    assert len(load_study(str(write_module(tmp_path, "mine", text))).runs) == 2


def test_laws_follow_up_and_figures_are_taken_over(tmp_path: Path) -> None:
    text = (
        f"{RUNS}\nLAWS = {{'surface': 'chinchilla'}}\n"
        "def follow_up(fits): return RUNS[:1]\ndef figures(table, fits): return {}"
    )
    study = load_study(str(write_module(tmp_path, "mine", text)))
    assert study.laws == {"surface": laws.get("chinchilla")}
    assert study.follow_up is not None and study.follow_up({}) == [study.runs[0]]
    assert study.figures is not None and study.figures(None, None) == {}


def test_an_experiment_of_the_current_folder_is_found_by_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_module(tmp_path / "experiments", "mine", RUNS)
    write_module(tmp_path / "experiments", "_shared", RUNS)
    monkeypatch.chdir(tmp_path)
    assert experiment_paths()["mine"] == tmp_path / "experiments" / "mine.py"
    assert "_shared" not in experiment_paths()
    assert load_study("mine").name == "mine"


def test_an_experiment_of_the_current_folder_goes_before_one_that_came_with_the_library(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "tour" in experiment_paths()
    write_module(tmp_path / "experiments", "tour", RUNS)
    monkeypatch.chdir(tmp_path)
    assert len(load_study("tour").runs) == 2


def test_an_unknown_name_is_refused_with_the_nearest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_module(tmp_path / "experiments", "batch_ramp", RUNS)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match=r"study: 'batch_rmap' cannot be used; did you mean 'batch_ramp'\?"):
        load_study("batch_rmap")


def test_a_path_without_a_module_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"study: '.*missing\.py' cannot be used; a Python module at that path"):
        load_study(str(tmp_path / "missing.py"))


def test_a_module_without_runs_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"study: 'empty' cannot be used; .* RUNS or runs"):
        load_study(str(write_module(tmp_path, "empty", "")))


@pytest.mark.parametrize("value", ["[1, 2]", "[BASE]", "[None]", "7", "'all'", "lambda: []"])
def test_runs_that_are_no_runs_are_refused(tmp_path: Path, value: str) -> None:
    with pytest.raises(InputError, match=r"wrong\.RUNS: .* cannot be used; a list of lbscale runs"):
        load_study(str(write_module(tmp_path, "wrong", f"RUNS = {value}")))


def test_impossible_runs_are_refused_as_they_are_anywhere(tmp_path: Path) -> None:
    text = "RUNS = sweep.product(BASE, learning_rate=[0.1], batch_size_tokens=[100])"
    with pytest.raises(InputError, match="batch_size_tokens: 100"):
        load_study(str(write_module(tmp_path, "impossible", text)))


def test_the_tour_is_a_study_of_four_sizes_and_three_budgets_over_eightfold() -> None:
    study = load_study("tour")
    budgets = {run.n_tokens for run in study.runs}
    assert len(study.runs) >= 48 and sweep.unique(study.runs) == list(study.runs)
    assert len({run.model for run in study.runs}) >= 4
    assert len(budgets) >= 3 and max(budgets) >= 8 * min(budgets)
    assert all(isinstance(run, Run) and run.data.seq_len == 64 for run in study.runs)
    assert min(run.batch.batch_size_tokens for run in study.runs) == 64
    cells = {(run.model, run.n_tokens, run.learning_rate, run.batch): set[int]() for run in study.runs}
    for run in study.runs:
        cells[run.model, run.n_tokens, run.learning_rate, run.batch].add(run.init_seed)
    assert max(map(len, cells.values())) >= 3


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("raise SystemExit(0)", "line 17: SystemExit: 0"),
        ("def runs():\n    yield 1 / 0", "line 18: ZeroDivisionError"),
        ("raise ValueError('a\\nb')", "line 17: ValueError: a b"),
        ("RUNS = 3", "mine.RUNS: 3 cannot be used; a list of lbscale runs"),
        ("async def runs(): return []", "a list of lbscale runs"),
        (f"{RUNS}\nLAWS = {{'surface': 1}}", "mine.LAWS: 1 cannot be used; laws, or names of laws"),
        (f"{RUNS}\nLAWS = {{'../x': 'chinchilla'}}", "mine.LAWS: '../x' cannot be used"),
        (f"{RUNS}\nfollow_up = 3", r"mine.follow_up: 3 cannot be used; a function follow_up(fits)"),
        (f"{RUNS}\ndef follow_up(): return []", "mine.follow_up: 'follow_up()' cannot be used"),
        (f"{RUNS}\ndef figures(table): return {{}}", "a function figures(table, fits) is needed: too many"),
    ],
)
def test_what_cannot_be_a_study_is_refused_in_one_line(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(InputError) as refusal:
        load_study(str(write_module(tmp_path, "mine", text)))
    assert said in str(refusal.value) and str(refusal.value).isprintable()


def test_a_module_is_named_by_its_file_whatever_it_says_of_itself(tmp_path: Path) -> None:
    assert load_study(str(write_module(tmp_path, "mine", f"{RUNS}\n__file__ = 'other.py'"))).name == "mine"
