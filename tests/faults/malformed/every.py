"""The cases by number."""

from __future__ import annotations

from random import Random

from malformed.case import Case
from malformed.fits import fit_case
from malformed.lines import line_case
from malformed.modules import module_case
from malformed.specs import recorded_case, spec_case
from malformed.tables import table_case

# One of each ten in turn, so that any stretch of numbers has every kind.
TURNS = (
    spec_case,
    table_case,
    fit_case,
    spec_case,
    line_case,
    table_case,
    module_case,
    fit_case,
    table_case,
    recorded_case,
)


def make_case(number: int) -> Case:
    """The case of a number."""
    return TURNS[number % len(TURNS)](Random(number))
