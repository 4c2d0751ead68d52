"""The axes that a figure is drawn on: the caller's, or those of a new figure."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib import pyplot as plt
from matplotlib.figure import Figure
from numpy.typing import NDArray

from lbscale.errors import check


def panels(ax: Any, n_rows: int = 1, n_columns: int = 1, **subplots: Any) -> NDArray[Any]:
    """Axes (n_rows, n_columns): those of `ax`, one or any nesting of as many in reading order, or of a new figure.

    `subplots` are the options of `pyplot.subplots` for the new one. Raises InputError for another number of axes.
    """
    if ax is None:
        made: NDArray[Any] = plt.subplots(n_rows, n_columns, squeeze=False, layout="constrained", **subplots)[1]
        return made
    given = np.array(ax, dtype=object)
    needed = f"{n_rows * n_columns} axes, {n_rows} rows of {n_columns}"
    check(given.size == n_rows * n_columns, "ax", f"{given.size} axes", needed)
    return given.reshape(n_rows, n_columns)


def figure_of(drawn: Any) -> Figure:
    """The figure that axes, or the first of an array of them, stand on; a figure is its own."""
    first = drawn if isinstance(drawn, Figure) else np.array(drawn, dtype=object).ravel()[0]
    whole: Figure = first.figure.figure  # a subfigure's own figure is the whole one
    return whole
