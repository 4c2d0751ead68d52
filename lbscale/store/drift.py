"""Flax models whose source is no longer what recorded runs of the same path and version were trained with."""

from __future__ import annotations

from collections.abc import Iterable

from lbscale.spec import FlaxModel, Run, source_digest
from lbscale.store.directory import Store

SOURCE_DIGEST = "definition_sha256"  # its name in a result's machine record


def source_drift(store: Store, runs: Iterable[Run]) -> list[str]:
    """A warning line for each path and version among `runs` that the store holds runs of under another digest.

    Such runs are not trained again, since source code is no part of a key: only the author knows whether numbers moved.
    """
    models = {(run.model.path, run.model.version): run.model for run in runs if isinstance(run.model, FlaxModel)}
    recorded: dict[tuple[str, str], list[str]] = {name: [] for name in models}
    for run, result in (store.read(key) for key in (store.whole_keys() if models else [])):
        if isinstance(run.model, FlaxModel) and (run.model.path, run.model.version) in models:
            recorded[run.model.path, run.model.version].append(str(result.machine.get(SOURCE_DIGEST)))
    lines = []
    for (path, version), model in models.items():
        now = source_digest(model)
        others = [digest for digest in recorded[path, version] if digest != now]
        if others:
            was = ", ".join(sorted(set(others)))
            lines.append(
                f"{path}: its source is now {now}, and {len(others)} recorded runs of version {version!r} were trained "
                f"with {was}; state a new version if its numbers moved"
            )
    return lines
