"""The evaluator `gan`: figures, failures, what it leaves, searches and trainings with it."""

from __future__ import annotations

import math
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import nas
from nas import api
from nas.cli.main import run as cli
from nas.core.architecture import Candidate, Recipe
from nas.core.config import RunConfig
from nas.core.errors import CandidateError, ConfigError, PluginError
from nas.core.protocols import Context, Reply
from nas.core.work import Evaluate
from nas.engine.resolve import resolve
from nas.evaluators import WEIGHTS, account_of
from nas.evaluators.gan import GanEvaluator, build_pair
from nas.measure.gan.extractors import built
from nas.measure.gan.features import ModuleExtractor
from nas.measure.gan.judge import Judge
from nas.training import load_data, load_weights
from nas.training.data.dataset import DataSet
from search_spaces import get_space

SCALE = {"generator_channels": 6, "discriminator_channels": 6, "latent": 12}
LIMIT = {"limit": 300}
QUICK: dict[str, Any] = {"samples": 300, "look": 100, "resamples": 10}


def halves(data: DataSet, seed: int, device: str) -> ModuleExtractor:
    """Somebody's own extractor: means of eight parts."""
    return ModuleExtractor("halves", nn.Sequential(nn.AvgPool2d((4, 2)), nn.Flatten()), 8)


OWN = f"{__name__}:halves"


def config(**given: Any) -> RunConfig:
    fields: dict[str, Any] = {
        "space": "gan",
        "strategy": "random",
        "evaluator": "gan",
        "objectives": ("fd_classifier:min",),
        "network": SCALE,
        "evaluator_settings": QUICK,
        "data_settings": LIMIT,
        "recipe": {"batch_size": 32},
    }
    return RunConfig(**{**fields, **given})


@cache
def evaluator(name: str = "gan") -> GanEvaluator:
    return GanEvaluator(config(evaluator=name).model_dump(mode="json"))


def candidate(name: str = "EAGAN_G", **recipe: Any) -> Candidate:
    return Candidate(get_space("gan").members[name], Recipe(recipe) if recipe else None)


def evaluate(scratch: Path | None = None, name: str = "gan", **given: Any) -> Reply:
    work = Evaluate(**{"candidate": candidate(), "budget": 1, "seed": 0, **given})
    return evaluator(name).evaluate(work, Context(scratch=scratch))


def test_a_training_gives_all_figures_and_says_whose_they_are(tmp_path: Path) -> None:
    found = evaluate()
    assert set(found.figures) == set(evaluator().reports)
    assert all(map(math.isfinite, found.figures.values()))
    extractor = found.value["extractor"]
    assert extractor["name"] == "classifier"
    assert len(extractor["identity"]) == 16
    assert extractor["accuracy"] > 0.85  # of 90 images; which processor it is shows
    assert list(found.curve) == [
        *("discriminator_loss", "generator_loss", "score", "fd_classifier")
    ]
    assert found.spent.epochs == pytest.approx(1)
    assert found.spent.macs > 0
    again = evaluate()
    assert again.figures == found.figures
    assert again.curve == found.curve
    assert evaluate(seed=1).figures != found.figures


def test_sizes_are_the_generators_and_cost_no_training() -> None:
    found = evaluate(budget=0)
    space, shape = get_space("gan"), (1, 8, 8)
    costs = space.costs(candidate().architecture, shape, **SCALE)  # type: ignore[attr-defined]
    assert found.figures == {
        "params": costs["generator"].params,
        "macs": costs["generator"].macs,
        "discriminator_params": costs["discriminator"].params,
        "discriminator_macs": costs["discriminator"].macs,
    }
    assert found.spent.epochs == 0


