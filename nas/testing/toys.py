"""A problem small enough to be searched thousands of times in a test.

The figures have an optimum that is known, noise that depends on the seed, and a session whose
answers depend on everything it was ever asked.
"""

from __future__ import annotations

import json
import math
from collections.abc import Generator, Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from nas.core.architecture import Architecture, Candidate
from nas.core.choices import Categorical, Integer
from nas.core.errors import CandidateError
from nas.core.objective import Objective
from nas.core.problem import Problem
from nas.core.protocols import Context, Reply
from nas.core.space import Space
from nas.core.tree import ChoiceTree
from nas.core.work import Call, Evaluate, Next, Request, Spent, Start
from nas.strategies.base import Strategy

if TYPE_CHECKING:
    import networkx as nx
    from torch import nn

OPERATIONS = ("none", "skip", "conv", "pool")
GAINS = {"none": 0.0, "skip": 0.4, "conv": 1.0, "pool": 0.3}


class ToySpace(Space):
    """Four operations and a width: 4 x 4 x 4 x 8 members.

    Args:
        name: Name of the space.
    """

    def __init__(self, name: str = "toy") -> None:
        choices = [Categorical(f"op{index}", OPERATIONS) for index in range(3)]
        super().__init__(name, ChoiceTree((*choices, Integer("width", 1, 8))))

    def graph(self, architecture: Architecture) -> nx.DiGraph[str]:
        """A chain of the three operations."""
        import networkx as nx

        graph: nx.DiGraph[str] = nx.DiGraph()
        for index in range(3):
            operation = architecture.choices[f"op{index}"]
            graph.add_edge(str(index), str(index + 1), op=operation)
        return graph

    def network(
        self,
        architecture: Architecture,
        input_shape: tuple[int, int, int] = (3, 32, 32),
        num_classes: int = 10,
        **scale: Any,
    ) -> nn.Module:
        """A linear classifier; toys are not trained."""
        from torch import nn

        return nn.Sequential(nn.Flatten(), nn.Linear(math.prod(input_shape), num_classes))


def toy_problem(*objectives: str) -> Problem:
    """The toy space, to be searched for low error, and few parameters if asked."""
    texts = objectives or ("error:min", "params:min")
    return Problem(ToySpace(), tuple(Objective.parse(text) for text in texts))


def toy_figures(candidate: Candidate, budget: float | None, seed: int) -> dict[str, float]:
    """Error falls with good operations, width and budget, and has noise from the seed."""
    choices = candidate.architecture.choices
    gain = sum(GAINS[str(choices[f"op{index}"])] for index in range(3)) / 3
    width = int(str(choices["width"]))
    noise = float(np.random.default_rng(seed).normal(0, 0.01))
    reached = 1 - math.exp(-(4.0 if budget is None else budget) / 2)
    error = min(1.0, max(0.0, 0.9 - reached * (0.6 * gain + 0.02 * width) + noise))
    return {"error": error, "params": float(100 * width * (1 + gain))}


def toy_evaluator(candidate: Candidate, budget: float | None, seed: int) -> dict[str, float]:
    """Figures by formula; candidates of three `none` fail, as divergent ones do."""
    if all(candidate.architecture.choices[f"op{index}"] == "none" for index in range(3)):
        raise CandidateError("training diverged")
    return toy_figures(candidate, budget, seed)


class ToySession:
    """A session whose every answer depends on its whole past.

    Methods: `train(epochs)` and `fix(edge)` change it, `look` does not.

    Args:
        spec: The run's configuration; its "seed" is a part of the state.
        context: Of the worker.
    """

    readonly: ClassVar[frozenset[str]] = frozenset({"look"})

    def __init__(self, spec: Mapping[str, Any], context: Context) -> None:
        self._state = float(spec.get("seed", 0))
        self._epochs = 0.0
        self._fixed: list[str] = []

    def call(self, method: str, arguments: Mapping[str, Any], context: Context) -> Reply:
        """Do one step; `look` answers without changing anything."""
        rng = np.random.default_rng(context.seed)
        if method == "train":
            epochs = float(arguments.get("epochs", 1))
            self._epochs += epochs
            self._state = math.sin(self._state + self._epochs + float(rng.random()))
            figures = {"loss": 1.0 + self._state}
            return Reply(figures, {"epochs": self._epochs}, spent=Spent(epochs=epochs))
        if method == "fix":
            self._fixed.append(str(arguments["edge"]))
            self._state = math.cos(self._state * len(self._fixed))
            return Reply(value=list(self._fixed))
        drops = {name: math.sin(self._state + index) for index, name in enumerate(OPERATIONS)}
        return Reply(value={"drops": drops, "noise": float(rng.random())})

    def save(self, path: Path) -> None:
        """Write the state."""
        path.write_text(json.dumps([self._state, self._epochs, self._fixed]))

    def load(self, path: Path) -> None:
        """Read the state."""
        self._state, self._epochs, self._fixed = json.loads(path.read_text())


class Alternating(Strategy):
    """A strategy of every kind of request: calls, batches, asynchronous works, remembering.

    It stands for one-shot and adversarial searches, whose sessions train in turn.
    """

    sessions: ClassVar[Mapping[str, str]] = {
        "generator": "nas.testing.toys:ToySession",
        "critic": "nas.testing.toys:ToySession",
    }
    rounds: ClassVar[int] = 2

    def run(
        self, problem: Problem, rng: np.random.Generator
    ) -> Generator[Request, Any, list[Candidate]]:
        """Train both sessions, decide by what they answer, and evaluate in between."""
        best: list[Candidate] = []
        for step in range(self.rounds):
            both = yield [Call("generator", "train", epochs=1), Call("critic", "train", epochs=2)]
            looks = yield [Call(name, "look") for name in ("generator", "critic", "generator")]
            drops = looks[0].value["drops"]
            operation = max(drops, key=drops.__getitem__)
            problem.announce("decision", {"step": step, "operation": operation, "drops": drops})
            yield [Call("generator", "fix", edge=f"{step}/{operation}")]
            loss = both[0].figures["loss"]
            count = problem.remember(f"count/{step}", partial(_count, loss))
            candidates = problem.sample(count, rng)
            yield Start([Evaluate(candidate, 2) for candidate in candidates])
            told = []
            for _ in candidates:
                told.append((yield Next()))
            parent = problem.best(told).candidate
            (again,) = yield [Evaluate(problem.mutate(parent, rng), 4, tags={"step": step})]
            yield [Evaluate(candidates[0], 2), Evaluate(again.candidate, 4, seed=step)]
            best.append(again.candidate)
        return best


def _count(loss: float) -> int:
    return 3 + int(10 * abs(loss)) % 2
