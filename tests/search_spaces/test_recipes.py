"""Recipes as choices: what is drawn can be trained, and members are candidates both ways."""

from __future__ import annotations

import json
from dataclasses import replace
from itertools import islice, pairwise

import numpy as np
import pytest

from nas.core.errors import PluginError, SpaceError
from nas.core.space import Costed
from nas.optimizers import OPTIMIZERS, STEPS
from nas.testing.spaces import check_space
from nas.training.recipe import TrainingRecipe
from search_spaces import get_space, list_spaces
from search_spaces.recipes.grids import DRAWN, RADII
from search_spaces.recipes.joint import RecipeSpace

JOINED = ["recipe", "recipe-fbnetv3", "nasbench201+recipe", "nasbench101+recipe-fbnetv3"]


def space_of(name: str) -> RecipeSpace:
    space = get_space(name)
    assert isinstance(space, RecipeSpace)
    return space


@pytest.mark.parametrize("name", JOINED)
def test_every_recipe_that_is_drawn_or_bred_is_legal(name: str) -> None:
    space, rng = space_of(name), np.random.default_rng(0)
    members = [space.sample(rng) for _ in range(150)]
    members += [space.mutate(member, rng) for member in members]
    members += [space.crossover(a, b, rng) for a, b in pairwise(members)]
    seen = set()
    for member in members:
        candidate = space.candidate(member)
        assert candidate.recipe is not None
        assert space.member(candidate) == member
        recipe = TrainingRecipe.from_settings(candidate.recipe)
        seen.add((recipe.optimizer, recipe.step))
        traits = OPTIMIZERS.get(recipe.optimizer).traits
        assert not traits.warning
        if name.endswith("recipe"):
            low, high = traits.rates
            assert low <= recipe.learning_rate <= high
            assert traits.decays[0] <= recipe.weight_decay <= traits.decays[1]
    if name.endswith("recipe"):
        assert {optimizer for optimizer, _ in seen} == set(DRAWN)
        assert {step for _, step in seen} == {"plain", *RADII}
        assert ("sophia-g", "sam") not in seen


def test_what_is_drawn_is_known_and_trains_from_scratch() -> None:
    assert set(DRAWN) <= set(OPTIMIZERS.names())
    assert set(RADII) <= set(STEPS.names())


@pytest.mark.parametrize("name", ["nasbench201+recipe", "darts-s2+recipe-fbnetv3"])
def test_joined_spaces_keep_what_every_space_promises(name: str) -> None:
    check_space(get_space(name), samples=5)
    assert get_space(name) is get_space(name)


def test_a_member_is_an_architecture_and_a_recipe() -> None:
    space, rng = space_of("nasbench201+recipe"), np.random.default_rng(1)
    member = space.sample(rng)
    candidate = space.candidate(member)
    assert candidate.architecture.space == "nasbench201"
    assert len(member.choices) == len(candidate.architecture.choices) + sum(
        name.startswith("recipe/") for name in member.choices
    )
    assert isinstance(space, Costed)
    own = get_space("nasbench201").cost(candidate.architecture)  # type: ignore[attr-defined]
    assert space.cost(member) == own
    assert space.networks == "nasbench201"


def test_equal_networks_with_one_recipe_are_one() -> None:
    space, rng = space_of("nasbench201+recipe"), np.random.default_rng(0)
    base, member = get_space("nasbench201"), space.sample(rng)
    kinds: dict[str, list[str]] = {}
    for cell in islice(base.enumerate(), 500):
        joined = space.architecture({**member.choices, **cell.choices})
        kinds.setdefault(base.identity(cell), []).append(space.identity(joined))
    assert any(len(found) > 1 for found in kinds.values())
    assert all(len(set(found)) == 1 for found in kinds.values())
    assert len({found[0] for found in kinds.values()}) == len(kinds)
    moved = {**member.choices, "recipe/mixup": 0.0123}
    assert space.identity(space.architecture(moved)) != space.identity(member)


def test_one_architecture_can_be_held() -> None:
    space, rng = space_of("nasbench201:resnet+recipe"), np.random.default_rng(0)
    found = {space.candidate(space.sample(rng)).architecture.id for _ in range(5)}
    assert found == {get_space("nasbench201").members["resnet"].id}
    assert len({space.candidate(space.sample(rng)).recipe for _ in range(5)}) == 5
    assert {c.name for c in space.tree.choices} == {
        c.name for c in get_space("recipe").tree.choices
    }


