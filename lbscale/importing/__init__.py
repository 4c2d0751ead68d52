"""Others' runs as a run table: each column by a stated rule, and a list of every convention that stays unknown."""

from lbscale.importing.imported import KINDS, Imported, import_runs

__all__ = ["KINDS", "Imported", "import_runs"]
