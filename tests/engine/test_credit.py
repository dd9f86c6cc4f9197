"""What architectures and recipes have gained: the searches of either alone, and what is said."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from nas.core.architecture import Candidate, Recipe
from nas.core.config import FinalSettings, RunConfig
from nas.core.errors import ConfigError
from nas.core.objective import Objective
from nas.core.problem import Problem
from nas.core.protocols import Context, Reply
from nas.core.work import Evaluate, Spent
from nas.engine.budget import Budget
from nas.engine.credit import (
    ARCHITECTURES,
    CREDIT,
    NEITHER,
    RECIPES,
    credit_stages,
    is_joint,
    typical,
)
from nas.engine.credit import credit as credit_of
from nas.engine.executors.base import Setup
from nas.engine.loop import Stage
from nas.engine.run import Plan, Run
from nas.evaluators import Account
from nas.export.sections import credit_section
from nas.strategies import STRATEGIES
from nas.strategies.base import Strategy
from nas.strategies.finale import FOUND, finale
from search_spaces import get_space

SPACE = "nasbench201+recipe-fbnetv3"
RANDOM = STRATEGIES.get("random")()
BASE = get_space("nasbench201")


def convolutions(candidate: Candidate) -> int:
    return sum(op == "nor_conv_3x3" for op in candidate.architecture.choices.values())


class Trained:
    """Error falls with 3x3 convolutions, and with what the recipe drops before its classifier.

    The run's recipe drops nothing.
    """

    def __init__(self, spec: Mapping[str, Any] | None = None) -> None:
        pass

    def evaluate(self, work: Evaluate, context: Context) -> Reply:
        recipe = work.candidate.recipe
        dropped = 0.0 if recipe is None else float(recipe.settings["dropout"])
        chance = 0.001 * ((work.seed or 0) % 3)
        error = 0.9 - 0.05 * convolutions(work.candidate) - dropped + chance
        figures = {"error": error} | ({"test_error": error} if work.split == "test" else {})
        return Reply(figures, spent=Spent(epochs=work.budget or 1.0, macs=10.0))


def problem() -> Problem:
    def counted(candidate: Candidate) -> dict[str, float]:
        return {"macs": 1.0 + convolutions(candidate)}

    return Problem(get_space(SPACE), (Objective.parse("error:min"),), counted=counted)


def prepared(
    strategy: str | Strategy, settings: Mapping[str, Any], budget: str | None, evaluator: type
) -> tuple[Run, Plan]:
    """A joint search of 3 networks at the end, and what follows it."""
    searched = STRATEGIES.get(strategy)(settings) if isinstance(strategy, str) else strategy
    full = FinalSettings(seeds=2, random_arm=True, random_limit=4, random_epochs=1)

    def picks(_: Problem, result: Any) -> list[Candidate]:
        if result.found is not None:
            return list(result.found)
        ranked = sorted(result.outcomes, key=problem().rank_key)
        return list(dict.fromkeys(outcome.candidate for outcome in ranked))[:3]

    def last(p: Problem, rng: np.random.Generator, before: Any) -> Any:
        return finale(p, picks(p, before["search"]), 10.0, full, rng)

    stages = [
        Stage("search", lambda p, rng, _: searched.run(p, rng), Budget.parse(budget)),
        Stage("final", last),
        *credit_stages(searched, "search", 0, full, None, picks),
    ]
    made = Run.create(None, RunConfig(space=SPACE, strategy="x", objectives=("error",)))
    summarize = lambda history: credit_of(history, Account())  # noqa: E731
    return made, Plan(problem(), stages, Setup(evaluator=evaluator), summarize=summarize)


def run(strategy: str | Strategy, settings: Mapping[str, Any], budget: str | None) -> Run:
    made, plan = prepared(strategy, settings, budget, Trained)
    made.execute(plan)
    return made


@pytest.fixture(scope="module")
def evolved() -> Run:
    return run("regularized-evolution", {"population": 8, "tournament": 4}, "60evaluations")


def trained(made: Run, arm: str) -> list[Candidate]:
    return [
        entry.candidate
        for entry in made.history
        if entry.tags.get("stage") == CREDIT and entry.tags.get("arm") == arm
    ]


def test_each_is_searched_alone_with_the_same_epochs(evolved: Run) -> None:
    assert evolved.result is not None
    told: Any = evolved.result.extra[CREDIT]
    assert told["epochs"] == {FOUND: 60.0, ARCHITECTURES: 60.0, RECIPES: 60.0}
    assert not any("ended after" in text for text in told["sentences"])
    network = typical(problem(), RANDOM, 0)
    for entry in evolved.history:
        if entry.phase == ARCHITECTURES:
            assert entry.candidate.recipe is None
        if entry.phase == RECIPES:
            assert entry.candidate.architecture == network
            assert entry.candidate.recipe is not None
    assert len({c.architecture for c in trained(evolved, ARCHITECTURES)}) == 3
    assert {c.recipe for c in trained(evolved, ARCHITECTURES)} == {None}
    assert {c.architecture for c in trained(evolved, RECIPES)} == {network}
    assert set(trained(evolved, NEITHER)) == {Candidate(network)}


def test_gains_are_over_what_nobody_searched(evolved: Run) -> None:
    told: Any = evolved.result.extra[CREDIT]  # type: ignore[union-attr]
    own = 0.9 - 0.05 * convolutions(Candidate(typical(problem(), RANDOM, 0)))
    assert told["arms"][NEITHER] == pytest.approx([own, own + 0.001])
    gains = {name: gain["difference"] for name, gain in told["gains"].items()}
    best = {
        ARCHITECTURES: min(-0.05 * convolutions(c) for c in trained(evolved, ARCHITECTURES)),
        RECIPES: -max(dropout(c.recipe) for c in trained(evolved, RECIPES)),
    }
    assert gains[ARCHITECTURES] == pytest.approx(0.9 + best[ARCHITECTURES] - own)
    assert gains[RECIPES] == pytest.approx(best[RECIPES])
    assert gains[FOUND] < min(gains[ARCHITECTURES], gains[RECIPES])  # the two add up here
    assert told["joint_against"][RECIPES]["difference"] == pytest.approx(
        gains[FOUND] - gains[RECIPES]
    )
    assert sum("both together" in text for text in told["sentences"]) == 3


def dropout(recipe: Recipe | None) -> float:
    assert recipe is not None
    return float(recipe.settings["dropout"])


def test_the_result_is_still_about_the_joint_search(evolved: Run) -> None:
    assert evolved.best is not None
    assert evolved.best.phase == "final"
    assert evolved.best.candidate.recipe is not None
    assert {entry.phase for entry in evolved.front} == {"final"}


def test_the_report_shows_it(evolved: Run) -> None:
    section = credit_section(evolved.result.extra[CREDIT])  # type: ignore[union-attr]
    assert section is not None
    assert section["epochs"] == "search 60, architectures 60, recipes 60"
    assert all(text[0].isupper() for text in section["sentences"])
    assert "svg" in section["picture"]
    assert credit_section(None) is None


def test_a_search_that_ends_by_itself_goes_on_alone() -> None:
    """FBNetV3's has rounds; those of either alone have the epochs of the joint search."""
    settings = {"epochs": 1, "first": 6, "batch": 6, "rounds": 2, "pool": 60, "predictor": "forest"}
    made = run("fbnetv3", {**settings, "predictor_settings": {"trees": 5}}, None)
    told: Any = made.result.extra[CREDIT]  # type: ignore[union-attr]
    assert told["epochs"][ARCHITECTURES] == told["epochs"][RECIPES] == told["epochs"][FOUND]


