"""A task of mobile networks whose truth is known, as a search by FBNetV3 sees it."""

from __future__ import annotations

import math
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from nas.core.architecture import Candidate
from nas.core.objective import parse_objectives
from nas.core.problem import Problem
from nas.core.work import Evaluate, Outcome
from nas.strategies.fbnetv3.strategy import FbnetV3
from nas.testing.mobile import MobileTask

from .driving import Ledger, drive

Array = np.ndarray[Any, Any]
GP: dict[str, Any] = {"predictor": "gp", "predictor_settings": {"encoding": "onehot"}}
QUICK: dict[str, Any] = {"best": 8, "random": 8, "children": 2, "generations": 6, "patience": 2}
FAST: dict[str, Any] = {**GP, "pool": 200, "first": 12, "batch": 8, "rounds": 3, "search": QUICK}
ITS: dict[str, Any] = {"predictor": None, "predictor_settings": None}
EPOCHS = 12.0
COUNTED: dict[str, Mapping[str, float]] = {}
"""Sizes of candidates, the same for all tasks: counting them takes most of the time here."""


class Mobile:
    """The mobile task as a run shows it: errors fall over twelve epochs, sizes are counted.

    Args:
        seed: Of the task.
        objectives: As a run's.
        settled: Epoch from which the order of trainings is nearly that of the end; before it, the
            noise is as large as all differences.
    """

    def __init__(self, seed: int = 0, *objectives: str, settled: int = 6) -> None:
        self.task, self.settled = MobileTask(seed), settled
        texts = objectives or ("error:min",)
        self.problem = Problem(self.task.space, parse_objectives(texts), counted=self.counted)

    def counted(self, candidate: Candidate) -> Mapping[str, float]:
        if candidate.id not in COUNTED:
            cost = self.task.space.cost(candidate.architecture)
            COUNTED[candidate.id] = {"params": float(cost.params), "macs": float(cost.macs)}
        return COUNTED[candidate.id]

    def macs(self, candidate: Candidate) -> float:
        return self.counted(candidate)["macs"]

    def error(self, candidate: Candidate) -> float:
        """The truth."""
        return 100.0 - self.task.accuracy(candidate.architecture)

    def curve(self, work: Evaluate) -> Mapping[str, Sequence[float]]:
        rng = np.random.default_rng(zlib.crc32(work.candidate.id.encode()))
        errors = []
        for epoch in range(1, int(work.budget or EPOCHS) + 1):
            noise = 0.02 if epoch >= self.settled else 2.0
            rest = 30 * math.exp(-epoch / 2)
            errors.append(self.error(work.candidate) + rest + noise * float(rng.normal()))
        return {"error": errors}

    def figures(self, work: Evaluate) -> Mapping[str, float]:
        latency = 20 + 1e-7 * self.macs(work.candidate)
        found = {"error": self.curve(work)["error"][-1], "latency_ms": latency}
        return {**found, **self.counted(work.candidate)}

    def search(self, settings: Mapping[str, Any], seed: int = 0, **more: Any) -> Ledger:
        curves = more.pop("curves", self.curve)
        return drive(
            FbnetV3({**FAST, **settings}),
            self.problem,
            more.pop("figures", self.figures),
            seed,
            curves=curves,
            **more,
        )


def batch(ledger: Ledger, number: int) -> list[Outcome]:
    """The outcomes of a batch of stage 1."""
    return [o for o in ledger.outcomes if o.work.tags.get("round") == number]  # type: ignore[union-attr]


def verified(ledger: Ledger) -> list[Outcome]:
    return [o for o in ledger.outcomes if o.work.tags.get("stage") == "verify"]  # type: ignore[union-attr]


def names(outcomes: Sequence[Outcome]) -> list[str]:
    return [outcome.candidate.id for outcome in outcomes]


def announced(problem: Problem) -> tuple[Problem, dict[str, list[Mapping[str, Any]]]]:

    events: dict[str, list[Mapping[str, Any]]] = {}
    keep = lambda name, payload: events.setdefault(name, []).append(payload)  # noqa: E731
    return replace(problem, announce=keep), events
