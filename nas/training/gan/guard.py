"""When a training has collapsed: its figure stays far above the best it had."""

from __future__ import annotations

from collections.abc import Sequence

from nas.core.errors import CandidateError

__all__ = ["Guard"]


class Guard:
    """Looks at a figure of which less is better, after every epoch.

    Args:
        factor: How many times its best it may be; 0 for whatever it likes.
        checks: Looks on end that it may be more.
    """

    def __init__(self, factor: float, checks: int) -> None:
        self._factor, self._checks = factor, checks
        self._best: float | None = None
        self._beyond = 0

    def look(self, value: float, epoch: int) -> None:
        """Take note of the figure after an epoch.

        Raises:
            CandidateError: It has been too large too often on end.
        """
        if self._best is None or value < self._best:
            self._best = value
        far = value > self._factor * max(self._best, 0.0)
        self._beyond = self._beyond + 1 if self._factor and far else 0
        if self._beyond >= self._checks:
            raise CandidateError(
                f"collapsed: {value:.4g} after epoch {epoch}, {self._checks} times on end above "
                f"{self._factor:g} x the best, {self._best:.4g}",
                "lower the learning rates, raise gamma, or set collapse_factor to 0",
            )

    def state(self) -> list[float]:
        """For a checkpoint."""
        return [] if self._best is None else [self._best, float(self._beyond)]

    def load_state(self, state: Sequence[float]) -> None:
        """Become what gave `state`."""
        if state:
            self._best, self._beyond = state[0], int(state[1])
