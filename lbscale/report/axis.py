"""An axis: a range of values laid onto 0 to 1, and its ticks. `page.js` makes the same ticks when it zooms."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np

DIGITS = ((1, 2, 5), (1, 3), (1,))  # with which ticks of a logarithmic axis begin
UNITS = ((1e12, " T"), (1e9, " B"), (1e6, " M"), (1e3, " k"))


@dataclass(frozen=True)
class Axis:
    """Values from `low` to `high`, by their logarithm where `log`; ticks of `counts` read 83 k, 1.2 M."""

    label: str
    low: float
    high: float
    log: bool = False
    counts: bool = False

    def at(self, values: Any) -> Any:
        """Where values lie: 0 at the low end, 1 at the high end; nowhere (NaN) for what has no logarithm."""
        values = np.asarray(values, float)
        if self.log:
            with np.errstate(invalid="ignore", divide="ignore"):
                return np.log(values / self.low) / math.log(self.high / self.low)
        return (values - self.low) / (self.high - self.low)

    def ticks(self, most: int = 7) -> list[tuple[float, str]]:
        """Places, 0 to 1, and what stands there: about `most` at most."""
        return [(float(self.at(value)), tick_text(value, self.counts)) for value in self._values(most)]

    def _values(self, most: int) -> list[float]:
        if self.log:
            fewest = 2 if self.high > 10 * self.low else 3
            for digits in DIGITS:
                found = self._decades(digits)
                if fewest <= len(found) <= most:
                    return found
            if len(found) > most:
                return found[:: math.ceil(len(found) / most)]
        return self._even(most)

    def _decades(self, digits: Iterable[int]) -> list[float]:
        first, last = math.floor(math.log10(self.low)), math.ceil(math.log10(self.high))
        values = [digit * 10.0**power for power in range(first, last + 1) for digit in digits]
        return [value for value in values if self.low <= value <= self.high]

    def _even(self, most: int) -> list[float]:
        raw = (self.high - self.low) / max(most - 2, 3)
        power = 10.0 ** math.floor(math.log10(raw))
        step = power * next(digit for digit in (1, 2, 5, 10) if digit * power >= raw * (1 - 1e-9))
        first, last = math.ceil(self.low / step - 1e-9), math.floor(self.high / step + 1e-9)
        return [k * step for k in range(first, last + 1)]


def around(label: str, values: Any, counts: bool = False, log: bool | None = None, room: float = 0.06) -> Axis:
    """The axis of finite values with some room about them; logarithmic, unless said, over a factor of 3 of positive
    ones. One value gets a range of its own."""
    values = np.asarray(values, float)
    values = values[np.isfinite(values)]
    low, high = (float(values.min()), float(values.max())) if values.size else (0.0, 1.0)
    if log is None:
        log = low > 0 and high > 3 * low
    if log and low > 0:
        wide = (high / low) ** room if high > low else 1.5
        return Axis(label, low / wide, high * wide, True, counts)
    wide = room * (high - low) if high > low else 0.05 * abs(high) or 1.0
    return Axis(label, low - wide, high + wide, False, counts)


def tick_text(value: float, counts: bool) -> str:
    """A tick's number: six digits at most, in thousands and so on for counts, by powers of ten beyond reading."""
    if counts:
        for size, unit in UNITS:
            if value >= size * (1 - 1e-9):
                return f"{_plain(value / size)}{unit}"
    if value and not 1e-4 <= abs(value) < 1e6:
        power = math.floor(math.log10(abs(value)) + 1e-9)
        return f"{_plain(value / 10.0**power)}e{power}"
    return _plain(value)


def _plain(value: float) -> str:
    return f"{value:.6g}"
