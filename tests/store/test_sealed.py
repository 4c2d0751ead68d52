"""A document that carries its checksum: every change of a byte is found, every cut is told from a change."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lbscale.errors import InputError
from lbscale.store.sealed import is_cut_short, sealed, unsealed

DOCUMENT = {"runs": [{"kind": "run", "n_tokens": 1024}], "predictions": {"loss": 2.5, "text": "\n}\n"}, "empty": {}}


VALUES = st.none() | st.integers() | st.text() | st.lists(st.floats(allow_nan=False, allow_infinity=False))


@given(st.dictionaries(st.text(), VALUES))
def test_a_document_comes_back(document: dict[str, Any]) -> None:
    content = sealed(document)
    assert unsealed(content, "x") == document and not is_cut_short(content)
    assert json.loads(content)["bytes"] == len(content)


@pytest.mark.parametrize("size", [*range(40), 600, 640, 9_700, 9_800])
def test_every_size_counts_its_own_digits(size: int) -> None:
    content = sealed({"text": "x" * size})
    assert json.loads(content)["bytes"] == len(content)


def test_every_beginning_is_cut_short() -> None:
    content = sealed(DOCUMENT)
    assert all(is_cut_short(content[:length]) for length in range(len(content)))


def test_every_changed_byte_is_found_and_is_no_cut() -> None:
    content = sealed(DOCUMENT)
    for i, byte in enumerate(content):
        for other in {byte ^ (1 << i % 8), ord(" "), ord("9"), 0} - {byte}:
            changed = content[:i] + bytes([other]) + content[i + 1 :]
            assert not is_cut_short(changed)
            with pytest.raises(InputError, match="'the path' cannot be used"):
                unsealed(changed, "the path")


def test_a_plain_document_is_taken_as_it_is() -> None:
    plain = (json.dumps(DOCUMENT, indent=1, sort_keys=True) + "\n").encode()
    assert unsealed(plain, "x") == DOCUMENT and not is_cut_short(plain)


@pytest.mark.parametrize("content", [b"[]", b"3", b"not JSON, and longer than an opening"])
def test_what_is_no_document_is_refused(content: bytes) -> None:
    with pytest.raises(InputError, match="'x' cannot be used"):
        unsealed(content, "x")
