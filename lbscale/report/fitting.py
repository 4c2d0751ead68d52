"""Fit the laws of a report: those that the rows suffice for, and for each other one the reason that it is missing."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd

from lbscale import laws
from lbscale.errors import InputError
from lbscale.laws import Fit, Law


def fit_each(
    table: pd.DataFrame, forms: Mapping[str, str | Law], **options: Any
) -> tuple[dict[str, Fit], dict[str, str]]:
    """The fits by name, and name -> why a law has none. `options` are those of `laws.fit`.

    A law needs more rows than it has parameters to search: with fewer it passes through all of them and says nothing.
    """
    fits, missing = {}, {}
    for name, law in forms.items():
        try:
            found = laws.fit(table, law, **options)
        except InputError as error:
            missing[name] = str(error)
            continue
        reason = too_few(found)
        if reason is None:
            fits[name] = found
        else:
            missing[name] = reason
    return fits, missing


def too_few(fit: Fit) -> str | None:
    """Why the rows of a fit do not suffice for its law, or None where they do."""
    n_free = len(fit.law.parameters) - len(fit.fixed)
    n_values = fit.n_rows * len(fit.law.targets)
    if n_values > n_free:
        return None
    rows = "1 usable row" if fit.n_rows == 1 else f"{fit.n_rows} usable rows"
    return f"{rows}, and {n_free} parameters to find"
