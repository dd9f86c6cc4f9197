"""The session "gan-supernet": both stages of a GAN's search, answering the calls of `eagan`."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from nas.core.config import RunConfig, build_settings
from nas.core.errors import ConfigError, DataError, UnsupportedError
from nas.core.objective import parse_objectives
from nas.core.protocols import Context, Reply
from nas.core.work import Spent
from nas.measure.gan.classifier import gan_split
from nas.measure.gan.extractors import CLASSIFIER, FeatureExtractor, built
from nas.measure.gan.judge import Judge
from nas.oneshot.gan_generators import GeneratorTraining
from nas.oneshot.gan_pairs import PairTraining
from nas.oneshot.gan_parts import COUNTED, DISCRIMINATOR, GENERATOR, Parts, Scores, as_path
from nas.strategies.eagan.settings import EaganSettings
from nas.training.data import load_data
from nas.training.device import deterministic
from nas.training.gan.criteria import GAN_LOSSES
from nas.training.gan.recipe import GanRecipe, default_gan_recipe
from nas.training.randomness import seeded
from nas.training.stream import Placed
from search_spaces import get_space
from search_spaces.gan.genes import Genotype
from search_spaces.gan.scale import check_images
from search_spaces.gan.scale import settings as complete
from search_spaces.gan.space import PAIR, GanSpace

__all__ = ["GanSession", "open_gan_supernet"]


def open_gan_supernet(spec: Mapping[str, Any], context: Context) -> GanSession:
    """Make the session of a run.

    Args:
        spec: The run's configuration (`RunConfig.model_dump`).
        context: Device of the worker.

    Raises:
        UnsupportedError: The space has no such networks, or the evaluator judges otherwise.
        ConfigError: An objective is an inception score that the extractor does not give.
        SpaceError: There is no network for such images.
    """
    config = build_settings(RunConfig, spec)
    settings = build_settings(EaganSettings, config.settings).resolved
    space = get_space(config.space)
    name, _, argument = config.evaluator.partition(":")
    if not isinstance(space, GanSpace) or name != "gan":
        raise UnsupportedError(
            f"{config.space!r} by evaluator {config.evaluator!r} has no supernet of GANs",
            "search gan, gan-generator or gan-discriminator by evaluator gan",
        )
    data = load_data(config.data, config.seed, **config.data_settings)
    recipe = GanRecipe.from_settings(config.recipe, default_gan_recipe(data))
    recipe.check_images(data.input_shape)
    check_images(data.input_shape)
    extractor = argument or CLASSIFIER
    images = gan_split(data, config.seed) if extractor == CLASSIFIER else data.train
    pairs = get_space(PAIR)
    scale = {"spectral_norm": GAN_LOSSES.get(recipe.loss).spectral, **config.network}
    device = torch.device(context.device)
    parts = Parts(
        Placed(images, device),
        recipe,
        complete(pairs.scale, {k: v for k, v in scale.items() if k in pairs.scale}),
        data.input_shape,
        config.seed,
        device,
    )
    features = built(extractor, data, config.seed, context.device)
    wanted = [objective.metric for objective in parse_objectives(config.objectives)]
    _check_scores(wanted, features)
    scores = Scores(
        features,
        Judge(features, data, "validation", context.device, 0),
        settings.samples,
        settings.groups,
        f"is_{features.name}" in wanted,
    )
    return GanSession(parts, settings, scores, data.fingerprint)


class GanSession:
    """A search of GANs under way.

    Genotypes in arguments are as published, `[[...], [...], [...]]`.

    Args:
        parts: What everything is made of.
        settings: The strategy's, resolved.
        scores: Judge generators.
        fingerprint: Of the data, checked when a state is loaded.

    Attributes:
        generators: Stage 1; None before it, and once stage 2 has begun.
        pairs: Stage 2; None before it.
    """

    readonly = frozenset({"score", "score_pairs"})

    def __init__(
        self, parts: Parts, settings: EaganSettings, scores: Scores, fingerprint: str
    ) -> None:
        self._parts, self._settings, self._scores = parts, settings, scores
        self._fingerprint = fingerprint
        self.generators: GeneratorTraining | None = None
        self.pairs: PairTraining | None = None

    def call(self, method: str, arguments: Mapping[str, Any], context: Context) -> Reply:
        """Do one step; see the methods of the same names for what they answer."""
        methods: dict[str, Callable[..., tuple[Any, float, float]]] = {
            "begin": self.begin,
            "train": self.train,
            "score": self.score,
            "pair": self.pair,
            "warm_up": self.warm_up,
            "arrange": self.arrange,
            "confirm": self.confirm,
            "train_pairs": self.train_pairs,
            "score_pairs": self.score_pairs,
        }
        began = time.perf_counter()
        with deterministic(), seeded(context.seed, device=self._parts.device):
            value, epochs, macs = methods[method](context, **arguments)
        spent = Spent(epochs, 0, time.perf_counter() - began, macs)
        losses = ("discriminator_loss", "generator_loss", "score")
        figures = {n: value[n] for n in losses if isinstance(value, dict) and n in value}
        return Reply(figures, value, {}, spent)

    # Each method gives its answer, the epochs it trained (passes of one discriminator), and the
    # multiply-accumulates it took.

    def begin(self, context: Context, discriminator: str) -> tuple[Any, float, float]:
        """Begin stage 1 against this discriminator."""
        self.generators = self._stage_one(_rows(DISCRIMINATOR, discriminator))
        return None, 0.0, 0.0

    def train(
        self, context: Context, epochs: int, paths: Sequence[str] | None
    ) -> tuple[Any, float, float]:
        """Train the supernet of generators on some paths, or on uniformly drawn ones.

        The answer has the losses of the last epoch, for each path how often it learnt (`counts`),
        and why paths were `dropped`.
        """
        training = self._generators
        rows = None if paths is None else [_rows(GENERATOR, text) for text in paths]
        counts, macs, found = [0] * len(rows or ()), 0.0, {}
        for _ in range(epochs):
            before = len(training.dropped)
            found = training.epoch(rows, context)
            for why in list(training.dropped.values())[before:]:
                context.emit("notice", {"message": f"a generator is left out: {why}"})
            macs += found.pop("macs")
            counts = [a + b for a, b in zip(counts, found.pop("counts"), strict=True)]
            stage = self._settings.generators
            whole = stage.warmup + stage.rounds * stage.epochs
            self._emit(context, "generators", training.epochs, whole, found)
        lost = [training.dropped.get(path, "") for path in rows or ()]
        value = {**found, "epoch": training.epochs, "counts": counts, "dropped": lost}
        return value, float(epochs), macs

    def score(self, context: Context, paths: Sequence[str]) -> tuple[Any, float, float]:
        """Figures of each generator; None for one that makes no images."""
        rows = [_rows(GENERATOR, text) for text in paths]
        found = self._generators.score(rows, self._scores, context.seed)
        macs = sum(self._parts.macs(GENERATOR, path) for path in rows)
        return found, 0.0, macs * self._images

    def pair(self, context: Context, generator: str) -> tuple[Any, float, float]:
        """Begin stage 2 with the trained weights of a generator; the others are forgotten."""
        first = self._generators
        taken = first.taken(_rows(GENERATOR, generator))
        self.pairs = PairTraining(
            self._parts,
            self._settings.discriminators,
            taken,
            first.discriminator,
            first.learner.optimizers[DISCRIMINATOR].state_dict(),
        )
        self.generators = None
        return None, 0.0, 0.0

    def warm_up(self, context: Context, epochs: int) -> tuple[Any, float, float]:
        """Train the supernet of discriminators against the generator, which is not trained."""
        macs, found = 0.0, {}
        for _ in range(epochs):
            found = self._pairs.warm_up(context)
            macs += found.pop("macs")
        return found, float(epochs), macs

    def arrange(
        self, context: Context, paths: Sequence[str], ranking: Sequence[int]
    ) -> tuple[Any, float, float]:
        """Begin a round of these discriminators; the answer has the `epochs` of it."""
        self._pairs.arrange([_rows(DISCRIMINATOR, text) for text in paths], list(ranking))
        return {"epochs": self._pairs.epochs}, 0.0, 0.0

    def confirm(self, context: Context, paths: Sequence[str]) -> tuple[Any, float, float]:
        """Let these begin the round again, with other chance; the answer has its `epochs`."""
        self._pairs.confirm([_rows(DISCRIMINATOR, text) for text in paths])
        return {"epochs": self._pairs.epochs}, 0.0, 0.0

    def train_pairs(self, context: Context, epochs: int) -> tuple[Any, float, float]:
        """Train all pairs; the answer says of each why it failed, if it did."""
        found = self._pairs.train(epochs, context)
        pairs, rounds = self._pairs, self._settings.discriminators.rounds
        done = max(slot.learner.step for slot in pairs.slots) // pairs.slots[0].learner.steps
        step, whole = (pairs.round - 1) * pairs.epochs + done, rounds * pairs.epochs
        if pairs.aside:
            self._emit(context, "confirmation", done, pairs.epochs, found["losses"])
        else:
            self._emit(context, "pairs", step, whole, found["losses"])
        value = {"failed": found["failed"], **found["losses"]}
        return value, float(found["epochs"]), found["macs"]

    def score_pairs(self, context: Context) -> tuple[Any, float, float]:
        """Figures of each pair's generator, lists by discriminator; None for one that failed."""
        pairs = self._pairs
        macs = self._parts.macs(GENERATOR, pairs.generator_path) * len(pairs.slots)
        return pairs.score(self._scores, context.seed), 0.0, macs * self._scores.samples

    def save(self, path: Path) -> None:
        """Write the stage that is under way."""
        state = {
            "data": self._fingerprint,
            "generators": None if self.generators is None else self.generators.state(),
            "pairs": None if self.pairs is None else self.pairs.state(),
        }
        torch.save(state, path)

    def load(self, path: Path) -> None:
        """Become what `save` wrote.

        Raises:
            DataError: It was trained on other data.
        """
        # To the host: generators of chance take their states from there only, all else is copied.
        state = torch.load(path, map_location="cpu", weights_only=True)
        if state["data"] != self._fingerprint:
            raise DataError("the data is not what this run began with", "restore it, or begin anew")
        with seeded(self._parts.seed, device=self._parts.device):
            self._load(state)

    def _load(self, state: Mapping[str, Any]) -> None:
        self.generators = self.pairs = None
        if state["generators"] is not None:
            self.generators = self._stage_one(as_path(state["generators"]["fixed"]))
            self.generators.load_state(state["generators"])
        if state["pairs"] is not None:
            base = self._parts.network(GENERATOR, as_path(state["pairs"]["generator"]))
            self.pairs = PairTraining(self._parts, self._settings.discriminators, base, None)
            self.pairs.load_state(state["pairs"])

    def _stage_one(self, fixed: Genotype) -> GeneratorTraining:
        stage = self._settings.generators
        horizon = stage.warmup + stage.rounds * stage.epochs
        return GeneratorTraining(self._parts, fixed, stage.paths, horizon)

    @property
    def _generators(self) -> GeneratorTraining:
        if self.generators is None:
            raise UnsupportedError("stage 1 is not under way", "call begin")
        return self.generators

    @property
    def _pairs(self) -> PairTraining:
        if self.pairs is None:
            raise UnsupportedError("stage 2 is not under way", "call pair")
        return self.pairs

    @property
    def _images(self) -> int:
        """Drawn for one score, those that statistics are counted on included."""
        recipe = self._parts.recipe
        return self._scores.samples + COUNTED * (recipe.generator_batch or recipe.batch_size)

    def _emit(
        self, context: Context, phase: str, step: int, steps: int, scalars: Mapping[str, float]
    ) -> None:
        progress = {"phase": phase, "step": step, "steps": steps, "scalars": dict(scalars)}
        context.emit("progress", progress)


def _check_scores(wanted: Sequence[str], features: FeatureExtractor) -> None:
    """Refuse an inception score that there is not.

    Raises:
        ConfigError: The extractor has another name, or does not classify.
    """
    for name in wanted:
        if not name.startswith("is_"):
            continue
        if name != f"is_{features.name}":
            raise ConfigError(
                f"objective {name!r} is not of the extractor of this search, {features.name!r}",
                f"name is_{features.name}, or leave it out",
            )
        if getattr(features, "logits", None) is None:
            raise ConfigError(
                f"objective {name!r} needs logits, which extractor {features.name!r} has not",
                "leave it out, or give the extractor a method logits",
            )


def _rows(part: str, text: str) -> Genotype:
    space: Any = get_space(f"gan-{part}")
    rows: Genotype = space.paths(space.parse(text))[part]
    return rows
