"""What architectures and recipes have gained: the searches of either alone, and what is said."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from nas.core.architecture import Candidate, Recipe
from nas.core.config import FinalSettings, RunConfig
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
from nas.strategies.finale import FOUND, finale
from search_spaces import get_space

SPACE = "nasbench201+recipe-fbnetv3"
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


def run(strategy: str, settings: Mapping[str, Any], budget: str | None) -> Run:
    """A joint search of 3 networks at the end, and what follows it."""
    searched, full = STRATEGIES.get(strategy)(settings), FinalSettings(seeds=2, random_arm=False)

    def picks(_: Problem, result: Any) -> list[Candidate]:
        if result.found is not None:
            return list(result.found)
        ranked = sorted(result.outcomes, key=problem().rank_key)
        return list(dict.fromkeys(outcome.candidate for outcome in ranked))[:3]

    def last(p: Problem, rng: np.random.Generator, before: Any) -> Any:
        return finale(p, picks(p, before["search"]), 0.0, full, rng)

    stages = [
        Stage("search", lambda p, rng, _: searched.run(p, rng), Budget.parse(budget)),
        Stage("final", last),
        *credit_stages(searched, "search", 0, full, None, picks),
    ]
    made = Run.create(None, RunConfig(space=SPACE, strategy=strategy, objectives=("error",)))
    plan = Plan(problem(), stages, Setup(evaluator=Trained))
    made.execute(replace(plan, summarize=lambda history: credit_of(history, Account())))
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
    network = typical(problem(), 0)
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
    own = 0.9 - 0.05 * convolutions(Candidate(typical(problem(), 0)))
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
    assert typical(problem(), 3) == typical(problem(), 3)
    size = convolutions(Candidate(typical(problem(), 0)))
    rng = np.random.default_rng(0)
    others = [convolutions(Candidate(BASE.sample(rng))) for _ in range(400)]
    assert size == np.median(others)
    blind = replace(problem(), counted=None)
    assert typical(blind, 0).space == "nasbench201"


@pytest.mark.parametrize(
    ("space", "joint"),
    [(SPACE, True), ("nasbench201", False), ("nasbench201:resnet+recipe", False)],
)
def test_only_what_is_searched_together_is_told_apart(space: str, joint: bool) -> None:
    assert is_joint(replace(problem(), space=get_space(space))) == joint


def test_without_an_arm_nothing_is_said(evolved: Run) -> None:
    history = [e for e in evolved.history if e.tags.get("arm") != RECIPES]
    assert credit_of(history, Account()) == {}
