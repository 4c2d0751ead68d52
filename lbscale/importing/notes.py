"""What an import says of itself as it goes."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass
class Notes:
    """Rules by which columns were read, and conventions that could not be established."""

    columns: list[dict[str, str]] = field(default_factory=list)
    not_established: list[dict[str, str | None]] = field(default_factory=list)
    loss_unit: str | None = None
    loss_split: str | None = None
    is_own: bool = False

    def read(self, column: str, name: str, rule: str) -> None:
        """`column` is `name`, by `rule`."""
        self.columns.append({"column": column, "name": name, "rule": rule})

    def unknown(self, convention: str, why: str, assumed: str | None = None) -> None:
        """A convention that the table leaves open, and what is assumed of it, if anything."""
        self.not_established.append({"convention": convention, "why": why, "assumed": assumed})
