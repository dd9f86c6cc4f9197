"""FBNetV3: its modes, what it refuses, and the search beside an engine."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from evolution.bands import beyond, parse_bands
from nas.core.architecture import Candidate
from nas.core.errors import ConfigError, PluginError
from nas.core.objective import parse_objectives
from nas.core.problem import Problem
from nas.engine.executors.base import Setup
from nas.strategies.fbnetv3.search import Search
from nas.strategies.fbnetv3.strategy import FbnetV3
from nas.testing.replay import Trial, check_replay
from nas.testing.toys import ToySpace, toy_evaluator, toy_figures, toy_problem
from nas.training.recipe import TrainingRecipe
from predictors import get_predictor
from search_spaces import get_space
from search_spaces.recipes.joint import RecipeSpace

from .fbnetv3_task import (
    FAST,
    GP,
    Mobile,
)

# -- the published mode, and the default --------------------------------------------------------


def test_what_follows_the_mode() -> None:
    paper, ours = FbnetV3({"mode": "paper"})._complete, FbnetV3()._complete
    assert (paper.pool, paper.cheap, paper.acquisition, paper.predictor, paper.verify) == (
        *(20_000, 1.0, "greedy", "nars", 1),
    )
    assert (ours.pool, ours.cheap, ours.acquisition, ours.predictor, ours.verify) == (
        *(4000, 0.6, "lcb", "stacked", 2),
    )
    assert (paper.front, ours.front) == (None, 3)
    assert paper.predictor_settings["members"] == 1  # type: ignore[index]
    assert not paper.predictor_settings["statistics"]  # type: ignore[index]
    get_predictor("nars")(ToySpace(), paper.predictor_settings, 0)  # they are its settings
    assert ours.predictor_settings is None
    own = FbnetV3({"mode": "paper", "predictor": "gp", "pool": 50, "verify": 0})._complete
    assert (own.predictor, own.predictor_settings, own.pool, own.verify) == ("gp", None, 50, 0)


# -- errors -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"targets": ("macs",)}, "limit 'macs'"),
        ({"targets": ("macs<=1e8,",)}, "limit ''"),
        ({"within": ("",)}, "a limit is empty"),
        ({"targets": ("macs<=4e8", " ")}, "a limit is empty"),
        ({"within": ("5<=macs<=4",)}, "nothing lies in '5<=macs<=4'"),
        ({"levels": (3, 3)}, "levels"),
        ({"levels": (3, 9), "epochs": 8}, "levels"),
        ({"levels": (0, 9)}, "levels"),
        ({"first": 1}, "first"),
        ({"threshold": 0}, "threshold"),
        ({"widen": 1}, "widen"),
        ({"mode": "published"}, "mode"),
        ({"acquisition": "ucb"}, "acquisition"),
        ({"search": {"best": 0}}, "best"),
        ({"nonsense": 1}, "nonsense"),
    ],
)
def test_settings_are_refused_when_they_are_given(settings: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        FbnetV3(settings)


@pytest.mark.parametrize(
    ("settings", "objectives", "words"),
    [
        (
            {"within": ("latency_ms<=4",)},
            (),
            "latency_ms is not known without training.*params, macs",
        ),
        ({"targets": ("error<=4",)}, (), "error is not known without training"),
        ({"targets": ("macs<=1e8",)}, (), "no member of 'mobile' was found within macs<=100000000"),
        ({"targets": ("macs<=4e8", "macs>=9e9")}, (), "was found within macs>=9000000000"),
        (
            {"within": ("macs<=4e8",), "targets": ("macs>=5e8",)},
            (),
            "the nearest one has macs [45]",
        ),
        ({}, ("error:min", "macs:min<=1e8"), "the nearest one has macs 1"),
        ({}, ("macs:min", "params:min"), "training changes none of the objectives"),
        ({"predictor": "pairwise-linear"}, (), "'pairwise-linear' only ranks"),
    ],
)
def test_what_no_search_could_do_is_refused_when_asked(
    settings: dict[str, Any], objectives: tuple[str, ...], words: str
) -> None:
    mobile = Mobile(0, *objectives)
    known = Problem(mobile.problem.space, mobile.problem.objectives, free=mobile.counted)
    strategy = FbnetV3({**FAST, "predictor_settings": None, **settings})
    with pytest.raises(ConfigError, match=words):
        strategy.check(known)


@pytest.mark.parametrize(
    ("within", "words"),
    [("latency_ms<=4", "not known without training"), ("macs<=1e8", "no member of 'mobile'")],
)
def test_what_has_to_be_counted_is_refused_before_the_first_training(
    within: str, words: str
) -> None:
    """Counting may read the data: it is left to the search, which then asks for nothing."""
    mobile = Mobile()
    strategy = FbnetV3({**FAST, "within": (within,)})
    strategy.check(mobile.problem)
    with pytest.raises(ConfigError, match=words):
        next(strategy.run(mobile.problem, np.random.default_rng(0)))


def test_an_unknown_predictor_or_setting_of_it_is_refused_when_asked() -> None:
    for settings, error, words in (
        ({"predictor": "stakced"}, PluginError, "stacked"),
        ({"predictor_settings": {"members": ["pairwise-gin"]}}, ConfigError, "only ranks"),
        ({"predictor": "gp", "predictor_settings": {"trees": 3}}, ConfigError, "trees"),
    ):
        with pytest.raises(error, match=words):
            FbnetV3(settings).check(Mobile().problem)
    FbnetV3().check(Mobile().problem)
    FbnetV3({"mode": "paper"}).check(toy_problem("error"))


# -- beside an engine ---------------------------------------------------------------------------


def counted_toys(candidate: Candidate) -> Mapping[str, float]:
    return {"params": toy_figures(candidate, None, 0)["params"]}


TINY: dict[str, Any] = {
    **GP,
    "pool": 20,
    "first": 5,
    "batch": 3,
    "rounds": 2,
    "search": {"best": 2, "random": 2, "children": 1, "generations": 1, "patience": 1},
}


@pytest.mark.parametrize(
    "settings",
    [
        {"mode": "paper", "targets": ["params<=400", "params>=900"]},
        {"levels": [1, 4], "within": ["params<=1200"], "acquisition": "thompson", "first": 6},
    ],
    ids=["paper", "default"],
)
def test_killed_anywhere_it_goes_on_as_if_nothing_had_happened(settings: dict[str, Any]) -> None:
    """On a space that counts; `test_replay_all` has one that does not."""
    problem = Problem(ToySpace(), toy_problem("error").objectives, counted=counted_toys)
    strategy = FbnetV3({**TINY, **settings})
    assert check_replay(Trial(strategy, problem, Setup(evaluator=toy_evaluator))) > 20


def test_a_spent_budget_leaves_the_best_of_what_was_trained(tmp_path: Any) -> None:
    problem = Problem(ToySpace(), toy_problem("error").objectives, counted=counted_toys)
    targets = ["params<=400", "params>=900"]
    strategy = FbnetV3({**TINY, "targets": targets, "first": 12, "rounds": 9})
    trial = Trial(strategy, problem, Setup(evaluator=toy_evaluator), "14evaluations")
    result = trial.begin(tmp_path)
    assert 14 <= len(result.outcomes) < 20
    assert result.found is not None
    assert len(result.found) == 2
    for target, candidate in zip(targets, result.found, strict=True):
        inside = [
            o
            for o in result.outcomes
            if o.ok and beyond(parse_bands(target), counted_toys(o.candidate)) == 0
        ]
        assert candidate == min(inside, key=lambda o: o.figures["error"]).candidate


@pytest.mark.parametrize(("familiar", "usual"), [(True, 4), (False, 0)])
def test_a_joint_search_begins_at_the_usual_recipe_too(familiar: bool, usual: int) -> None:
    space = get_space("nasbench201+recipe")
    assert isinstance(space, RecipeSpace)
    settings = TrainingRecipe.from_settings({"learning_rate": 0.07}).model_dump(mode="json")
    problem = Problem(space, parse_objectives(["error:min"]), usual=settings)
    own = {
        "first": 8,
        "rounds": 1,
        "verify": 0,
        "pool": 40,
        "familiar": familiar,
        "predictor": "forest",
    }
    generator = FbnetV3(own).run(problem, np.random.default_rng(0))
    works = next(generator).works
    assert len({work.candidate.id for work in works}) == len(works) == 8
    rates = [w.candidate.recipe.settings["learning_rate"] for w in works]  # type: ignore[union-attr]
    assert rates.count(0.07) == usual
    alone = replace(problem, space=space.recipes_of(works[0].candidate.architecture))
    works = next(FbnetV3(own).run(alone, np.random.default_rng(0))).works
    named = [w.candidate.recipe.settings for w in works]  # type: ignore[union-attr]
    assert len({repr(sorted(n.items())) for n in named}) == len(works) == 8
    near = space.knobs.nearest(settings)
    same = [space.knobs.values(n) == near for n in named]
    assert sum(same) == min(usual, 1)  # the same recipe only once


@pytest.mark.parametrize("familiar", [True, False])
def test_every_second_recipe_of_a_joint_pool_is_near_the_usual_one(familiar: bool) -> None:
    space = get_space("nasbench201+recipe")
    assert isinstance(space, RecipeSpace)
    usual = TrainingRecipe.from_settings({"learning_rate": 0.07}).model_dump(mode="json")
    problem = Problem(space, parse_objectives(["error:min"]), usual=usual)
    settings = FbnetV3({"pool": 400, "familiar": familiar, "predictor": "forest"}).settings.complete
    search = Search(problem, settings, 0, ())
    near = space.knobs.nearest(usual)
    roots = [choice.name for choice in space.knobs.choices]
    shares = [np.mean([m.choices[name] == near[name] for name in roots]) for m in search.pool]
    drawn = [np.mean([m.choices[n] == near[n] for n in roots]) for m in search.terrain.pool]
    if not familiar:
        assert search.pool == search.terrain.pool
        return
    assert len(search.pool) > 380
    networks = [space.architecture_of(m).id for m in search.pool]
    assert networks == [space.architecture_of(m).id for m in search.terrain.pool]
    chance = np.mean(drawn)
    assert np.mean(shares[::2]) == pytest.approx(chance, abs=0.02)
    # A quarter is drawn anew, and may be as usual by chance.
    assert np.mean(shares[1::2]) == pytest.approx(0.75 + 0.25 * chance, abs=0.02)
    optimizers = {m.choices["recipe/optimizer"] for m in search.pool[1::2]}
    assert optimizers == {m.choices["recipe/optimizer"] for m in search.pool}
