"""The embedded corpus: which files it reads, how it splits them, and what its fingerprint sees."""

from __future__ import annotations

import sysconfig
from pathlib import Path

import pytest

from lbscale.data import Documents
from lbscale.data.standard_library import read


@pytest.fixture
def library(tmp_path: Path) -> Path:
    """A small library: twenty packages of five files and a module, each file's text naming its package."""
    for package in range(20):
        folder = tmp_path / f"package{package}"
        folder.mkdir()
        for file in range(5):
            (folder / f"module{file}.py").write_text(f"# package{package}, module{file}\n" * 20)
    (tmp_path / "alone.py").write_text("# alone\n")
    return tmp_path


def packages(texts: tuple[bytes, ...]) -> set[str]:
    """Packages named in the texts."""
    return {text.split(b",")[0].decode().removeprefix("# ").strip() for text in texts}


def test_every_file_is_a_document_of_one_split(library: Path) -> None:
    documents = read(library)
    written = [path.read_bytes() for path in library.rglob("*.py")]
    assert sorted(documents.train + documents.validation) == sorted(written)


def test_no_package_straddles_the_split(library: Path) -> None:
    for larger in ("package3", "package11"):
        (library / larger / "more.py").write_text(f"# {larger}, more\n" * 50)
    documents = read(library)
    assert packages(documents.train).isdisjoint(packages(documents.validation))
    assert packages(documents.train) and packages(documents.validation)


def test_exact_duplicates_and_empty_files_are_left_out(library: Path) -> None:
    before = read(library)
    (library / "package1" / "copy.py").write_bytes((library / "package7" / "module0.py").read_bytes())
    (library / "package1" / "empty.py").write_bytes(b"")
    after = read(library)
    texts = after.train + after.validation
    assert len(texts) == len(set(texts)) == len(before.train + before.validation)


@pytest.mark.parametrize("folder", ["site-packages", "dist-packages", "__pycache__"])
def test_what_was_installed_later_is_no_part_of_it(library: Path, folder: str) -> None:
    before = read(library)
    (library / folder / "numpy").mkdir(parents=True)
    (library / folder / "numpy" / "core.py").write_text("# numpy, core\n")
    (library / "notes.txt").write_text("not Python\n")
    assert read(library) == before


def test_fingerprint_moves_with_what_files_hold_and_are_called(library: Path) -> None:
    fingerprint = read(library).fingerprint
    seen = {fingerprint}
    changed = library / "package5" / "module2.py"
    original = changed.read_bytes()
    for text in (original.replace(b"module2", b"module9"), original + b"\n"):
        changed.write_bytes(text)
        seen.add(read(library).fingerprint)
    changed.write_bytes(original)
    assert read(library).fingerprint == fingerprint
    changed.rename(changed.with_name("module2b.py"))
    seen.add(read(library).fingerprint)
    changed.with_name("module2b.py").unlink()
    seen.add(read(library).fingerprint)
    assert len(seen) == 5
    assert all(len(found.split("-")) == 5 for found in seen)


def test_fingerprint_does_not_hang_on_the_folder(library: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    elsewhere = tmp_path_factory.mktemp("elsewhere") / "lib"
    fingerprint = read(library).fingerprint
    library.rename(elsewhere)
    assert read(elsewhere).fingerprint == fingerprint


@pytest.fixture(scope="module")
def this_library() -> Documents:
    """The running Python's own."""
    return read()


def test_running_pythons_library_is_split_with_a_few_per_cent_held_out(this_library: Documents) -> None:
    n_train, n_validation = (sum(map(len, texts)) for texts in (this_library.train, this_library.validation))
    assert n_train > 5e6
    assert 0.04 < n_validation / (n_train + n_validation) < 0.1
    n_files, n_bytes = (int(this_library.fingerprint.split("-")[i]) for i in (0, 2))
    assert (n_files, n_bytes) == (len(this_library.train + this_library.validation), n_train + n_validation)


def test_near_identical_files_stay_together(this_library: Documents) -> None:
    encodings = Path(sysconfig.get_paths()["stdlib"]) / "encodings"
    train, validation = set(this_library.train), set(this_library.validation)
    texts = {path.read_bytes() for path in encodings.glob("cp*.py")}
    assert texts <= train or texts <= validation
    assert len(texts) > 10
