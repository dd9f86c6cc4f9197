"""Works and outcomes: identity, pickling, reading back, costs."""

from __future__ import annotations

import copy
import dataclasses
import json
import pickle
from typing import Any

import numpy as np
import pytest

from nas.core.architecture import Architecture, Candidate, Recipe
from nas.core.errors import ConfigError
from nas.core.objective import Objective
from nas.core.problem import Problem
from nas.core.work import Call, Evaluate, Outcome, Spent, Start, Work, work_from_dict

from .test_architecture import SPACE
from .trees import ToySpace, rng

CANDIDATE = Candidate(Architecture("toy", {"op": "a"}), Recipe({"lr": 0.1}), {"layers": 8})
WORKS: list[Work] = [
    Evaluate(CANDIDATE),
    Evaluate(CANDIDATE, 5.0, 3, "test", {"arm": "random", "deep": {"a": [1, None]}}),
    Call("supernet", "train", epochs=1),
    Call("s", "m", session="x", method="y", self=1, nested={"edges": ["a", ("b",)]}),
]


@pytest.mark.parametrize("work", WORKS, ids=lambda work: work.key)
def test_works_round_trip(work: Work) -> None:
    for back in (
        work_from_dict(json.loads(json.dumps(work.to_dict()))),
        pickle.loads(pickle.dumps(work)),
        copy.deepcopy(work),
    ):
        assert back == work
        assert (hash(back), back.key, back.to_dict()) == (hash(work), work.key, work.to_dict())
    outcome = Outcome(work, figures={"error": 0.1}, curve={"error": [0.2, 0.1]}, value=[1])
    assert pickle.loads(pickle.dumps(outcome)) == outcome
    assert pickle.loads(pickle.dumps(Start([work]))) == Start([work])


def test_equal_evaluations_have_one_key_whatever_numbers_they_were_made_of() -> None:
    work = Evaluate(CANDIDATE, 5, 3)
    for other in (Evaluate(CANDIDATE, 5.0, 3), Evaluate(CANDIDATE, np.float32(5), np.int64(3))):  # type: ignore[arg-type]
        assert other == work
        assert other.key == work.key
        assert json.dumps(other.to_dict()) == json.dumps(work.to_dict())
    others = [Evaluate(CANDIDATE, 6, 3), Evaluate(CANDIDATE, 5), Evaluate(CANDIDATE, 5, 3, "test")]
    assert len({work.key, *(other.key for other in others)}) == 4


def test_tags_are_no_part_of_the_identity() -> None:
    plain, tagged = Evaluate(CANDIDATE, 5), Evaluate(CANDIDATE, 5, tags={"arm": "random"})
    assert plain.key == tagged.key
    assert plain != tagged
    with pytest.raises(TypeError):
        tagged.tags["arm"] = "x"  # type: ignore[index]


def test_calls_tell_kinds_of_arguments_apart() -> None:
    calls = [Call("s", "m", n=value) for value in (1, 1.0, True, "1", None)]
    assert len(set(calls)) == len({call.key for call in calls}) == 5
    assert Call("s", "m", a=1, b=2) == Call("s", "m", b=2, a=1)
    assert Call("s", "m", x=(1,)) == Call("s", "m", x=[1])
    assert Call("s", "m") != Evaluate(CANDIDATE)
    with pytest.raises(TypeError):
        calls[0].arguments["n"] = 2  # type: ignore[index]
    with pytest.raises(dataclasses.FrozenInstanceError):
        calls[0].method = "x"  # type: ignore[misc]


@pytest.mark.parametrize(
    "data",
    [
        None,
        [],
        {},
        {"kind": "other"},
        {"kind": "call"},
        {"kind": "call", "session": "s", "method": "m", "arguments": None},
        {"kind": "call", "session": "s", "method": "m", "arguments": {"a": float("nan")}},
        {**WORKS[0].to_dict(), "split": "train"},
        {**WORKS[0].to_dict(), "candidate": 3},
        {**WORKS[0].to_dict(), "budget": "x"},
        {**WORKS[0].to_dict(), "seed": 1.5},
        {**WORKS[0].to_dict(), "tags": 3, "kind": "evaluation"},
    ],
)
def test_what_is_no_work_is_refused(data: Any) -> None:
    with pytest.raises(ConfigError) as got:
        work_from_dict(data)
    assert str(got.value).isprintable()


