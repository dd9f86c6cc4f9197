"""A GAN search whose session is made up: answers depend on everything it was ever asked."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from nas.core.objective import Objective
from nas.core.problem import Problem
from nas.core.protocols import Context, Reply
from nas.core.seeds import derive
from nas.core.work import Spent
from nas.strategies.eagan.strategy import Eagan
from search_spaces import get_space

__all__ = ["ToyEagan", "ToyGanSession", "toy_gan_problem"]

ROUND: int = 3
"""Epochs of a round of pairs."""


def toy_gan_problem() -> Problem:
    """Pairs, to be searched for a small distance and few parameters."""
    return Problem(get_space("gan"), (Objective("fd_toy"), Objective("params")))


class ToyGanSession:
    """Answers what `eagan` asks, without networks.

    Args:
        spec: The run's configuration; its "seed" is a part of the state.
        context: Of the worker.
    """

    readonly: ClassVar[frozenset[str]] = frozenset({"score", "score_pairs"})

    def __init__(self, spec: Mapping[str, Any], context: Context) -> None:
        self._state = float(spec.get("seed", 0))
        self._paths: list[str] = []

    def call(self, method: str, arguments: Mapping[str, Any], context: Context) -> Reply:
        """Do one step."""
        chance = float(np.random.default_rng(context.seed).random())
        if method == "score":
            return Reply(value=self._scores(arguments["paths"], chance))
        if method == "score_pairs":
            both = [self._scores(self._paths, chance + i) for i in (0, 1)]
            return Reply(value=[list(row) for row in zip(*both, strict=True)])
        text = json.dumps([method, dict(arguments)], sort_keys=True)
        self._state = math.sin(self._state + chance + derive(0, text) % 1000)
        if method in ("arrange", "confirm"):
            self._paths = list(arguments["paths"])
            return Reply(value={"epochs": ROUND})
        epochs = float(arguments.get("epochs", 0))
        value = {"counts": [0] * len(arguments.get("paths") or ()), "failed": []}
        return Reply({"generator_loss": self._state}, value, spent=Spent(epochs=epochs))

    def _scores(self, paths: Sequence[str], chance: float) -> list[dict[str, float] | None]:
        """Every seventh genotype, more or less, fails."""
        found: list[dict[str, float] | None] = []
        for path in paths:
            own = derive(1, path) % 1000 / 1000
            distance = 10 + 5 * math.sin(self._state + 7 * own) + math.cos(chance + own)
            figures = {"fd_toy": distance, "fd_toy_se": 0.3, "params": 1000 + 500 * own}
            found.append(None if derive(2, path) % 7 == 0 else figures)
        return found

    def save(self, path: Path) -> None:
        """Write the state."""
        path.write_text(json.dumps([self._state, self._paths]))

    def load(self, path: Path) -> None:
        """Read the state."""
        self._state, self._paths = json.loads(path.read_text())


class ToyEagan(Eagan):
    """`eagan` with that session."""

    sessions: ClassVar[Mapping[str, str]] = {"gan": "nas.testing.gan:ToyGanSession"}
