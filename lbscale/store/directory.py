"""One directory a run. A run exists once its manifest of checksums is written, which is done last.

<root>/store.json              the schema
<root>/runs/<key>/run.json     the run, every default written out
<root>/runs/<key>/result.json  what was measured
<root>/runs/<key>/manifest.json
<root>/registered/<name>.json  what was decided or predicted before its runs were trained
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from pathlib import Path
from typing import Any

from lbscale.errors import InputError, check
from lbscale.spec import Run, from_json, run_key, to_json
from lbscale.store.result import CurvePoint, Result

STORE_SCHEMA = 1


def _dump(document: Any) -> bytes:
    return (json.dumps(document, indent=1, sort_keys=True, allow_nan=False) + "\n").encode()


def _write(path: Path, content: bytes) -> None:
    """Write a file whole or not at all: a manifest that was cut short would make a run exist."""
    partial = path.with_name(path.name + ".partial")
    partial.write_bytes(content)
    partial.replace(path)


class Store:
    """The results of one study below `root`; nothing is written before there is something to write."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._check_schema()

    def _check_schema(self) -> None:
        usable = self.root.is_dir() or not self.root.exists()
        usable &= all(parent.is_dir() for parent in self.root.parents if parent.exists())
        check(usable, "results", str(self.root), "a folder is needed")
        path = self.root / "store.json"
        if path.exists():
            schema = _read_json(path).get("schema")
            readable = isinstance(schema, int) and schema <= STORE_SCHEMA
            check(readable, "store.schema", schema, f"this lbscale reads up to schema {STORE_SCHEMA}: {path}")

    def _directory(self, key: str) -> Path:
        return self.root / "runs" / key

    def _registration(self, name: str) -> Path:
        return self.root / "registered" / f"{name}.json"

    def keys(self) -> list[str]:
        """Keys of the recorded runs, sorted."""
        return sorted(path.parent.name for path in self.root.glob("runs/*/manifest.json"))

    def write(self, run: Run, result: Result) -> None:
        """Record a run: its files, then the manifest that makes it exist."""
        directory = self._directory(run_key(run))
        directory.mkdir(parents=True, exist_ok=True)
        schema_path = self.root / "store.json"
        if not schema_path.exists():
            _write(schema_path, _dump({"schema": STORE_SCHEMA}))
        files = {"run.json": _dump(to_json(run)), "result.json": _dump(dataclasses.asdict(result))}
        for name, content in files.items():
            _write(directory / name, content)
        sums = {name: hashlib.sha256(content).hexdigest() for name, content in files.items()}
        _write(directory / "manifest.json", _dump(sums))

    def read(self, key: str) -> tuple[Run, Result]:
        """A recorded run and its result; raises InputError when a file is not what its checksum says."""
        directory = self._directory(key)
        documents = {}
        for name, digest in _read_json(directory / "manifest.json").items():
            content = (directory / name).read_bytes() if (directory / name).exists() else b""
            whole = hashlib.sha256(content).hexdigest() == digest
            check(whole, "run", key, f"{directory / name} does not match its checksum; delete {directory}")
            documents[name] = json.loads(content)
        fields = documents["result.json"]
        curve = tuple(CurvePoint(**point) for point in fields.pop("curve"))
        run = from_json(documents["run.json"])
        check(run_key(run) == key, "run", key, f"the run in {directory} has the key {run_key(run)}")
        return run, Result(**fields, curve=curve)

    def registered(self, name: str) -> dict[str, Any] | None:
        """What was registered under `name`, or None."""
        path = self._registration(name)
        return _read_json(path) if path.exists() else None

    def register(self, name: str, document: dict[str, Any]) -> dict[str, Any]:
        """Write `document` under `name`; raises InputError when something stands there: a decision is taken once."""
        path = self._registration(name)
        check(not path.exists(), "registered", name, f"a decision is registered once: {path}")
        path.parent.mkdir(parents=True, exist_ok=True)
        _write(path, _dump(document))
        return document


def _read_json(path: Path) -> dict[str, Any]:
    try:
        document = json.loads(path.read_bytes())
    except (OSError, ValueError) as error:
        raise InputError("file", str(path), f"a readable JSON document is needed: {error}") from None
    check(isinstance(document, dict), "file", str(path), "a JSON object is needed")
    return document
