"""Recipes of GANs: the published one, and what is published of it."""

from __future__ import annotations

import pytest

from nas.core.config import merge, preset
from nas.training.gan.recipe import GAN_RECIPES, GanRecipe


@pytest.mark.parametrize("name", GAN_RECIPES.names())
def test_every_recipe_says_what_it_is(name: str) -> None:
    assert GanRecipe.from_settings(GAN_RECIPES.get(name).model_dump()) == GAN_RECIPES.get(name)
    assert GAN_RECIPES.summary(name)


def test_the_published_batches_are_the_papers_and_not_those_of_its_code() -> None:
    """Section 5.1 of the paper: 40 images for the generator, 80 for the discriminator."""
    published = GAN_RECIPES.get("eagan-cifar10")
    assert (published.batch_size, published.generator_batch) == (80, 40)
    assert (published.n_critic, published.epochs, published.loss) == (5, 600, "hinge")


def test_the_preset_of_the_paper_trains_in_full_by_the_published_recipe() -> None:
    values = preset("eagan", "paper")
    final = values["final"]
    found = GanRecipe.from_settings(
        {**merge(values["recipe"], final["recipe"]), "epochs": final["epochs"]}
    )
    assert found == GAN_RECIPES.get("eagan-cifar10")
