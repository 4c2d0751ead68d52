"""A document that carries its own size and checksum, for files that are created once and so have no manifest.

The size comes first in the file: what was cut short, by a writer that is still at it or that died, is told from what
was damaged after it was whole.
"""

from __future__ import annotations

import hashlib
import json
import re
from typing import Any

from lbscale.errors import InputError, check
from lbscale.store.record import dump

_OPENING = re.compile(rb'\{\n "bytes": (\d+),\n')
_SHORTEST_BYTES = 64  # its digest alone is that long
_FIELDS = {"bytes", "document", "sha256"}


def sealed(document: dict[str, Any]) -> bytes:
    """The content of a file that holds the document."""
    envelope = {"document": document, "sha256": hashlib.sha256(dump(document)).hexdigest()}
    n_bytes = len(dump(envelope | {"bytes": 0}))
    while len(dump(envelope | {"bytes": n_bytes})) != n_bytes:  # the size counts its own digits
        n_bytes += 1
    return dump(envelope | {"bytes": n_bytes})


def is_cut_short(content: bytes) -> bool:
    """Whether content is a beginning of what `sealed` returns, and no more than that."""
    opening = _OPENING.match(content)
    n_bytes = int(opening[1]) if opening else _SHORTEST_BYTES
    return len(content) < n_bytes and not content.endswith(b"\n}\n")


def unsealed(content: bytes, path: str) -> dict[str, Any]:
    """The document in a file's content; raises InputError, which names `path`, where a byte of it changed.

    A plain JSON object, which stores of schema 1 hold, is returned as it is.
    """
    damaged = InputError("file", path, "it is not as it was written; `lbscale verify` says how to mend it")
    try:
        envelope = json.loads(content)
    except ValueError:
        raise damaged from None
    check(isinstance(envelope, dict), "file", path, "a JSON object is needed")
    if not _FIELDS & envelope.keys():
        return envelope
    document = envelope.get("document")
    if not isinstance(document, dict) or sealed(document) != content:
        raise damaged
    return document