def test_the_typical_network_has_the_median_size_and_is_always_the_same() -> None:
    assert typical(problem(), RANDOM, 3) == typical(problem(), RANDOM, 3)
    size = convolutions(Candidate(typical(problem(), RANDOM, 0)))
    rng = np.random.default_rng(0)
    others = [convolutions(Candidate(BASE.canonical(BASE.sample(rng)))) for _ in range(400)]
    assert size == np.median(others)
    for seed in range(20):  # none that is cut off from its output
        ops = BASE.canonical(typical(problem(), RANDOM, seed)).choices.values()
        assert set(ops) != {"none"}
    blind = replace(problem(), counted=None)
    assert typical(blind, RANDOM, 0).space == "nasbench201"


@pytest.mark.parametrize(
    ("space", "joint"),
    [(SPACE, True), ("nasbench201", False), ("nasbench201:resnet+recipe", False)],
)
def test_only_what_is_searched_together_is_told_apart(space: str, joint: bool) -> None:
    assert is_joint(replace(problem(), space=get_space(space))) == joint


def test_an_arm_without_figures_is_said_to_have_none(evolved: Run) -> None:
    history = [e for e in evolved.history if not (e.phase == CREDIT and tagged(e, RECIPES))]
    told: Any = credit_of(history, Account())[CREDIT]
    assert set(told["gains"]) == {ARCHITECTURES, FOUND}
    assert set(told["joint_against"]) == {ARCHITECTURES}
    assert told["sentences"][-1] == (
        "The search of recipes alone found nothing that could be trained."
    )
    before = [e for e in evolved.history if e.phase in ("search", "final")]
    assert credit_of(before, Account()) == {}
    begun = [e for e in evolved.history if e.phase != CREDIT]
    assert credit_of(begun, Account())[CREDIT]["sentences"] == []
    assert credit_section(credit_of(begun, Account())[CREDIT]) is not None


