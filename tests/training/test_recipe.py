"""Recipes: checked, and to and from what candidates carry."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from nas.core.architecture import Recipe
from nas.core.errors import ConfigError, PluginError, UnsupportedError
from nas.training.data import load_data
from nas.training.data.dataset import DataSet
from nas.training.recipe import RECIPES, TrainingRecipe, default_recipe


@pytest.mark.parametrize("name", RECIPES.names())
def test_recipes_survive_the_trip(name: str) -> None:
    recipe = RECIPES.get(name)
    carried = recipe.to_recipe()
    assert TrainingRecipe.from_settings(carried) == recipe
    assert TrainingRecipe.from_settings(json.loads(json.dumps(carried.to_dict()))) == recipe
    assert carried.id == recipe.to_recipe().id
    assert RECIPES.summary(name)


def test_the_published_recipe() -> None:
    published = RECIPES.get("darts-cifar10")
    assert (published.epochs, published.batch_size, published.learning_rate) == (600, 96, 0.025)
    assert published.all_optimizer_settings() == {
        "momentum": 0.9,
        "learning_rate": 0.025,
        "weight_decay": 3e-4,
    }
    assert (published.clip_norm, published.cutout, published.drop_path) == (5.0, 16, 0.2)
    assert (published.auxiliary_weight, published.crop_padding, published.flip) == (0.4, 4, True)


def test_a_part_of_a_recipe_goes_over_a_base() -> None:
    base = RECIPES.get("darts-cifar10")
    part = Recipe({"learning_rate": 0.1, "mixup": 0.2})
    assert TrainingRecipe.from_settings(part, base) == base.but(learning_rate=0.1, mixup=0.2)
    assert TrainingRecipe.from_settings(part).epochs == TrainingRecipe().epochs


def test_settings_of_another_optimizer_or_schedule_do_not_carry_over() -> None:
    base = TrainingRecipe(optimizer_settings={"momentum": 0.5}, schedule_settings={"final": 0.1})
    changed = base.but(optimizer="adamw", learning_rate=1e-3)
    assert changed.optimizer_settings == {}
    assert changed.schedule_settings == {"final": 0.1}
    assert base.but(schedule="constant").schedule_settings == {}
    assert base.but(optimizer="sgd").optimizer_settings == {"momentum": 0.5}


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"epochs": 0}, "'epochs' is 0"),
        ({"epochs": 1.5}, "'epochs' is 1.5"),
        ({"batch_size": "64"}, "'batch_size' is '64'"),
        ({"cutot": 3}, "did you mean cutout"),
        ({"learning_rate": float("inf")}, "finite"),
        ({"label_smoothing": 1.0}, "'label_smoothing'"),
        ({"clip_norm": 0}, "'clip_norm'"),
        ({"precision": "float16"}, "'precision'"),
        ({"optimizer_settings": {"beta1": 0.5}}, "unknown sgd setting 'beta1'"),
        ({"optimizer_settings": {"weight_decay": 0.5}}, "weight_decay to stand beside it"),
        ({"schedule_settings": {"final": -1}}, "cosine setting 'final'"),
    ],
)
def test_wrong_settings_are_one_clear_line(settings: dict[str, object], words: str) -> None:
    with pytest.raises(ConfigError, match=words) as caught:
        TrainingRecipe.from_settings(settings)
    assert "\n" not in str(caught.value)


def test_unknown_plugins() -> None:
    with pytest.raises(PluginError, match="did you mean sgd"):
        TrainingRecipe.from_settings({"optimizer": "sdg"})
    with pytest.raises(PluginError, match="unknown schedule"):
        TrainingRecipe.from_settings({"schedule": "steps"})


def test_defaults_suit_the_images(digits: DataSet, tmp_path: Path) -> None:
    assert default_recipe(digits) == RECIPES.get("digits")
    images = np.random.default_rng(0).integers(0, 256, (30, 32, 32, 3), dtype=np.uint8)
    np.savez(tmp_path / "a.npz", x=images, y=np.arange(30) % 3)
    colour = default_recipe(load_data(f"npz:{tmp_path / 'a.npz'}"))
    assert (colour.flip, colour.crop_padding) == (True, 4)


def test_a_recipe_is_immutable() -> None:
    with pytest.raises(ValueError, match="frozen"):
        TrainingRecipe().epochs = 3  # type: ignore[misc]


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"optimizer": "schedule-free-adamw", "schedule": "constant"}, "averages weights itself"),
        ({"schedule": "autolrs"}, "goes back to earlier weights"),
        ({"weights": "compander"}, "weights = 'compander' no channels can be removed"),
        ({"normalization": "group"}, "normalization = 'group' no channels can be removed"),
    ],
)
def test_what_would_bring_removed_channels_back_is_refused(
    settings: dict[str, object], said: str
) -> None:
    if "optimizer" in settings:
        pytest.importorskip("schedulefree", reason="needs the extra zoo")
    with pytest.raises(UnsupportedError, match=said):
        TrainingRecipe.from_settings({"prune": 0.5, **settings})
