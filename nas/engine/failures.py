"""When failing candidates are a failing run."""

from __future__ import annotations

import re
from collections import Counter, deque

from nas.engine.errors import RunFailed


class FailureWatch:
    """Ends a run in which too many evaluations fail.

    Args:
        first: A run whose first that many evaluations all failed is over.
        window: How many of the latest evaluations are looked at.
        rate: A run is over when more than this part of a full window failed.
    """

    def __init__(self, first: int = 5, window: int = 20, rate: float = 0.5) -> None:
        self._first = first
        self._rate = rate
        self._recent: deque[str] = deque(maxlen=window)
        self._count = 0
        self._succeeded = False

    def saw(self, error: str) -> None:
        """Count an evaluation; `error` is empty if it succeeded.

        Raises:
            RunFailed: Too many failed; names the most common reason.
        """
        self._count += 1
        self._recent.append(error)
        self._succeeded = self._succeeded or not error
        failed = [text for text in self._recent if text]
        if not self._succeeded and self._count >= self._first:
            self._fail(f"the first {self._count} evaluations all failed", failed)
        if len(self._recent) == self._recent.maxlen and len(failed) > self._rate * len(
            self._recent
        ):
            self._fail(f"{len(failed)} of the last {len(self._recent)} evaluations failed", failed)

    def _fail(self, what: str, reasons: list[str]) -> None:
        alike = Counter(re.sub(r"[-+]?\d[\d.e+-]*", "#", reason) for reason in reasons)
        common = alike.most_common(1)[0][0]
        example = next(r for r in reasons if re.sub(r"[-+]?\d[\d.e+-]*", "#", r) == common)
        raise RunFailed(
            f"{what}, most often: {example}", "mend the cause, then resume with failed ones retried"
        )
