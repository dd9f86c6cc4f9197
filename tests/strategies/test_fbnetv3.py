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
from nas.core.work import Evaluate
from nas.engine.executors.base import Setup
from nas.strategies.fbnetv3.familiar import DOUBT, Familiar
from nas.strategies.fbnetv3.search import Search
from nas.strategies.fbnetv3.strategy import FbnetV3
from nas.testing.replay import Trial, check_replay
from nas.testing.toys import ToySpace, toy_evaluator, toy_figures, toy_problem
from nas.training.recipe import TrainingRecipe
from predictors import get_predictor
from search_spaces import get_space
from search_spaces.recipes.joint import RecipeSpace

from .driving import drive
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
        ({"pool": 9, "first": 10}, "a pool of 9 for a first batch of 10"),
        ({"pool": 15}, "a pool of 15 for a first batch of 16"),
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


def test_a_pool_that_nobody_gave_feeds_the_first_batch() -> None:
    assert FbnetV3({"first": 5000}).settings.complete.pool == 5000
    assert FbnetV3({"first": 5000, "mode": "paper"}).settings.complete.pool == 20_000


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
    problem = Problem(space, parse_objectives(["error:min"]), usual=lambda: settings)
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
    problem = Problem(space, parse_objectives(["error:min"]), usual=lambda: usual)
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
    # Rates of the usual optimizer are drawn anew as often as everything else.
    rates = [m.choices.get("recipe/sgd/learning_rate", 0.07) for m in search.pool[1::2]]
    kept = [m.choices["recipe/optimizer"] == "sgd" for m in search.pool[1::2]]
    assert np.sum(np.array(rates) != 0.07) / np.sum(kept) == pytest.approx(0.25, abs=0.08)


def test_near_recipes_are_found_where_few_are_possible() -> None:
    space = get_space("nasbench201:resnet+recipe-fbnetv3")
    assert isinstance(space, RecipeSpace)
    usual = {"optimizer": "sgd", "learning_rate": 0.1}
    problem = Problem(space, parse_objectives(["error:min"]), usual=lambda: usual)
    settings = FbnetV3({"pool": 500, "predictor": "forest"}).settings.complete
    pool = Search(problem, settings, 0, ()).pool
    assert len({space.identity(member) for member in pool}) == len(pool) >= 490


@pytest.mark.parametrize(
    ("usual", "said"), [({}, "nothing is usual"), ({"optimizer": "prodigy"}, "'prodigy'")]
)
def test_nothing_is_begun_from_a_recipe_of_another_optimizer(
    usual: dict[str, Any], said: str
) -> None:
    told: list[tuple[str, Mapping[str, Any]]] = []
    space = get_space("nasbench201+recipe")
    problem = Problem(
        space,
        parse_objectives(["error:min"]),
        announce=lambda topic, payload: told.append((topic, payload)),
        usual=lambda: usual,
    )
    own = {"first": 8, "rounds": 1, "verify": 0, "pool": 40, "predictor": "forest"}
    ledger = drive(FbnetV3(own), problem, lambda work: {"error": 0.5})
    found = Search(problem, FbnetV3(own).settings.complete, 0, ())
    assert found.pool == found.terrain.pool
    assert len(ledger.outcomes) == 8
    assert [topic for topic, _ in told].count("notice") == 1
    assert said in dict(told)["notice"]["text"]


def test_a_space_without_recipes_knows_no_familiar_ones() -> None:
    with pytest.raises(ConfigError, match=r"familiar=true.*joins no recipes"):
        FbnetV3({"familiar": True}).check(toy_problem("error"))


def test_unusual_recipes_are_doubted_the_less_the_more_was_trained() -> None:
    space = get_space("nasbench201+recipe")
    assert isinstance(space, RecipeSpace)
    usual = TrainingRecipe.from_settings({"learning_rate": 0.07}).model_dump(mode="json")
    problem = Problem(space, parse_objectives(["error:min"]), usual=lambda: usual)
    rng = np.random.default_rng(0)
    members = [space.sample(rng) for _ in range(20)]
    members.append(space.trained_by(members[0], space.knobs.nearest(usual)))
    resnet = space.base.members["resnet"]
    few = Familiar(problem, wanted=True).doubts(members, np.array([0.2, 0.1, 0.9, 0.3, 0.1]))
    assert few[-1] == 0
    assert (few[:-1] > 0).all()
    away = [space.knobs.apart(m.choices, space.knobs.nearest(usual)) for m in members]
    assert few == pytest.approx(np.array(away) * DOUBT / 5 * 0.1)
    many = Familiar(problem, wanted=True).doubts(members, np.array([0.2, 0.1] * 20 + [0.2] * 60))
    assert many == pytest.approx(few / 20)
    for alike in (
        Familiar(problem, wanted=False),
        Familiar(replace(problem, usual=dict), wanted=True),
        Familiar(replace(problem, space=space.recipes_of(resnet)), wanted=True),
        Familiar(toy_problem("error"), wanted=True),
    ):
        assert not alike.doubts(members, np.array([0.1, 0.2, 0.6])).any()
    assert not Familiar(problem, wanted=True).doubts(members, np.array([])).any()


def test_doubts_decide_whom_to_train_next(monkeypatch: pytest.MonkeyPatch) -> None:
    """All recipes being expected alike, batches are by recipes nearer to the usual one."""
    space = get_space("nasbench201+recipe")
    assert isinstance(space, RecipeSpace)
    usual = TrainingRecipe.from_settings({"learning_rate": 0.07}).model_dump(mode="json")
    problem = Problem(space, parse_objectives(["error:min"]), usual=lambda: usual)
    near = space.knobs.nearest(usual)
    found = {}

    def by_name(work: Evaluate) -> dict[str, float]:
        return {"error": 0.1 + 0.01 * (sum(work.candidate.id.encode()) % 7)}

    own = {"first": 6, "batch": 6, "rounds": 2, "verify": 0, "pool": 200, "predictor": "forest"}
    own["search"] = {"best": 20, "random": 30, "children": 5, "generations": 8}
    for doubt in (DOUBT, 0.0):
        monkeypatch.setattr("nas.strategies.fbnetv3.familiar.DOUBT", doubt)
        ledger = drive(FbnetV3(own), problem, by_name)
        members = [space.member(o.candidate) for o in ledger.outcomes if o.work.tags["round"] == 2]
        assert len(members) == 6
        found[doubt] = np.mean([space.knobs.apart(m.choices, near) for m in members])
    assert found[DOUBT] < 0.7 * found[0.0]
