"""The embedded corpus: the running Python's own standard library, a document a source file.

Nothing is downloaded, and everyone has it; another Python has other text and hence another fingerprint.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import sysconfig
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

# Raise it when the choice of files, the split or the packing changes, so that old results keep their own fingerprint.
_RECIPE = 1
_VALIDATION_SHARE = 0.05
# A package larger than this share of the corpus would be most of the validation text on its own.
_LARGEST_VALIDATION_PACKAGE = 0.02
_EXCLUDED = {"site-packages", "dist-packages", "__pycache__"}


@dataclass(frozen=True)
class Documents:
    """Documents as bytes, split by top-level package; `fingerprint` names the whole."""

    train: tuple[bytes, ...]
    validation: tuple[bytes, ...]
    fingerprint: str


def read(root: Path | None = None) -> Documents:
    """Read every `.py` file below the standard library (or `root`), without exact duplicates."""
    root = root or _root()
    paths = sorted(Path(entry.path) for entry in _files(str(root)))
    packages: dict[str, list[bytes]] = {}
    seen: set[bytes] = set()
    listing = hashlib.sha256(f"recipe {_RECIPE}".encode())
    for path in paths:
        text = path.read_bytes()
        digest = hashlib.sha256(text).digest()
        if not text or digest in seen:
            continue
        seen.add(digest)
        relative = path.relative_to(root)
        listing.update(relative.as_posix().encode() + b"\0" + digest)
        packages.setdefault(relative.parts[0], []).append(text)
    n_bytes = sum(len(text) for texts in packages.values() for text in texts)
    fingerprint = f"{len(seen)}-files-{n_bytes}-bytes-{listing.hexdigest()[:12]}"
    held_out = _validation_packages({name: sum(map(len, texts)) for name, texts in packages.items()})
    train = [text for name, texts in packages.items() if name not in held_out for text in texts]
    validation = [text for name, texts in packages.items() if name in held_out for text in texts]
    return Documents(tuple(train), tuple(validation), fingerprint)


def listing(root: Path | None = None) -> list[tuple[str, int, int]]:
    """What `read` depends on, without reading it: path, bytes and time of change (ns) of each file, and the recipe."""
    found = ((entry.path, entry.stat()) for entry in _files(str(root or _root())))
    return [("recipe", _RECIPE, 0), *sorted((path, stat.st_size, stat.st_mtime_ns) for path, stat in found)]


def _root() -> Path:
    return Path(sysconfig.get_paths()["stdlib"])


def _files(folder: str) -> Iterator[os.DirEntry[str]]:
    """Every `.py` file below a folder, in no order; of a folder that may not be read, none."""
    with contextlib.suppress(PermissionError), os.scandir(folder) as entries:
        for entry in entries:
            if entry.name in _EXCLUDED:
                continue
            if entry.is_dir(follow_symlinks=False):
                yield from _files(entry.path)
            elif entry.name.endswith(".py"):
                yield entry


def _validation_packages(n_bytes: dict[str, int]) -> set[str]:
    """Packages in the order of their names' digests until they hold the validation share; large ones stay in train."""
    total = sum(n_bytes.values())
    chosen: set[str] = set()
    for name in sorted(n_bytes, key=lambda name: hashlib.sha256(name.encode()).digest()):
        if sum(n_bytes[kept] for kept in chosen) >= _VALIDATION_SHARE * total:
            break
        if n_bytes[name] <= _LARGEST_VALIDATION_PACKAGE * total:
            chosen.add(name)
    return chosen