def test_the_grid_of_fbnetv3() -> None:
    space, rng = space_of("recipe-fbnetv3"), np.random.default_rng(0)
    assert space.size == 11 * 2 * 2 * 31 * 22 * 42 * 15
    assert len(space.encode(space.sample(rng))) == 2 + 2 + 5
    for _ in range(200):
        member = space.sample(rng)
        settings = space.knobs.settings(member.choices)
        steps = member.choices["recipe/learning_rate"]
        assert isinstance(steps, int)
        rate = steps * (4e-3 if settings["optimizer"] == "sgd" else 1e-3)
        assert settings["learning_rate"] == pytest.approx(rate, rel=1e-12)
        assert 7e-6 - 1e-12 <= settings["weight_decay"] <= 21e-6 + 1e-12
        assert space.decode(space.encode(member)) == member


@pytest.mark.parametrize(
    ("name", "error", "said"),
    [
        ("nowhere+recipe", PluginError, "nowhere"),
        ("nasbench201+recipes", PluginError, "recipe"),
        ("nasbench201+darts", SpaceError, "no space of recipes"),
        ("recipe+recipe", SpaceError, "has recipes already"),
        ("nasbench201:resnets+recipe", SpaceError, "resnet"),
    ],
)
def test_what_cannot_be_joined_is_said(name: str, error: type[Exception], said: str) -> None:
    with pytest.raises(error, match=said):
        get_space(name)


def test_a_candidate_without_its_recipe_is_no_member() -> None:
    space = space_of("nasbench201+recipe")
    network = get_space("nasbench201").members["resnet"]
    with pytest.raises(SpaceError, match="no recipe"):
        space.member(get_space("nasbench201").candidate(network))


def test_the_nearest_recipe_of_any_settings() -> None:
    space = space_of("nasbench201+recipe")
    member = space.sample(np.random.default_rng(0))
    usual = TrainingRecipe.from_settings({"batch_size": 96, "learning_rate": 1e3}).model_dump()
    found = space.trained_by(
        member, space.knobs.nearest({**usual, "schedule": "no-such", "mixup": 0.2})
    )
    assert space.architecture_of(found) == space.architecture_of(member)
    settings = space.candidate(found).recipe.settings  # type: ignore[union-attr]
    assert settings["optimizer"] == "sgd"
    assert settings["step"] == "plain"
    assert settings["learning_rate"] == OPTIMIZERS.get("sgd").traits.rates[1]  # the nearest end
    assert settings["batch_size"] in (64, 128)
    assert settings["schedule"] == "cosine"  # the first one
    assert settings["ema_decay"] == 0.0
    assert settings["mixup"] == 0.2
    assert settings["normalization"] == "batch"


@pytest.mark.parametrize("name", ["nasbench201+recipe", "nasbench201+recipe-fbnetv3"])
def test_a_recipe_is_nearest_to_itself(name: str) -> None:
    space, rng = space_of(name), np.random.default_rng(1)
    for _ in range(50):
        first, second = space.sample(rng), space.sample(rng)
        recipe = space.candidate(first).recipe
        assert recipe is not None
        again = space.candidate(space.trained_by(second, space.knobs.nearest(recipe.to_dict())))
        assert again.recipe == recipe
        assert again.architecture == space.candidate(second).architecture


@pytest.mark.parametrize("optimizer", ["sgd", "adamw"])
@pytest.mark.parametrize("batch", [16, 64, 256])
@pytest.mark.parametrize("reference", [None, 256])
def test_the_nearest_recipe_has_the_rate_that_goes_with_its_batches(
    optimizer: str, batch: int, reference: int | None
) -> None:
    space = space_of("nasbench201+recipe")
    low, high = OPTIMIZERS.get(optimizer).traits.rates
    own = {"optimizer": optimizer, "learning_rate": (low * high) ** 0.5}
    own |= {"batch_size": batch, "reference_batch": reference}
    usual = TrainingRecipe.from_settings(own)
    member = space.trained_by(
        space.sample(np.random.default_rng(0)), space.knobs.nearest(usual.model_dump())
    )
    recipe = space.candidate(member).recipe
    assert recipe is not None
    found = TrainingRecipe.from_settings(recipe)
    assert found.batch_size == {16: 32, 64: 64, 256: 128}[batch]
    step, expected = (r.all_optimizer_settings()["learning_rate"] for r in (found, usual))
    power = 1.0 if optimizer == "sgd" else 0.5
    expected *= (found.batch_size / batch) ** power
    top = high * (found.batch_size / 64) ** power
    assert step == pytest.approx(min(expected, top))


