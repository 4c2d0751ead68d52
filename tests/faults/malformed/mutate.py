"""Small damage to JSON documents, to bytes and to text; every choice is the generator's."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from random import Random
from typing import Any

WRONG_VALUES: tuple[Any, ...] = (
    *(None, True, False, 0, -1, 1, 1.5, -0.0, 1e-320, 1e308, -1e308, 2**63, 2**80, 10**400),
    *(math.nan, math.inf, -math.inf, "", "x", "1", "nan", "\x00", "a\nb", "\x1b[31mred", "\ud800", "é" * 300),
    *([], {}, [1], [[[]]], [None, "x"], [1e308, -1], {"kind": "adamw"}, {"kind": ["mup"]}, {"a": {"b": 1}}),
)
WRONG_NAMES = ("", "x", "kind", "schema", "a\nb", "\ud800", "__class__", "self", "é")
RUBBISH = (
    b"",
    b"\x00",
    b"{",
    b"[]",
    b"null",
    b"NaN",
    b'"text"',
    b"\xff\xfe\x00",
    b"[" * 100_000,
    b"9" * 5000,
    b"{" * 3,
)


def wrong_value(random: Random) -> Any:
    """A fresh value of some type that a field seldom takes."""
    return copy.deepcopy(random.choice(WRONG_VALUES))


def damaged_document(random: Random, document: Any, times: int | None = None) -> Any:
    """A copy of a JSON document with one to three of its places changed."""
    whole = {"": copy.deepcopy(document)}
    for _ in range(times or random.choice((1, 1, 1, 2, 3))):
        owner, key = random.choice(list(_places(whole)))
        random.choice(_CHANGES)(random, owner, key)
    return whole.get("")


def damaged_bytes(random: Random, content: bytes) -> bytes:
    """The bytes cut short, with a bit flipped, bytes put in or taken out, in another encoding, or replaced."""
    place = random.randrange(len(content) + 1)
    kind = random.randrange(6)
    if kind == 0:
        return content[:place]
    if kind == 1 and place < len(content):
        return content[:place] + bytes([content[place] ^ 1 << random.randrange(8)]) + content[place + 1 :]
    if kind == 2:
        return content[:place] + random.randbytes(random.randrange(1, 9)) + content[place:]
    if kind == 3:
        return content[:place] + content[place + random.randrange(1, 40) :]
    if kind == 4:
        return content.decode(errors="replace").encode(random.choice(("utf-16", "utf-8-sig", "utf-32")))
    return random.choice(RUBBISH)


def damaged_text(random: Random, text: str) -> str:
    """The text with a piece dropped, doubled, swapped or made of other characters."""
    first, last = sorted((random.randrange(len(text) + 1), random.randrange(len(text) + 1)))
    put = random.choice(("", text[first:last] * 2, random.choice(WRONG_TEXT), text[first:last][::-1]))
    return text[:first] + put + text[last:]


WRONG_TEXT = (
    " ",
    "\n",
    "\t",
    "'",
    '"',
    "(",
    "=",
    "--",
    "é",
    "\u202e",
    "\ud83d",
    "9" * 400,
    "%s",
    "$HOME",
    "\x1b[2J",
    "x" * 300,
)


def _places(document: Any) -> Any:
    """Every (container, key) of a nested document."""
    for key, value in list(document.items() if isinstance(document, dict) else enumerate(document)):
        yield document, key
        if isinstance(value, dict | list):
            yield from _places(value)


def _replace(random: Random, owner: Any, key: Any) -> None:
    owner[key] = wrong_value(random)


def _drop(random: Random, owner: Any, key: Any) -> None:
    if key != "":
        del owner[key]


def _add(random: Random, owner: Any, key: Any) -> None:
    if isinstance(owner, dict):
        owner[random.choice(WRONG_NAMES) if key != "" else key] = wrong_value(random)
    else:
        owner.insert(key, wrong_value(random))


def _rename(random: Random, owner: Any, key: Any) -> None:
    if isinstance(owner, dict) and key != "":
        owner[random.choice((*WRONG_NAMES, key + "s", key.upper()))] = owner.pop(key)


def _swap(random: Random, owner: Any, key: Any) -> None:
    other = random.choice(list(owner) if isinstance(owner, dict) else range(len(owner)))
    owner[key], owner[other] = owner[other], owner[key]


def _nest(random: Random, owner: Any, key: Any) -> None:
    owner[key] = random.choice(([owner[key]], {"kind": owner[key]}, {"value": owner[key]}, str(owner[key])))


def _scale(random: Random, owner: Any, key: Any) -> None:
    value = owner[key]
    if isinstance(value, int | float) and not isinstance(value, bool):
        owner[key] = random.choice((-value, value * 3, value * 1e300, value + 0.5, value // 3 if value == value else 0))


_CHANGES: tuple[Callable[[Random, Any, Any], None], ...] = (
    _replace,
    _replace,
    _drop,
    _add,
    _rename,
    _swap,
    _nest,
    _scale,
)