def test_the_test_split_leaves_the_averaged_generator_and_sheets(tmp_path: Path) -> None:
    found = evaluate(tmp_path, split="test")
    assert {"test_fd_classifier", "test_fd_inf_classifier", "test_kid_classifier"} <= set(
        found.figures
    )
    assert "test_is_classifier" not in found.figures
    pair: Any = build_pair(candidate(), (1, 8, 8), SCALE, "rpgan", 1)
    load_weights(pair.generator, tmp_path / WEIGHTS)
    assert {path.name for path in tmp_path.iterdir()} == {
        *(WEIGHTS, "samples.png", "interpolation.png")
    }
    assert found.figures["fd_classifier"] == evaluate().figures["fd_classifier"]


def test_a_longer_training_goes_on_where_a_shorter_ended(tmp_path: Path) -> None:
    whole = evaluate(budget=2, horizon=2)
    evaluate(tmp_path, budget=1, horizon=2)
    rest = evaluate(tmp_path, budget=2, horizon=2, since=1)
    assert rest.figures == whole.figures
    assert rest.spent.epochs == pytest.approx(1)


def test_the_loss_decides_on_spectral_normalisation_unless_told() -> None:
    def spectral(loss: str, **scale: Any) -> bool:
        pair = build_pair(candidate(), (1, 8, 8), {**SCALE, **scale}, loss, 0)
        return any("original" in name for name, _ in pair.named_parameters())

    assert not spectral("rpgan")
    assert spectral("hinge")
    assert spectral("rpgan", spectral_norm=True)
    assert not spectral("hinge", spectral_norm=False)


def test_failures_are_the_candidates(tmp_path: Path) -> None:
    with pytest.raises(CandidateError, match="diverged"):
        evaluate(candidate=candidate(learning_rate=1e6, optimizer="sgd"))
    with pytest.raises(CandidateError, match="colour is for 3 channels"):
        evaluate(candidate=candidate(augment=["colour"]))
    with pytest.raises(CandidateError, match="diverged: scores"):
        evaluate(candidate=candidate(saturation=1e-6))


def test_figures_are_called_by_their_extractor() -> None:
    account = account_of(f"gan:{OWN}")
    assert account.goal == "fd_halves"
    assert account.tested == "test_fd_halves"
    assert account.in_full
    found = evaluate(name=f"gan:{OWN}")
    assert "fd_halves" in found.figures
    assert "fd_inf_halves_se" in found.figures
    assert not [name for name in found.figures if name.startswith("is_") or "classifier" in name]
    assert found.value["extractor"]["dim"] == 8


def test_objectives_are_checked_before_any_work() -> None:
    asked = {"space": "gan", "strategy": "random"}
    assert resolve(asked).objectives == ("fd_classifier:min",)
    assert resolve({**asked, "evaluator": f"gan:{OWN}"}).objectives == ("fd_halves:min",)
    with pytest.raises(ConfigError, match="nobody reports the objective 'fid'"):
        resolve({**asked, "objectives": ("fid:min",)})
    with pytest.raises(ConfigError, match="'test_fd_classifier' would tune on the test split"):
        resolve({**asked, "objectives": ("test_fd_classifier:min",)})
    with pytest.raises(PluginError, match="unknown extractor 'inceptoin'"):
        resolve({**asked, "evaluator": "gan:inceptoin"})
    with pytest.raises(ConfigError, match="unknown recipe setting 'gama'; did you mean gamma"):
        resolve({**asked, "recipe": {"gama": 1}})
    with pytest.raises(ConfigError, match="unknown setting of gan 'sample'; did you mean samples"):
        resolve({**asked, "evaluator_settings": {"sample": 1}})


def test_limits_on_sizes_are_about_the_generator() -> None:
    space: Any = get_space("gan")
    least = space.costs(space.members["smallest"], (1, 8, 8))["generator"].params
    asked = {"space": "gan", "strategy": "random", "network": {"generator_channels": 256}}
    asked["network"] |= {"discriminator_channels": 128, "latent": 120}
    resolve({**asked, "objectives": ("fd_classifier", f"params:min<={1.01 * least:.0f}")})
    with pytest.raises(ConfigError, match="cannot be reached"):
        resolve({**asked, "objectives": ("fd_classifier", f"params:min<={0.5 * least:.0f}")})


