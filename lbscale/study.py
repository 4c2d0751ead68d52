"""A study: a question's runs, laws and follow-up, found by name or path as a module."""

from __future__ import annotations

import contextlib
import importlib.util
import sys
import traceback
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any

from lbscale.errors import InputError, check, check_choice
from lbscale.laws import Law
from lbscale.laws import get as get_law
from lbscale.spec import Run


@dataclass(frozen=True)
class Study:
    """`runs` are trained, `laws` fitted to them by name, `follow_up(fits)` names further runs worth training.

    `figures(table, fits)`, where given, returns further matplotlib figures by name for the report.
    """

    name: str
    question: str
    runs: tuple[Run, ...]
    laws: Mapping[str, Law] = field(default_factory=dict)
    follow_up: Callable[[Mapping[str, Any]], list[Run]] | None = None
    figures: Callable[..., Mapping[str, Any]] | None = None


def experiment_paths() -> dict[str, Path]:
    """Modules that can be named: those in ./experiments first, then those that came with lbscale."""
    package = Path(__file__).parent
    folders = [package.parent / "experiments", package / "experiments", Path.cwd() / "experiments"]
    modules = [path for folder in folders for path in sorted(folder.glob("*.py"))]
    return {path.stem: path for path in modules if not path.stem.startswith("_")}


def load_study(name_or_path: str) -> Study:
    """The study of an experiment's name or a module's path; raises InputError with the nearest name otherwise."""
    if name_or_path.endswith(".py"):
        path = Path(name_or_path)
        check(path.is_file(), "study", name_or_path, "a Python module at that path is needed")
    else:
        known = experiment_paths()
        check_choice("study", name_or_path, known)
        path = known[name_or_path]
    return study_of(_import(path))


def _import(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"lbscale_experiment_{path.stem}", path)
    assert spec is not None and spec.loader is not None  # any .py file has a loader
    module = importlib.util.module_from_spec(spec)
    sys.modules[module.__name__] = module
    with _named_errors(path):
        spec.loader.exec_module(module)
    return module


@contextlib.contextmanager
def _named_errors(path: Path) -> Iterator[None]:
    """Errors of the user's own code as one line that names the module and the line."""
    try:
        yield
    except InputError:
        raise
    except Exception as error:
        line = error.lineno if isinstance(error, SyntaxError) else traceback.extract_tb(error.__traceback__)[-1].lineno
        failed = f"a module that runs is needed: line {line}: {type(error).__name__}: {error}"
        raise InputError("study", str(path), failed) from error


def study_of(module: ModuleType) -> Study:
    """The study that a module's values make: RUNS or runs(), and, where there are any, LAWS, follow_up, figures."""
    path = Path(str(module.__file__))
    name = path.stem
    with _named_errors(path):
        runs = module.runs() if hasattr(module, "runs") else getattr(module, "RUNS", None)
    if runs is None:
        raise InputError("study", name, "a module that defines RUNS or runs() is needed")
    check(isinstance(runs, Iterable), f"{name}.RUNS", runs, "a list of lbscale runs is needed")
    listed = tuple(runs)
    check(bool(listed), f"{name}.RUNS", runs, "at least one run is needed")
    for run in listed:
        check(isinstance(run, Run), f"{name}.RUNS", run, "a list of lbscale runs is needed")
    return Study(
        name=name,
        question=(module.__doc__ or name).strip(),
        runs=listed,
        laws=_laws(f"{name}.LAWS", getattr(module, "LAWS", {})),
        follow_up=getattr(module, "follow_up", None),
        figures=getattr(module, "figures", None),
    )


def _laws(field: str, laws: Any) -> Mapping[str, Law]:
    """The module's laws by its own names, each given as a law or as the name of one."""
    check(isinstance(laws, Mapping), field, laws, "a mapping of names to laws is needed")
    return {name: get_law(law) if isinstance(law, str) else law for name, law in laws.items()}
