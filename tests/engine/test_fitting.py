"""What a strategy is told of a run's trainings, and recipes that do not go with a run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from nas.core.config import RunConfig
from nas.core.errors import ConfigError
from nas.engine.fitting import problem_of
from nas.engine.resolve import resolve
from nas.evaluators.train import TrainEvaluator
from nas.testing.toys import toy_evaluator


def colour(folder: Path) -> str:
    path = folder / "colour.npz"
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (90, 16, 16, 3), dtype=np.uint8)
    np.savez(path, x=images, y=np.arange(90) % 3)
    return f"npz:{path}"


@pytest.mark.parametrize("given", [{}, {"learning_rate": 0.3, "mixup": 0.1}])
@pytest.mark.parametrize("colourful", [False, True])
def test_the_usual_recipe_is_that_of_the_evaluator(
    colourful: bool, given: dict[str, Any], tmp_path: Path
) -> None:
    """All of it, what suits the data included: joint searches begin from what the others have."""
    data = colour(tmp_path) if colourful else "digits"
    config = resolve({"space": "nasbench201+recipe", "data": data, "recipe": given})
    usual = problem_of(config).usual()
    assert usual == TrainEvaluator(config.model_dump(mode="json"))._recipe.model_dump(mode="json")
    assert (usual["warmup_epochs"] > 0) == colourful  # so the data had its say


@pytest.mark.parametrize("name", ["nas.testing.toys:toy_evaluator", "gan"])
def test_nobody_knows_the_recipes_of_others(name: str) -> None:
    config = RunConfig(space="nasbench201", strategy="random", evaluator=name)
    assert problem_of(config).usual() == {}
    assert problem_of(config, toy_evaluator).usual() == {}


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"space": "gan+recipe"}, r"recipes of 'gan\+recipe' do not go with the run: .*drop_path"),
        ({"space": "nasbench201+recipe", "recipe": {"loss": "certified"}}, "do not go with"),
        ({"space": "nasbench201+recipe", "recipe": {"prune": 0.3}}, "do not go with"),
        ({"space": "nasbench201+recipe", "final": {"recipe": {"prune": 0.3}}}, "do not go with"),
    ],
)
def test_recipes_that_do_not_go_with_a_run_are_refused(given: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        resolve(given)
