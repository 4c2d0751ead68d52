"""What a run reads: a named corpus, pinned by its fingerprint."""

from __future__ import annotations

from dataclasses import dataclass

from lbscale.spec.coerce import as_int, as_name

_LONGEST_ROW = 65_535  # positions in a row are kept in 16 bits


@dataclass(frozen=True, kw_only=True)
class Corpus:
    """A corpus cut into rows of `seq_len` tokens; `fingerprint` pins its bytes, so that other text is another run."""

    name: str
    fingerprint: str
    seq_len: int

    kind = "corpus"

    def __post_init__(self) -> None:
        as_int(self, "seq_len", lowest=2, highest=_LONGEST_ROW)
        for field in ("name", "fingerprint"):
            as_name(self, field)
