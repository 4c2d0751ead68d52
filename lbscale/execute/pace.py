"""How many micro-steps a call takes: so few that the loop can save, stop or report about once a second.

How training is cut into calls changes no bit of it.
"""

from __future__ import annotations

import time
from dataclasses import dataclass

_SECONDS_A_CALL = 1.0


@dataclass
class Pace:
    """Micro-steps of the next call, at most `most`; few at first, while nothing is known."""

    most: int
    steps: int = 8
    _calls: int = 0
    _began: float = 0.0

    def begin(self) -> None:
        """A call begins."""
        self._began = time.perf_counter()

    def end(self, n_steps: int) -> None:
        """The call has ended. The first one may have compiled and says nothing."""
        self._calls += 1
        if self._calls > 1:
            seconds = max(time.perf_counter() - self._began, 1e-9)
            affordable = int(_SECONDS_A_CALL * n_steps / seconds)
            self.steps = max(1, min(self.most, 8 * self.steps, affordable))