def test_costs_add_up() -> None:
    costs = [Spent(1.5, 1, 2.0, 100.0), Spent(epochs=0.5), Spent(evaluations=2, macs=1e15)]
    total = sum(costs, Spent())
    assert total == Spent(2.0, 3, 2.0, 1e15 + 100)
    assert total.to_dict() == {"epochs": 2.0, "evaluations": 3, "seconds": 2.0, "macs": 1e15 + 100}
    assert Spent() + costs[0] == costs[0]


def test_outcomes_know_their_candidate() -> None:
    outcome = Outcome(Evaluate(CANDIDATE, 5), "failed", error="diverged")
    assert (outcome.ok, outcome.candidate, outcome.budget) == (False, CANDIDATE, 5.0)
    answer = Outcome(Call("s", "m"), value=3)
    assert (answer.ok, answer.budget) == (True, None)
    with pytest.raises(TypeError, match="no candidate"):
        _ = answer.candidate


def test_a_problem_ranks_outcomes_whatever_their_order() -> None:
    problem = Problem(SPACE, (Objective("error"), Objective("params", limit=100)))
    members = [Candidate(member) for member in SPACE.enumerate()][:5]
    figures: list[dict[str, float]] = [
        {"error": 0.3, "params": 50},
        {"error": 0.1, "params": 500},
        {"error": 0.2, "params": 90},
        {"params": 10},
        {"error": 0.0, "params": 1},
    ]
    outcomes = [
        Outcome(Evaluate(member), "failed" if i == 4 else "ok", figures[i])
        for i, member in enumerate(members)
    ]
    for seed in range(5):
        shuffled = [outcomes[i] for i in rng(seed).permutation(5)]
        ranked = sorted(shuffled, key=problem.rank_key)
        assert [outcomes.index(outcome) for outcome in ranked] == [2, 0, 1, 3, 4]
        assert problem.best(shuffled) is outcomes[2]
    with pytest.raises(ValueError, match="empty"):
        problem.best([])


def test_a_problem_samples_distinct_candidates_while_there_are_any() -> None:
    problem = Problem(SPACE, (Objective("error"),))
    assert len({c.id for c in problem.sample(16, rng(0))}) == 16
    many = problem.sample(20, rng(0))
    assert (len(many), len({c.id for c in many})) == (20, 16)
    assert many == problem.sample(20, rng(0))
    assert problem.sample(0, rng(0)) == []
    mutant = problem.mutate(
        Candidate(many[0].architecture, Recipe({"a": 1}), {"layers": 2}), rng(1)
    )
    assert (mutant.recipe, dict(mutant.scale)) == (Recipe({"a": 1}), {"layers": 2})
    assert problem.remember("x", lambda: 3) == 3
    assert isinstance(problem.space, ToySpace)


def test_the_horizon_is_part_of_the_identity_and_what_is_continued_is_not() -> None:
    plain = Evaluate(CANDIDATE, 4)
    assert Evaluate(CANDIDATE, 4, horizon=4).key == plain.key
    assert Evaluate(CANDIDATE, 4, horizon=8).key != plain.key
    assert Evaluate(CANDIDATE, 4, since=2).key == plain.key
    work = Evaluate(CANDIDATE, 4, 1, "test", {"arm": "a"}, 8, 2)
    again = work_from_dict(json.loads(json.dumps(work.to_dict())))
    assert again == work
    assert isinstance(again, Evaluate)
    assert (again.horizon, again.since) == (8.0, 2.0)
    copied = pickle.loads(pickle.dumps(work))
    assert (copied.horizon, copied.since) == (8.0, 2.0)
