"""Where results live: one directory a run, and one table made of all of them."""

from lbscale.store.directory import Store
from lbscale.store.drift import SOURCE_DIGEST, source_drift
from lbscale.store.result import CurvePoint, Result
from lbscale.store.table import HEADLINE_COLUMNS, curves_table, results_table

__all__ = [
    "HEADLINE_COLUMNS",
    "SOURCE_DIGEST",
    "CurvePoint",
    "Result",
    "Store",
    "curves_table",
    "results_table",
    "source_drift",
]
