"""The evaluator `gan`: trains a generator and a discriminator, and judges what is generated."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Final

import numpy as np
import torch
from pydantic import AfterValidator, Field
from torch import Tensor, nn

from nas.core.architecture import Candidate
from nas.core.config import RunConfig, Settings, build_settings, merge
from nas.core.errors import CandidateError, ConfigError, SpaceError, UnsupportedError
from nas.core.protocols import Context, Reply
from nas.core.work import Evaluate, Spent
from nas.evaluators import WEIGHTS, Account, Inputs
from nas.evaluators.states import Leg
from nas.measure import count_macs, count_parameters
from nas.measure.gan.classifier import gan_split
from nas.measure.gan.extractors import CLASSIFIER, built, described, figures_of, name_of
from nas.measure.gan.judge import LEAST_IMAGES, Judge
from nas.training import load_data, save_weights
from nas.training.data.dataset import DataSet
from nas.training.files import write_atomically
from nas.training.gan.criteria import GAN_LOSSES
from nas.training.gan.images import drawn, latents
from nas.training.gan.recipe import GanRecipe, default_gan_recipe
from nas.training.gan.sheets import interpolation_sheet, sample_sheet
from nas.training.gan.trainer import PairOptions, fit_pair
from nas.training.randomness import generator as generator_of
from nas.training.randomness import seeded
from search_spaces import get_space

__all__ = ["GanEvaluator", "GanSettings", "build_pair"]

SIZES: Final = ("params", "macs", "discriminator_params", "discriminator_macs")
COST: Final = ("epochs", "gradient_evaluations")
SAMPLES: Final = "samples.png"
INTERPOLATION: Final = "interpolation.png"
COMPARED: Final = 32
"""Latent vectors on which exported forms are compared with the generator."""


def _none_or_some(count: int | None) -> int | None:
    if count == 1:
        raise ValueError("0 or 2 or more: one alone has no deviation")
    return count


class GanSettings(Settings):
    """Settings of the evaluator.

    Attributes:
        samples: Generated images that figures are of, the same latent vectors for all candidates.
            Ten times as many as the features have dimensions, and 1,500, are the least that make
            sense.
        look: Generated images that the distance after each epoch is of, 2 or more, or 0 for no such
            look (and no guard against collapse).
        resamples: Of the bootstrap of standard errors, 2 or more, or 0 for none; null for 100, or
            none where features have more than 128 dimensions.
        sheets: Sheets of samples that a full training shows on the way.
    """

    samples: int = Field(default=2000, ge=20)
    look: Annotated[int, AfterValidator(_none_or_some)] = Field(default=500, ge=0)
    resamples: Annotated[int | None, AfterValidator(_none_or_some)] = Field(default=None, ge=0)
    sheets: int = Field(default=10, ge=0)


@dataclass(frozen=True)
class _Pair:
    """Two networks that are trained against each other, and what they cost."""

    generator: nn.Module
    discriminator: nn.Module
    latent: int
    figures: Mapping[str, float]


def build_pair(
    candidate: Candidate,
    input_shape: tuple[int, int, int],
    network: Mapping[str, Any],
    loss: str,
    seed: int,
) -> nn.Module:
    """The candidate's `generator` and `discriminator` as one module, initialised from `seed`.

    Args:
        candidate: Of any space whose networks are such pairs; its scale goes over `network`.
        input_shape: Channels, height and width of an image.
        network: Macro settings of the run. Where the space has `spectral_norm` and nobody says,
            the loss decides.
        loss: A member of `nas.training.gan.criteria.GAN_LOSSES`.
        seed: Of the initial weights.

    Raises:
        ConfigError: The space has other networks.
        SpaceError: There is none of this scale, or for such images.
    """
    space = get_space(candidate.architecture.space)
    scale = {**network, **candidate.scale}
    if "spectral_norm" in space.scale:
        scale.setdefault("spectral_norm", GAN_LOSSES.get(loss).spectral)
    with seeded(seed, "network"):
        pair = space.network(candidate.architecture, input_shape, **scale)
    parts = (getattr(pair, "generator", None), getattr(pair, "discriminator", None))
    if not all(isinstance(part, nn.Module) for part in parts) or not hasattr(parts[0], "latent"):
        raise ConfigError(
            f"networks of {space.name!r} are no pairs of generator and discriminator",
            "use another evaluator",
        )
    return pair


class GanEvaluator:
    """Trains pairs from scratch, each by its own recipe or the run's.

    Generated images are compared with the validation images, and for the final report with the test
    images. Of the training images some are those of the built-in extractor, and not the GAN's. What
    the extractor is, is stored with every result.

    Args:
        spec: The run's configuration (`RunConfig.model_dump`); the argument of its evaluator is the
            extractor's name, "gan:NAME" or "gan:module:function".

    Raises:
        ConfigError: The data is none for this recipe or extractor.
        DataError: The data is not there.
    """

    reports: tuple[str, ...] = (*figures_of(CLASSIFIER), *SIZES, *COST)
    goal = f"fd_{CLASSIFIER}"
    measures = False
    in_full = True
    Settings = GanSettings

    def __init__(self, spec: Mapping[str, Any]) -> None:
        config = build_settings(RunConfig, spec)
        self._config = config
        self._extractor = _extractor_of(config)
        account = self.account(self._extractor)
        self.reports, self.goal = account.reports or (), account.goal
        self._settings = build_settings(GanSettings, config.evaluator_settings, "setting of gan")
        self._data = _data_of(config)
        own = self._extractor == CLASSIFIER  # others are no part of the data
        self._images = gan_split(self._data, config.seed) if own else self._data.train
        self._recipe = GanRecipe.from_settings(config.recipe, default_gan_recipe(self._data))
        self._recipe.check_images(self._data.input_shape)

    @staticmethod
    def account(argument: str) -> Account:
        """What the evaluator declares where this extractor judges.

        Raises:
            PluginError: There is no such extractor.
        """
        name = name_of(argument)
        reports = (*figures_of(name), *SIZES, *COST)
        return Account(reports, measures=False, goal=f"fd_{name}", in_full=True)

    @staticmethod
    def check_recipe(config: RunConfig) -> None:
        """Refuse settings of trainings that a GAN's has not.

        Raises:
            ConfigError: A setting is unknown or out of range.
            PluginError: A loss, optimizer or schedule is unknown.
        """
        GanRecipe.from_settings(config.recipe)
        GanRecipe.from_settings(merge(config.recipe, config.final.recipe))

    @staticmethod
    def check_data(config: RunConfig) -> dict[str, Any]:
        """Refuse images that no pair is for, or too few to judge by; settings that the data needs.

        Raises:
            ConfigError: They do not go with the networks, a recipe or the extractor.
            DataError: The data is not there.
        """
        data = _data_of(config)
        for name, split in (("validation", data.validation), ("test", data.test_split())):
            if len(split) < LEAST_IMAGES:
                raise ConfigError(
                    f"data {config.data!r} has {len(split)} {name} images to judge by",
                    f"{LEAST_IMAGES} is the least: give more images, or raise"
                    " data_settings.validation or data_settings.limit",
                )
        usual = default_gan_recipe(data)
        in_search = GanRecipe.from_settings(config.recipe, usual)
        in_full = GanRecipe.from_settings(merge(config.recipe, config.final.recipe), usual)
        for recipe in (in_search, in_full):
            recipe.check_images(data.input_shape)
        space = get_space(config.space)
        candidate = space.candidate(space.sample(np.random.default_rng(0)))
        for scale in ({}, *config.final.scales):
            network = {**config.network, **scale}
            try:
                with torch.device("meta"):  # nothing is computed, and no memory taken
                    build_pair(candidate, data.input_shape, network, in_search.loss, 0)
            except SpaceError as error:
                raise ConfigError(f"data {config.data!r}: {error.message}", error.hint) from None
        return {"one_class": True} if data.num_classes == 1 else {}

    @staticmethod
    def inputs(config: RunConfig) -> Inputs:
        """What is exported is the generator alone, compared on latent vectors.

        Raises:
            DataError: The data is not there.
        """
        data = _data_of(config)
        pairs = get_space(get_space(config.space).networks)
        shapes = pairs.shapes(data.input_shape, data.num_classes, **config.network)
        examples = None
        if shapes is not None:
            (latent,) = shapes[0]
            examples = latents(COMPARED, latent, generator_of(0, "examples"))
        return Inputs(data.input_shape, data.num_classes, examples, part="generator")

    def evaluate(self, work: Evaluate, context: Context) -> Reply:
        """Train and judge; a work on the test split leaves weights and sheets in the scratch.

        Parameters and multiply-accumulates are the generator's, the discriminator's have names of
        their own. A budget of zero trains nothing and gives these alone.

        Raises:
            CandidateError: The training diverged, collapsed, or ran out of memory.
            Interrupted: The context asked to stop.
        """
        candidate, data = work.candidate, self._data
        recipe = self._recipe_of(candidate)
        leg = Leg.of(work, context, recipe.epochs)
        pair = self._built(candidate, recipe, leg.seed)
        if work.budget == 0:
            return Reply(dict(pair.figures), spent=Spent(evaluations=1))
        extractor = built(self._extractor, data, self._config.seed, context.device)
        judge = Judge(extractor, data, "validation", context.device, self._settings.resamples)
        shows = self._shows(work, leg.horizon or leg.epochs)

        def look(generator: nn.Module, epoch: int) -> dict[str, float]:
            if epoch in shows:
                sheet = sample_sheet(generator, pair.latent, context.device)
                text = base64.b64encode(sheet).decode()
                context.emit(
                    "samples", {"phase": "train", "step": epoch, "png": text, **leg.labels}
                )
            if not self._settings.look:
                return {}
            images = self._generated(generator, pair.latent, self._settings.look, context.device)
            return {self.goal: judge.distance(images)}

        result = fit_pair(
            pair.generator,
            pair.discriminator,
            pair.latent,
            self._images,
            recipe,
            context=context,
            epochs=leg.epochs,
            seed=leg.seed,
            resume_from=leg.begins,
            options=PairOptions(
                identity=candidate.id,
                fingerprint=data.fingerprint,
                horizon=leg.horizon,
                keep_state=leg.ends,
                macs={
                    "generator": pair.figures["macs"],
                    "discriminator": pair.figures["discriminator_macs"],
                },
                labels=leg.labels,
                judge=look,
            ),
        )
        leg.forget()
        samples = self._settings.samples
        images = self._generated(pair.generator, pair.latent, samples, context.device)
        figures = {**result.figures, **pair.figures, **judge.figures(images)}
        if work.split == "test":
            last = Judge(extractor, data, "test", context.device, self._settings.resamples)
            found = last.figures(images)
            figures |= {f"test_{name}": value for name, value in found.items() if name[:3] != "is_"}
            self._leave(pair, candidate, context)
        value = {"extractor": described(extractor), "samples": samples}
        return Reply(figures, value, dict(result.curve), result.spent)

    def _built(self, candidate: Candidate, recipe: GanRecipe, seed: int) -> _Pair:
        shape = self._data.input_shape
        made: Any = build_pair(candidate, shape, self._config.network, recipe.loss, seed)
        generator, discriminator, latent = made.generator, made.discriminator, made.generator.latent
        sizes = {
            "params": count_parameters(generator),
            "macs": count_macs(generator, (latent,)),
            "discriminator_params": count_parameters(discriminator),
            "discriminator_macs": count_macs(discriminator, shape),
        }
        figures = {name: float(size) for name, size in sizes.items()}
        return _Pair(generator, discriminator, latent, figures)

    def _recipe_of(self, candidate: Candidate) -> GanRecipe:
        """The run's recipe, a candidate's own settings over it.

        Raises:
            CandidateError: The two do not go together.
        """
        if candidate.recipe is None:
            return self._recipe
        try:
            recipe = GanRecipe.from_settings(candidate.recipe, self._recipe)
            recipe.check_images(self._data.input_shape)
        except UnsupportedError as error:
            raise CandidateError(error.message, error.hint) from None
        return recipe

    def _shows(self, work: Evaluate, epochs: int) -> frozenset[int]:
        """Epochs after which a full training shows a sheet of samples."""
        count = min(self._settings.sheets, epochs) if work.split == "test" else 0
        return frozenset(round(epochs * (i + 1) / count) for i in range(count))

    def _generated(self, generator: nn.Module, latent: int, count: int, device: str) -> Tensor:
        """Images of the latent vectors that all candidates have.

        Raises:
            CandidateError: A pixel is no number.
        """
        z = latents(count, latent, generator_of(self._config.seed, "judged"))
        images = drawn(generator, z, device)
        if images is None:
            raise CandidateError("a pixel of an image is no number", "lower the learning rates")
        return images

    def _leave(self, pair: _Pair, candidate: Candidate, context: Context) -> None:
        """Weights of the averaged generator, and sheets of what it makes."""
        folder, device = context.scratch, context.device
        if folder is None:
            return
        save_weights(pair.generator, folder / WEIGHTS, {"candidate": candidate.id})
        for name, draw in ((SAMPLES, sample_sheet), (INTERPOLATION, interpolation_sheet)):
            _write(folder / name, draw(pair.generator, pair.latent, device))


def _extractor_of(config: RunConfig) -> str:
    return config.evaluator.partition(":")[2] or CLASSIFIER


def _data_of(config: RunConfig) -> DataSet:
    """The run's data, which need have no classes unless the extractor learns to tell them.

    Raises:
        ConfigError: It must, and there is one class.
        DataError: The data is not there.
    """
    data = load_data(config.data, config.seed, **{**config.data_settings, "one_class": True})
    if data.num_classes == 1 and _extractor_of(config) == CLASSIFIER:
        raise ConfigError(
            f"the built-in extractor learns to tell classes, and data {config.data!r} has 1"
            f" ({data.classes[0]!r})",
            "name an extractor of your own, evaluator gan:MODULE:FUNCTION, or give two classes",
        )
    return data


def _write(path: Path, content: bytes) -> None:
    def fill(new: Path) -> None:
        new.write_bytes(content)

    write_atomically(path, fill)