@pytest.mark.parametrize(("times", "said"), [(0.5, "ended after"), (1.3, "had 130% of")])
def test_other_costs_than_the_joint_searchs_are_said(evolved: Run, times: float, said: str) -> None:
    history = [
        replace(entry, spent=replace(entry.spent, epochs=times * entry.spent.epochs))
        if entry.phase == RECIPES
        else entry
        for entry in evolved.history
    ]
    told: Any = credit_of(history, Account())[CREDIT]
    assert said in told["sentences"][-1]
    assert "recipes alone" in told["sentences"][-1]


def tagged(entry: Any, arm: str) -> bool:
    return bool(entry.tags.get("arm") == arm)


CHEAP = {"epochs": 1, "first": 6, "batch": 6, "pool": 60, "predictor": "forest"}


@pytest.mark.parametrize(
    "limits",
    [
        {"within": ("macs<=2",)},
        pytest.param({"targets": ("macs<=2", "macs<=4")}, marks=pytest.mark.slow),
        pytest.param({"within": ("2<=macs<=2",)}, marks=pytest.mark.slow),
    ],
)
def test_the_network_of_recipes_is_one_that_would_be_searched(limits: dict[str, Any]) -> None:
    """And limits, which leave nothing of one network to choose, do not end the run."""
    made = run("fbnetv3", {**CHEAP, "rounds": 2, **limits}, None)
    told: Any = made.result.extra[CREDIT]  # type: ignore[union-attr]
    assert set(told["gains"]) == {ARCHITECTURES, RECIPES, FOUND}
    most = 3 if "targets" in limits else 1
    assert {convolutions(c) <= most for c in trained(made, NEITHER)} == {True}


def test_limits_of_objectives_hold_for_that_network_too() -> None:
    limited = Objective.parse("macs:min<=2")
    some = replace(problem(), objectives=(*problem().objectives, limited))
    assert convolutions(Candidate(typical(some, RANDOM, 0))) <= 1
    nobody = replace(problem(), objectives=(Objective.parse("macs:min<=0.5"),))
    assert typical(nobody, RANDOM, 0).space == "nasbench201"


class Refusing(Strategy):
    """Searches nothing but the joint space."""

    def run(self, problem: Problem, rng: np.random.Generator) -> Any:
        if not is_joint(problem):
            raise ConfigError("not this space", "take another")
        yield [Evaluate(candidate) for candidate in problem.sample(4, rng)]


def test_an_arm_that_cannot_be_searched_does_not_end_the_run() -> None:
    made = run(Refusing(), {}, None)
    assert made.result is not None
    assert made.result.status == "done"
    told: Any = made.result.extra[CREDIT]
    assert sum("found nothing" in text for text in told["sentences"]) == 2
    said = [payload["text"] for _, topic, payload in made.announced if topic == "notice"]
    assert [text[: text.index(":")] for text in said] == [
        "the search of architectures alone cannot be",
        "the search of recipes alone cannot be",
    ]


def test_stopped_in_an_arm_the_result_is_that_of_the_joint_search() -> None:
    class Stopping(Trained):
        count = 0

        def evaluate(self, work: Evaluate, context: Context) -> Reply:
            if work.tags.get("arm") == ARCHITECTURES:
                made.stop()
            return super().evaluate(work, context)

    settings = {"population": 4, "tournament": 2}
    made, plan = prepared("regularized-evolution", settings, "12evaluations", Stopping)
    result = made.execute(plan)
    assert result.status == "stopped"
    assert result.best is not None
    assert {e.phase for e in (result.best, *result.front)} == {"final"}
    assert {e.tags.get("arm") for e in (result.best, *result.front)} == {FOUND}
