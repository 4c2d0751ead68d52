"""An error is one printable line of bounded length, whatever the value and the words are."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lbscale.errors import InputError


class Mute:
    """A value that cannot say what it is."""

    def __repr__(self) -> str:
        raise ValueError("no words")

    __str__ = __repr__


@given(st.text(), st.text(), st.text())
def test_any_words_make_one_printable_line(field: str, value: str, allowed: str) -> None:
    assert str(InputError(field, value, allowed)).isprintable()


@pytest.mark.parametrize(
    "value", ["x" * 10**6, list(range(10**5)), 10**5000, Mute()], ids=["text", "list", "int", "mute"]
)
def test_a_value_that_is_long_or_has_no_words_is_still_shown(value: object) -> None:
    said = str(InputError("field", value, "something else"))
    assert len(said) < 300 and said.startswith("field: ") and said.endswith(" cannot be used; something else")


def test_the_value_itself_stays_with_the_error() -> None:
    value = ["x"] * 1000
    assert InputError("field", value, "less").value is value