def test_networks_that_are_no_pairs_are_refused() -> None:
    one = Candidate(get_space("darts").sample(np.random.default_rng(0)))
    with pytest.raises(ConfigError, match="no pairs of generator and discriminator"):
        build_pair(one, (3, 8, 8), {"channels": 4, "layers": 3}, "rpgan", 0)


@pytest.mark.slow
def test_a_search_of_generators_ends_with_full_trainings_and_files(tmp_path: Path) -> None:
    run = nas.search(
        space="gan",
        strategy="random",
        budget="2evaluations",
        objectives=("fd_classifier", "params:min"),
        data_settings=LIMIT,
        settings={
            "epochs": 1,
            "network": SCALE,
            "evaluator_settings": QUICK,
            "recipe": {"epochs": 1},
            "final": {"epochs": 1, "seeds": 1, "random_limit": 1, "random_epochs": 1},
        },
        out=tmp_path / "run",
    )
    assert run.best is not None
    assert {"fd_classifier", "test_fd_classifier"} <= set(run.best.figures)
    best = tmp_path / "run" / "best"
    assert {"model.py", "model.onnx", WEIGHTS, "samples.png", "interpolation.png"} <= {
        path.name for path in best.iterdir()
    }
    made = tmp_path / "again.pt2"
    assert cli(["export", str(tmp_path / "run"), "--to", "pt2", "--out", str(made)]) == 0
    program = torch.export.load(made).module()
    assert program(torch.zeros(3, 12)).shape == (3, 1, 8, 8)


@pytest.mark.slow
def test_train_shows_sheets_on_the_way(tmp_path: Path) -> None:
    entry = api.evaluate(
        get_space("gan").members["EAGAN_G"],
        epochs=2,
        scale=SCALE,
        data_settings=LIMIT,
        evaluator_settings={**QUICK, "sheets": 2},
        out=tmp_path / "run",
    )
    assert entry.figures["test_fd_classifier"] > 0
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    shown = []
    for folder in (tmp_path / "run" / "tb").rglob("events.out.tfevents.*"):
        events = EventAccumulator(str(folder.parent))
        events.Reload()
        if "samples" in events.Tags()["images"]:
            shown = [event.step for event in events.Images("samples")]
    assert shown == [1, 2]


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_bars_of_the_field_on_digits() -> None:
    """400 steps at 12 channels: regularised relativistic and hinge losses, three seeds each.

    The field's bars are of another extractor, whose distance of uniform noise is 45: at most a
    quarter of that for the first loss, two thirds for the second.
    """
    found: dict[str, list[float]] = {}
    data = load_data("digits", 0)
    judge = Judge(built("classifier", data, 0, "cpu"), data, "validation", "cpu", resamples=0)
    chance = torch.Generator().manual_seed(0)
    pixels = torch.randint(0, 256, (2000, 1, 8, 8), generator=chance, dtype=torch.uint8)
    noise = judge.distance(pixels)
    for loss in ("rpgan", "hinge"):
        given = {
            "network": {"generator_channels": 12, "discriminator_channels": 12, "latent": 24},
            "recipe": {"batch_size": 32, "learning_rate": 1e-3, "loss": loss},
            "evaluator_settings": {"look": 0},
            "data_settings": {},
        }
        made = GanEvaluator(config(**given).model_dump(mode="json"))
        for seed in range(3):
            reply = made.evaluate(Evaluate(candidate(), 16, seed), Context())
            found.setdefault(loss, []).append(reply.figures["fd_classifier"])
    assert max(found["rpgan"]) <= noise / 4
    assert sorted(found["rpgan"])[1] <= noise * 8 / 45
    assert max(found["hinge"]) <= noise * 30 / 45
