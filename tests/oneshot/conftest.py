"""Supernets small enough to be trained in a blink, as sessions."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from nas.core.architecture import Architecture
from nas.core.config import RunConfig, merge
from nas.core.objective import parse_objectives
from nas.core.problem import Problem
from nas.core.protocols import Context
from nas.core.work import Call, Outcome
from nas.oneshot.session import SupernetSession, open_supernet
from nas.strategies.darts import Darts

NETWORKS = {"nasbench201": {"channels": 2, "layers": 1}}
SETTINGS = {
    "epochs": 2,
    "weights": {"batch_size": 5},
    "alphas": {"learning_rate": 0.1},
    "pictures": {"flip": False, "crop_padding": 1},
    "selection": {"interval": 1, "at_least": 4, "batch_size": 8},
}


def open_session(
    space: str = "nasbench201",
    seed: int = 0,
    limit: int = 20,
    network: Mapping[str, int] | None = None,
    device: str = "cpu",
    **settings: Any,
) -> SupernetSession:
    """A new session; `settings` go over `SETTINGS`."""
    config = RunConfig(
        space=space,
        strategy="darts",
        network=dict(network or NETWORKS.get(space, {"channels": 2, "layers": 3})),
        data_settings={"limit": limit},
        settings=merge(SETTINGS, settings),
        seed=seed,
    )
    return open_supernet(config.model_dump(mode="json"), Context(device=device))


class Driver:
    """Calls a session with seeds that depend on the number of the call."""

    def __init__(self, session: SupernetSession, calls: int = 0) -> None:
        self.session = session
        self.calls = calls

    def __call__(self, method: str, **arguments: Any) -> Any:
        self.calls += 1
        return self.session.call(method, arguments, Context(seed=self.calls)).value

    def search(self, settings: Mapping[str, Any], seed: int = 0) -> Architecture:
        """Let the strategy itself ask."""
        problem = Problem(self.session.space, parse_objectives(["error"]))  # type: ignore[arg-type]
        generator = Darts(settings).run(problem, np.random.default_rng(seed))
        answer: Any = None
        while True:
            try:
                request = generator.send(answer)
            except StopIteration as end:
                return end.value[0].architecture  # type: ignore[no-any-return]
            answer = []
            for call in request:  # type: ignore[union-attr]
                assert isinstance(call, Call)
                answer.append(Outcome(call, value=self(call.method, **call.arguments)))


@pytest.fixture
def session() -> Callable[..., SupernetSession]:
    """Opens sessions."""
    return open_session


@pytest.fixture
def driver() -> Callable[..., Driver]:
    """Opens sessions and drives them."""
    return lambda *args, **settings: Driver(open_session(*args, **settings))


@pytest.fixture
def reopened(tmp_path: Path) -> Callable[..., Driver]:
    """`reopened(driver, ...)`: a new session that has loaded what the other's saves."""

    def reopen(old: Driver, *args: Any, **settings: Any) -> Driver:
        old.session.save(tmp_path / "state")
        new = Driver(open_session(*args, **settings), old.calls)
        new.session.load(tmp_path / "state")
        return new

    return reopen
