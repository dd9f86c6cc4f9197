"""The kits find what they are for: each is shown a member that breaks one promise."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import networkx as nx
import numpy as np
import pytest
import torch

from nas.core.architecture import Architecture, Candidate, Recipe
from nas.core.choices import Categorical
from nas.core.config import Settings
from nas.core.space import Space
from nas.core.tree import ChoiceTree
from nas.optimizers import OPTIMIZERS, Member, OptimizerSettings
from nas.testing.optimizers import CHECKS as OPTIMIZER_CHECKS
from nas.testing.optimizers import check_optimizer
from nas.testing.predictors import CHECKS as PREDICTOR_CHECKS
from nas.testing.predictors import check_predictor
from nas.testing.spaces import check_space
from predictors.base import Batch, Prediction, Predictor
from predictors.labels import Labels
from predictors.linear import PairwiseLinear
from tests.plugins.visiting.joint import Joint
from tests.plugins.visiting.predictor import Nearest
from tests.plugins.visiting.space import Stack


class Forgetful(PairwiseLinear):
    """Keeps a part of what it learnt before."""

    _all: np.ndarray[Any, Any] | float = 0.0

    def _learn(self, batch: Batch, labels: Labels) -> None:
        super()._learn(batch, labels)
        self._weights = self._all = self._weights + self._all


class Sociable(PairwiseLinear):
    """Scores of one depend on who else is asked about."""

    def _expect(self, batch: Batch) -> Prediction:
        said = super()._expect(batch)
        return Prediction(said.mean - said.mean.mean(), said.std)


class Contrary(PairwiseLinear):
    """Says the opposite of what it learnt."""

    def _expect(self, batch: Batch) -> Prediction:
        said = super()._expect(batch)
        return Prediction(-said.mean, said.std)


@pytest.mark.parametrize(
    ("kind", "broken"),
    [
        (Forgetful, "says_the_same_again"),
        (Sociable, "scores_each_by_itself"),
        (Contrary, "learns_an_order"),
    ],
)
def test_a_predictor_that_breaks_a_promise_is_found(kind: type[Predictor], broken: str) -> None:
    with pytest.raises(AssertionError):
        PREDICTOR_CHECKS[broken](lambda space, seed: kind(space, None, seed))
    with pytest.raises(AssertionError):
        check_predictor(kind)


def test_a_predictor_may_be_too_simple() -> None:
    """The reading of the nearest cell is reproducible, but hardly an order."""
    PREDICTOR_CHECKS["says_the_same_again"](lambda space, seed: Nearest(space, None, seed))
    with pytest.raises(AssertionError, match="tau"):
        check_predictor(Nearest)


class Wrong(torch.optim.SGD):
    """SGD with one defect.

    Args:
        defect: "blind" takes no gradient, "silent" returns nothing, "still" moves no weight of the
            first tensor, "drifting" depends on what its state does not hold, "levelling" has one
            rate for all groups, "careless" leaves weights where a second gradient failed,
            "credulous" takes any state, "brutal" turns weights into numbers it cannot hold.
    """

    def __init__(self, params: Any, lr: float, defect: str) -> None:
        super().__init__(params, lr=lr, momentum=0.9)
        self._defect = defect
        self._steps = 0

    def step(self, closure: Callable[[], Any] | None = None) -> Any:  # type: ignore[override]
        if self._defect == "blind":
            return 0.0
        first = self.param_groups[0]["params"][0]
        before = first.detach().clone()
        if self._defect == "careless" and closure is not None:
            with torch.no_grad():
                first.add_(1)
            closure()
            with torch.no_grad():
                first.sub_(1)
        if self._defect == "levelling":
            for group in self.param_groups:
                group["lr"] = self.param_groups[0]["lr"]
        loss = super().step(closure)  # type: ignore[arg-type]
        self._steps += 1
        with torch.no_grad():
            if self._defect == "brutal":
                first.mul_(torch.tensor(1e30)).mul_(1e-30)
            if self._defect == "still":
                first.copy_(before)
            if self._defect == "drifting":
                first.add_(1e-3 * self._steps)
        return None if self._defect == "silent" else loss

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        if self._defect == "credulous":
            super().__setstate__({"param_groups": self.param_groups, "state": self.state})
        else:
            super().load_state_dict(state_dict)


class AnyRate(Settings):
    """Takes rates that no optimizer can use."""

    learning_rate: float = 0.1
    weight_decay: float = 0.0


@pytest.fixture
def wrong() -> Iterator[Callable[[str], str]]:
    names = []

    def register(defect: str) -> str:
        def make(params: Any, settings: OptimizerSettings) -> torch.optim.Optimizer:
            return Wrong(params, settings.learning_rate, defect)

        names.append(f"wrong-{defect}")
        OPTIMIZERS.add(names[-1], Member(OptimizerSettings, make), defect)
        return names[-1]

    yield register
    for name in names:
        OPTIMIZERS._rows.pop(name)


@pytest.mark.parametrize(
    ("defect", "check", "words"),
    [
        ("blind", "gives_the_loss_where_it_was", "asks for no loss"),
        ("silent", "gives_the_loss_where_it_was", "returns None"),
        ("still", "moves_the_weights", "leaves weights as they are"),
        ("drifting", "goes_on_exactly_from_its_state", "goes on otherwise"),
        ("levelling", "takes_groups_and_odd_parameters", "a rate of 0"),
        (
            "careless",
            "leaves_weights_where_a_closure_fails",
            "although call 1 of its closure fails",
        ),
        ("credulous", "refuses_states_of_others", "a state of another optimizer is taken"),
        ("brutal", "refuses_what_it_cannot_optimize", "no number in float16"),
    ],
)
def test_an_optimizer_that_breaks_a_promise_is_found(
    wrong: Callable[[str], str], defect: str, check: str, words: str
) -> None:
    name = wrong(defect)
    with pytest.raises(AssertionError, match=words):
        OPTIMIZER_CHECKS[check](name)
    with pytest.raises(AssertionError):
        check_optimizer(name)


def test_an_optimizer_of_any_rate_is_found() -> None:
    name = "wrong-rate"
    make = Member(AnyRate, lambda params, settings: torch.optim.SGD(params, settings.learning_rate))  # type: ignore[arg-type]
    OPTIMIZERS.add(name, make, "of a test")
    try:
        with pytest.raises(AssertionError, match="wrong-rate with learning_rate"):
            OPTIMIZER_CHECKS["refuses_wrong_settings"](name)
    finally:
        OPTIMIZERS._rows.pop(name)


def test_spaces_of_others_pass() -> None:
    check_space(Stack())
    check_space(Joint(), samples=3)


class Lossy(Space):
    """Its candidates forget a choice, and its graph has nodes without a name."""

    def __init__(self) -> None:
        super().__init__("lossy", ChoiceTree((Categorical("a", (1, 2)), Categorical("b", (1, 2)))))

    def candidate(self, architecture: Architecture) -> Candidate:
        return Candidate(architecture, Recipe({"a": architecture.choices["a"]}))

    def member(self, candidate: Candidate) -> Architecture:
        return self.architecture({**candidate.architecture.choices, "b": 1})

    def graph(self, architecture: Architecture) -> nx.DiGraph:
        return nx.path_graph(2, create_using=nx.DiGraph)

    def network(self, architecture: Architecture, *shape: Any, **scale: Any) -> Any:
        return torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(3 * 32 * 32, 10))


def test_a_space_that_breaks_promises_is_found() -> None:
    with pytest.raises(AssertionError) as caught:
        check_space(Lossy())
    assert "candidates" in str(caught.value)
    assert "node 0 has no 'op'" in str(caught.value)
