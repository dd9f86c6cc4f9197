"""An engine for `eagan` that answers at once, by made-up distances."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from nas.core.objective import parse_objectives
from nas.core.problem import Problem
from nas.core.work import Call, Outcome
from nas.strategies.eagan.settings import EaganSettings
from nas.strategies.eagan.strategy import Eagan
from search_spaces import get_space

GENERATORS: Any = get_space("gan-generator")
DISCRIMINATORS: Any = get_space("gan-discriminator")
AUTOGAN = DISCRIMINATORS.format(DISCRIMINATORS.members["AutoGAN"])
SMALL: dict[str, Any] = {
    "chunk": 4,
    "generators": {"warmup": 5, "rounds": 3, "epochs": 4, "population": 6},
    "discriminators": {"warmup": 3, "rounds": 2, "population": 4, "stop": False},
}

Distance = Callable[[str, int], float]
"""Genotype and number of the pair to the first figure."""


def by_name(text: str, pair: int) -> float:
    rng = np.random.default_rng([pair, *text.encode()])
    return 5 + 10 * float(rng.random())


@dataclass
class Engine:
    """Answers as the session does; keeps what was asked and announced."""

    settings: Mapping[str, Any] = field(default_factory=lambda: SMALL)
    space: str = "gan"
    distance: Distance = by_name
    params: Callable[[str], float] = lambda text: 1000.0
    objectives: tuple[str, ...] = ("fd_classifier", "params")
    calls: list[Call] = field(default_factory=list)
    announced: list[tuple[str, Mapping[str, Any]]] = field(default_factory=list)
    fails: str = ""
    _paths: list[str] = field(default_factory=list)
    _pairs: range = range(0)

    def problem(self) -> Problem:
        return Problem(
            get_space(self.space),
            parse_objectives(self.objectives),
            announce=lambda topic, payload: self.announced.append((topic, dict(payload))),
        )

    def run(self, seed: int = 0, most: int = 10_000) -> Any:
        """What the strategy finds; the engine closes it after so many calls."""
        generator = Eagan(self.settings).run(self.problem(), np.random.default_rng(seed))
        answer: Any = None
        while True:
            try:
                if len(self.calls) >= most:
                    generator.throw(GeneratorExit)
                (call,) = generator.send(answer)
            except StopIteration as end:
                return end.value
            assert isinstance(call, Call)
            self.calls.append(call)
            if call.method == self.fails:
                answer = [Outcome(call, "failed", error="diverged")]
            else:
                answer = [Outcome(call, value=self.answer(call))]

    def answer(self, call: Call) -> Any:
        given, stage = (
            dict(call.arguments),
            EaganSettings(**self.settings).resolved.discriminators,
        )
        if call.method == "score":
            return [self.figures(text, 0) for text in given["paths"]]
        if call.method == "arrange":
            self._paths, self._pairs = list(given["paths"]), range(1, 1 + (stage.replicates or 0))
            return {"epochs": 6}
        if call.method == "confirm":
            self._paths, self._pairs = list(given["paths"]), range(50, 50 + (stage.confirm or 0))
            return {"epochs": 6}
        if call.method == "score_pairs":
            return [[self.figures(text, pair) for pair in self._pairs] for text in self._paths]
        return {}

    def figures(self, text: str, pair: int) -> Any:
        value = self.distance(text, pair)
        if not math.isfinite(value):
            return None
        size = self.params(text)
        return {
            "fd_classifier": value,
            "fd_classifier_se": 0.1,
            "params": size,
            "discriminator_params": size,
        }

    def methods(self) -> list[str]:
        return [call.method for call in self.calls]

    def told(self, topic: str) -> list[Mapping[str, Any]]:
        return [payload for name, payload in self.announced if name == topic]


def settings(**given: Any) -> dict[str, Any]:
    stage = {**SMALL["discriminators"], **given.pop("discriminators", {})}
    return {**SMALL, "discriminators": stage, **given}
