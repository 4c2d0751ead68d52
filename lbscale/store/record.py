"""A record: a folder whose `manifest.json`, written last, holds the SHA-256 of every other file in it.

Without its manifest a record is unfinished: somebody is writing it, or was interrupted. A manifest is byte for byte the
canonical dump of what it says, so that no byte of a record can change unnoticed, white space included.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from typing import Any

from lbscale.store.files import Files

MANIFEST = "manifest.json"
# What reading says where no file is. A damaged manifest may name a folder, or something below a file, which fsspec's
# memory answers with FileExistsError.
ABSENT = (FileNotFoundError, IsADirectoryError, NotADirectoryError, FileExistsError)


def dump(document: Any) -> bytes:
    """A document's one spelling in the store; raises ValueError for numbers that JSON does not have."""
    return (json.dumps(document, indent=1, sort_keys=True, allow_nan=False) + "\n").encode()


def manifest_of(contents: Mapping[str, bytes]) -> bytes:
    """The manifest of a record with these files."""
    return dump({name: hashlib.sha256(content).hexdigest() for name, content in contents.items()})


def seal(files: Files, folder: str, contents: Mapping[str, bytes] | Iterable[str]) -> None:
    """Make a record of a folder: write the files that `contents` maps names to, or take those that it names and that
    are there already, then write the manifest. Names are relative to the folder and may have slashes."""
    if isinstance(contents, Mapping):
        manifest = manifest_of(contents)
        for name, content in contents.items():
            files.write(f"{folder}/{name}", content)
    else:
        manifest = dump({name: _digest(files, f"{folder}/{name}") for name in contents})
    files.write(f"{folder}/{MANIFEST}", manifest)


def record_problems(files: Files, folder: str) -> list[str]:
    """What is wrong with a record, a line a file that begins with its path; none where it is whole.

    Files are read in blocks. Files that the manifest does not name are no part of the record.
    """
    path = f"{folder}/{MANIFEST}"
    try:
        manifest = files.read(path)
    except ABSENT:
        return [f"{files.path(folder)} is unfinished: it has no {MANIFEST}"]
    digests = manifest_digests(manifest)
    if digests is None:
        return [f"{files.path(path)} is not as it was written"]
    found = ((files.path(f"{folder}/{name}"), _fault(files, f"{folder}/{name}", digests[name])) for name in digests)
    return [f"{path} {fault}" for path, fault in found if fault]


def record_folders(files: Files, folder: str) -> list[str]:
    """Folders of the records below a folder, at any depth, and those directly below it that hold files and no record;
    relative to it, sorted."""
    names = [name for name in files.walk(folder) if "/" in name]
    sealed = {name.removesuffix(f"/{MANIFEST}") for name in names if name.endswith(f"/{MANIFEST}")}
    unfinished = {name.partition("/")[0] for name in names} - {name.partition("/")[0] for name in sealed}
    return sorted(sealed | unfinished)


def manifest_digests(manifest: bytes) -> dict[str, str] | None:
    """What a manifest says, or None where it is not the canonical dump of names and digests."""
    try:
        document = json.loads(manifest)
    except ValueError:
        return None
    if not isinstance(document, dict) or not document or not all(isinstance(value, str) for value in document.values()):
        return None
    return document if dump(document) == manifest else None


def _digest(files: Files, name: str) -> str:
    digest = hashlib.sha256()
    for block in files.blocks(name):
        digest.update(block)
    return digest.hexdigest()


def _fault(files: Files, name: str, digest: str) -> str | None:
    try:
        return None if _digest(files, name) == digest else "does not match its checksum"
    except ABSENT:
        return "is missing"