@pytest.mark.parametrize("recipes", ["recipe", "recipe-fbnetv3"])
@pytest.mark.parametrize(
    "name", [n for n in list_spaces() if "recipe" not in n and not n.startswith("gan")]
)
def test_every_network_has_a_representative_beside_recipes(name: str, recipes: str) -> None:
    space, rng = space_of(f"{name}+{recipes}"), np.random.default_rng(0)
    for _ in range(30):
        member = space.sample(rng)
        found = space.canonical(member)
        network = space.base.canonical(space.architecture_of(member))
        assert space.architecture_of(found) == network
        assert space.candidate(found).recipe == space.candidate(member).recipe
        assert space.canonical(found) == found


def test_which_optimizers_a_space_of_recipes_allows() -> None:
    knobs = space_of("nasbench201+recipe").knobs
    assert knobs.allows({"optimizer": "sgd"})
    assert not knobs.allows({"optimizer": "prodigy"})
    assert not knobs.allows({})
    rest = tuple(choice for choice in knobs.choices if choice.name != "recipe/optimizer")
    assert replace(knobs, choices=rest).allows({"optimizer": "prodigy"})
    fixed = replace(knobs, choices=rest, fixed={"optimizer": "lion"})
    assert fixed.allows({"optimizer": "lion"})
    assert not fixed.allows({"optimizer": "sgd"})


def test_how_far_recipes_are_apart() -> None:
    space = space_of("nasbench201+recipe")
    usual = TrainingRecipe.from_settings({"learning_rate": 0.1}).model_dump()
    near = space.knobs.nearest(usual)
    low, high = OPTIMIZERS.get("sgd").traits.rates

    def apart(**changed: float | str) -> float:
        return space.knobs.apart({**near, **{f"recipe/{k}": v for k, v in changed.items()}}, near)

    assert apart() == 0
    assert apart(batch_size=128) == apart(optimizer="adamw") == 1  # rates of another say nothing
    assert apart(batch_size=128, normalization="ghost", dropout=0.4) == pytest.approx(3)
    assert apart(mixup=0.1) == pytest.approx(0.25)
    third = np.log(0.1 / 0.05) / np.log(high / low)  # by logarithms, of one optimizer
    assert apart(**{"sgd/learning_rate": 0.05}) == pytest.approx(third)
    # What is under a choice counts as that which differs most.
    assert apart(**{"sgd/learning_rate": 0.05, "sgd/step": "sam", "sgd/sam/rho": 0.1}) == 1
    assert apart(schedule="uba", **{"uba/phi": 2.0}) == 1
    other = space.sample(np.random.default_rng(0)).choices
    assert space.knobs.apart(other, near) == space.knobs.apart(near, other) > 1


@pytest.mark.parametrize("optimizer", ["adamw", "adam", "prodigy"])
@pytest.mark.parametrize("name", ["nasbench201+recipe", "nasbench201+recipe-fbnetv3"])
def test_rates_of_one_optimizer_say_nothing_of_another(name: str, optimizer: str) -> None:
    space = space_of(name)
    member = space.sample(np.random.default_rng(0))
    settings = {"optimizer": optimizer, "learning_rate": 0.017, "weight_decay": 0.01}
    recipe = space.candidate(space.trained_by(member, space.knobs.nearest(settings))).recipe
    assert recipe is not None
    told = recipe.settings
    if told["optimizer"] == optimizer:
        assert told["learning_rate"] == pytest.approx(
            np.clip(0.017, *OPTIMIZERS.get(optimizer).traits.rates)
        )
    elif "fbnetv3" in name:
        assert told["learning_rate"] in (0.02, 0.08)  # the least step of the grid
    else:
        low, high = OPTIMIZERS.get(str(told["optimizer"])).traits.rates
        assert told["learning_rate"] == pytest.approx((low * high) ** 0.5)


def test_one_network_is_named_by_its_choices_where_there_is_no_notation() -> None:
    base = get_space("fbnetv3-small")
    network = base.sample(np.random.default_rng(0))
    space = space_of(f"fbnetv3-small:{json.dumps(dict(network.choices))}+recipe")
    assert space.held == network
    member = space.sample(np.random.default_rng(1))
    assert space.candidate(member).architecture == network
    with pytest.raises(SpaceError, match="give its choices as a JSON object"):
        get_space("fbnetv3-small:A+recipe")
    with pytest.raises(SpaceError, match="is no JSON"):
        get_space('fbnetv3-small:{"stem/channels" 8}+recipe')
    with pytest.raises(SpaceError, match="channel"):
        get_space('fbnetv3-small:{"channel": 8}+recipe')
