"""What is known of a corpus without reading it, as long as its files are the same.

To read and hash a corpus takes a second, at the start of every command that names it. What came of that is kept in the
user's cache under a digest of the files' paths, sizes and times of change, which costs a look at each.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from lbscale.cache import cache_folder


@dataclass(frozen=True)
class Summary:
    """A corpus's fingerprint, and the bytes of each of its training documents, in their order."""

    fingerprint: str
    train_bytes: tuple[int, ...]


def kept_summary(listing: Iterable[tuple[str, int, int]], read: Callable[[], Summary]) -> Summary:
    """The summary of the files that `listing` gives by path, size and time of change: what is kept of them, or else
    what `read` finds, which is kept then."""
    digest = hashlib.sha256(json.dumps(list(listing)).encode()).hexdigest()[:16]
    path = cache_folder("corpora") / f"{digest}.json"
    kept = _kept(path)
    if kept is not None:
        return kept
    summary = read()
    with contextlib.suppress(OSError):  # a cache that cannot be written costs the next process a second
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps({**asdict(summary), "sha256": _digest(asdict(summary))}))
    return summary


def _kept(path: Path) -> Summary | None:
    """None where nothing whole is kept: a wrong fingerprint would make other runs of all that name the corpus."""
    try:
        document = json.loads(path.read_bytes())
        digest = document.pop("sha256")
        return Summary(document["fingerprint"], tuple(document["train_bytes"])) if digest == _digest(document) else None
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return None


def _digest(document: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(document, sort_keys=True).encode()).hexdigest()
