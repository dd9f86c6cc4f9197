"""When a training has collapsed: its figure stays far above the best it had.

That alone is no collapse. In its first epochs a distance rises and falls by more than that (three
of twenty random generators on digits, which all came to good ones later), and near 0 half as much
again is still good. So something has to be won first, and much of it given back.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from nas.core.errors import CandidateError

__all__ = ["Guard"]

WON: Final = 0.5
"""Of the first figure the best has to be at most so much before there is anything to lose."""
GIVEN_BACK: Final = 0.25
"""Share of what was won since the first look that a collapse gives back, at least."""


class Guard:
    """Looks at a figure of which less is better, after every epoch.

    Args:
        factor: How many times its best it may be; 0 for whatever it likes.
        checks: Looks on end that it may be more.
    """

    def __init__(self, factor: float, checks: int) -> None:
        self._factor, self._checks = factor, checks
        self._first: float | None = None
        self._best = 0.0
        self._beyond = 0

    def look(self, value: float, epoch: int) -> None:
        """Take note of the figure after an epoch.

        Raises:
            CandidateError: It has been too large too often on end.
        """
        if self._first is None:
            self._first = self._best = value
        self._best = min(self._best, value)
        won = self._first - self._best
        lost = self._best <= WON * self._first and value > self._best + GIVEN_BACK * won
        far = lost and value > self._factor * max(self._best, 0.0)
        self._beyond = self._beyond + 1 if self._factor and far else 0
        if self._beyond >= self._checks:
            raise CandidateError(
                f"collapsed: {value:.4g} after epoch {epoch}, {self._checks} times on end above "
                f"{self._factor:g} x the best, {self._best:.4g}",
                "lower the learning rates, raise gamma, or set collapse_factor to 0",
            )

    def state(self) -> list[float]:
        """For a checkpoint."""
        return [] if self._first is None else [self._first, self._best, float(self._beyond)]

    def load_state(self, state: Sequence[float]) -> None:
        """Become what gave `state`."""
        if state:
            (self._first, self._best), self._beyond = state[:2], int(state[2])
