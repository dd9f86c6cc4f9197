from __future__ import annotations

import logging
from typing import Any

import pytest

from nas.monitors.fanout import FanOut


class Keeper:
    def __init__(self, breaks_at: str = "", *, breaks_on_close: bool = False) -> None:
        self.seen: list[Any] = []
        self.closed = 0
        self.breaks_at = breaks_at
        self.breaks_on_close = breaks_on_close

    def handle(self, event: Any) -> None:
        if event["event"] == self.breaks_at:
            raise OSError("disk full")
        self.seen.append(event["event"])

    def close(self) -> None:
        self.closed += 1
        if self.breaks_on_close:
            raise OSError("disk full")


def test_a_broken_monitor_is_put_aside(caplog: pytest.LogCaptureFixture) -> None:
    good, bad, worse = Keeper(), Keeper("b"), Keeper("b", breaks_on_close=True)
    with caplog.at_level(logging.WARNING), FanOut([bad, worse, good]) as all_of_them:
        for name in "abc":
            all_of_them.handle({"event": name})
    assert good.seen == ["a", "b", "c"]
    assert bad.seen == worse.seen == ["a"]
    assert (good.closed, bad.closed, worse.closed) == (1, 1, 1)
    assert sum("stopped at event 'b'" in text for text in caplog.messages) == 2
    assert sum("did not close" in text for text in caplog.messages) == 1


def test_stopping_is_not_swallowed() -> None:
    class Stops(Keeper):
        def handle(self, event: Any) -> None:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        FanOut([Stops()]).handle({"event": "a"})
