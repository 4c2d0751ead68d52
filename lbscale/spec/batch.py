"""How many tokens go into one update, as a function of the token clock."""

from __future__ import annotations

from dataclasses import dataclass

from lbscale.errors import check
from lbscale.spec.coerce import as_int, as_ints


@dataclass(frozen=True)
class ConstantBatch:
    """Every update takes `batch_size_tokens` row positions."""

    batch_size_tokens: int

    kind = "constant"

    def __post_init__(self) -> None:
        as_int(self, "batch_size_tokens", lowest=1)

    @property
    def sizes_tokens(self) -> tuple[int, ...]:
        """Every batch size this schedule takes."""
        return (self.batch_size_tokens,)


@dataclass(frozen=True)
class RampedBatch:
    """Batch sizes in steps: `sizes_tokens[i]` until `until_tokens[i]`, the last one to the end."""

    sizes_tokens: tuple[int, ...]
    until_tokens: tuple[int, ...]

    kind = "ramp"

    def __post_init__(self) -> None:
        for name in ("sizes_tokens", "until_tokens"):
            as_ints(self, name)
        sizes, until = self.sizes_tokens, self.until_tokens
        check(len(sizes) >= 1 and min(sizes) >= 1, "sizes_tokens", sizes, "positive batch sizes are needed")
        check(list(sizes) == sorted(sizes), "sizes_tokens", sizes, "a ramp must not shrink")
        check(len(until) == len(sizes) - 1, "until_tokens", until, "one boundary fewer than sizes is needed")
        rising = all(a < b for a, b in zip((0, *until), until, strict=False))
        check(rising, "until_tokens", until, "positive, rising token counts are needed")

    @property
    def batch_size_tokens(self) -> int:
        """The batch size a table reports: the final one."""
        return self.sizes_tokens[-1]


Batch = ConstantBatch | RampedBatch
