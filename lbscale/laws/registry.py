"""The laws by name."""

from __future__ import annotations

from lbscale.errors import check_choice
from lbscale.laws.chinchilla import CHINCHILLA
from lbscale.laws.form import Law
from lbscale.laws.joint import JOINT

LAWS: dict[str, Law] = {law.name: law for law in (CHINCHILLA, JOINT)}


def get(name: str) -> Law:
    """The law called `name`; raises InputError, with the nearest name, where there is none."""
    check_choice("law", name, LAWS)
    return LAWS[name]
