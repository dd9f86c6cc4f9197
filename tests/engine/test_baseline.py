"""The comparison with random search, from histories made by hand and by the engine."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from nas.core.architecture import Architecture, Candidate
from nas.core.canonical import canonical_json
from nas.core.config import FinalSettings, RunConfig
from nas.core.protocols import Context, Reply
from nas.core.work import Call, Evaluate, Spent
from nas.engine.baseline import baseline
from nas.engine.executors.base import Setup
from nas.engine.loop import Stage
from nas.engine.records import Entry
from nas.engine.run import Plan, Run
from nas.measure.comparison import paired
from nas.strategies.finale import FOUND, RANDOM, finale
from nas.testing.toys import ToySpace, toy_problem

MEMBERS = list(ToySpace().enumerate())
WIDEST = next(a for a in MEMBERS if a.choices["width"] == 8)


def entry(
    member: int,
    error: float,
    *,
    arm: str = FOUND,
    seed: int | None = 0,
    scale: Mapping[str, int] | None = None,
    stage: str = "final",
    status: Any = "ok",
    phase: str = "final",
    spent: Spent | None = None,
) -> Entry:
    figures = {"error": error / 2, "test_error": error} if stage == "final" else {"error": error}
    split: Any = "test" if stage == "final" else "validation"
    work = Evaluate(
        Candidate(MEMBERS[member], None, scale or {}),
        None,
        seed,
        split,
        {"stage": stage, "arm": arm},
    )
    spent = spent or Spent(1.0, 1, 2.0, 30.0)
    return Entry(work, status, figures, None, {}, "", spent, phase, 0)


def test_trainings_are_paired_by_scale_and_seed() -> None:
    small, large = {"channels": 4}, {"channels": 8}
    history = [
        # In no order, with one that has no partner and one that failed.
        entry(1, 0.30, seed=1, scale=small),
        entry(2, 0.20, seed=0, scale=large, arm=RANDOM),
        entry(1, 0.10, seed=0, scale=large),
        entry(2, 0.45, seed=1, scale=small, arm=RANDOM),
        entry(1, 0.11, seed=1, scale=large),
        entry(2, 0.25, seed=1, scale=large, arm=RANDOM, status="failed"),
        entry(1, 0.32, seed=0, scale=small),
        entry(2, 0.40, seed=0, scale=small, arm=RANDOM),
    ]
    found: Any = baseline(history)["baseline"]
    wanted = paired([0.32, 0.30, 0.10], [0.40, 0.45, 0.20])
    assert found["pairs"] == 3
    assert sorted(zip(found["arms"][FOUND], found["arms"][RANDOM], strict=True)) == [
        (0.10, 0.20),
        (0.30, 0.45),
        (0.32, 0.40),
    ]
    for name in ("first", "second", "difference", "low", "high"):
        assert found[name] == pytest.approx(getattr(wanted, name))
    assert found["metric"] == "test_error"
    assert found["verdict"] == wanted.verdict
    assert "random search" in found["sentence"]
    canonical_json(found)  # no infinities


def test_costs_of_both_arms_are_told() -> None:
    call = Entry(Call("s", "train"), "ok", {}, 1, {}, "", Spent(1, 0, 5.0, 100.0), "search", 0)
    draws = [
        entry(i, 0.5, arm=RANDOM, stage="draw", seed=None, spent=Spent(1, 1, 1.5, 20.0))
        for i in (3, 4)
    ]
    failed = entry(5, 0.5, arm=RANDOM, stage="draw", seed=None, status="failed")
    found: Any = baseline([call, *draws, failed, entry(1, 0.1), entry(3, 0.2, arm=RANDOM)])[
        "baseline"
    ]
    assert found["search_macs"] == 100.0
    assert found["random_macs"] == 70.0
    assert (found["search_seconds"], found["random_seconds"]) == (5.0, 5.0)
    assert found["random_candidates"] == 3


def test_one_pair_has_no_interval_and_stays_json() -> None:
    found: Any = baseline([entry(1, 0.1), entry(2, 0.2, arm=RANDOM)])["baseline"]
    assert "low" not in found
    assert "high" not in found
    assert found["verdict"] == "undecided"
    assert "no statement" in found["sentence"]
    canonical_json(found)


def test_the_best_of_several_by_validation_stands_for_the_search() -> None:
    history = [
        entry(1, 0.30, seed=0),
        entry(1, 0.30, seed=1),
        entry(2, 0.10, seed=0),
        entry(2, 0.20, seed=1),
        entry(9, 0.25, seed=0, arm=RANDOM),
        entry(9, 0.25, seed=1, arm=RANDOM),
    ]
    found: Any = baseline(history)["baseline"]
    assert found["arms"][FOUND] == [0.10, 0.20]


def test_the_best_of_several_by_validation_stands_for_random_search_too() -> None:
    history = [
        *(entry(1, 0.30, seed=seed) for seed in (0, 1)),
        *(entry(7, 0.40, seed=seed, arm=RANDOM) for seed in (0, 1)),
        *(entry(9, 0.25, seed=seed, arm=RANDOM) for seed in (0, 1)),
    ]
    found: Any = baseline(history)["baseline"]
    assert found["arms"][RANDOM] == [0.25, 0.25]


@pytest.mark.parametrize(("random", "told"), [(100.0, ""), (95.0, ""), (50.0, "had 50% of")])
def test_a_random_search_that_cost_much_less_is_called_so(random: float, told: str) -> None:
    call = Entry(Call("s", "train"), "ok", {}, 1, {}, "", Spent(1, 0, 5.0, 100.0), "search", 0)
    draw = entry(4, 0.5, arm=RANDOM, stage="draw", seed=None, spent=Spent(1, 1, 1.5, random))
    found: Any = baseline([call, draw, entry(1, 0.1), entry(4, 0.2, arm=RANDOM)])["baseline"]
    assert told in found["sentence"]
    assert ("random_limit" in found["sentence"]) is bool(told)


@pytest.mark.parametrize(
    "history",
    [
        [],
        [entry(1, 0.1)],
        [entry(2, 0.1, arm=RANDOM)],
        [entry(1, 0.1, seed=0), entry(2, 0.1, seed=1, arm=RANDOM)],
        [entry(1, 0.1), entry(2, 0.1, arm=RANDOM, status="failed")],
    ],
)
def test_without_a_pair_nothing_is_said(history: list[Entry]) -> None:
    assert baseline(history) == {}


# -- as the engine has it ---------------------------------------------------------------------


class Trained:
    """Error by width: the widest is the best; costs ten a training."""

    reports = ("error", "test_error")

    def __init__(self, spec: Mapping[str, Any] | None = None) -> None:
        pass

    def evaluate(self, work: Evaluate, context: Context) -> Reply:
        width = int(str(work.candidate.architecture.choices["width"]))
        error = 0.5 - width * (0.05 + 0.001 * ((work.seed or 0) % 7))
        figures = {"error": error} | ({"test_error": error} if work.split == "test" else {})
        return Reply(figures, spent=Spent(epochs=work.budget or 1.0, macs=10.0))


class Few(ToySpace):
    """Three members, as far as sampling goes, the best one among them."""

    def sample(self, rng: np.random.Generator) -> Architecture:
        return (narrow(), MEMBERS[1], WIDEST)[int(rng.integers(3))]


def run(found: Architecture, *, names: bool = True, few: bool = False) -> Run:
    """A search that evaluates one candidate 30 times, and its finale."""

    def search(problem: Any, rng: Any, before: Any) -> Any:
        yield [Evaluate(Candidate(found), 1.0, seed) for seed in range(30)]
        return [Candidate(found)] if names else None

    def last(problem: Any, rng: Any, before: Any) -> Any:
        macs = before["search"].spent.macs
        settings = FinalSettings(seeds=2, random_epochs=1, epochs=3)
        return finale(problem, [Candidate(found)], macs, settings, rng)

    config = RunConfig(space="toy", strategy="x", objectives=("error",))
    made = Run.create(None, config)
    stages = [Stage("search", search), Stage("final", last)]
    problem = toy_problem("error")
    if few:
        problem = replace(problem, space=Few())
    plan = Plan(problem, stages, Setup(evaluator=Trained), summarize=baseline)
    made.execute(plan)
    return made


def narrow() -> Architecture:
    return next(a for a in MEMBERS if a.choices["width"] == 1)


def test_random_search_gets_what_the_search_had_and_is_reported_when_it_wins() -> None:
    made = run(narrow())
    assert made.result is not None
    found: Any = made.result.extra["baseline"]
    assert found["search_macs"] == found["random_macs"] == 300.0
    assert found["random_candidates"] == 30
    assert found["verdict"] == "higher"
    assert "WORSE" in found["sentence"]


@pytest.mark.parametrize("names", [True, False])
def test_the_result_is_what_was_found_even_if_random_search_did_better(names: bool) -> None:
    """Also where a strategy names nothing and the best of what it evaluated counts."""
    made = run(narrow(), names=names)
    assert made.best is not None
    assert made.best.candidate.architecture == narrow()
    assert {e.candidate.architecture for e in made.front} == {narrow()}


def test_random_search_that_picks_the_same_is_a_tie() -> None:
    """Equal works are paid once, yet both arms have their figures."""
    made = run(WIDEST, few=True)
    picked = [
        e.candidate.architecture
        for e in made.history
        if e.tags.get("arm") == RANDOM and e.tags.get("stage") == "final"
    ]
    assert picked == [WIDEST, WIDEST]
    found: Any = made.result.extra["baseline"]  # type: ignore[union-attr]
    assert (found["difference"], found["low"], found["high"]) == (0.0, 0.0, 0.0)
    assert found["verdict"] == "undecided"
    assert made.best is not None
    assert made.best.candidate.architecture == WIDEST
