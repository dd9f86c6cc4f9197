"""The session "supernet": a supernet with its training, answering the calls of `darts`."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from nas.core.config import RunConfig, build_settings
from nas.core.errors import DataError, Interrupted, UnsupportedError
from nas.core.protocols import Context, Reply
from nas.core.work import Spent
from nas.measure.curvature import dominant_eigenvalue
from nas.oneshot.cost import SupernetCost
from nas.oneshot.measuring import Measurement, Paired, separate
from nas.oneshot.training import SupernetTraining
from nas.strategies.darts import DartsSettings, PictureSettings
from nas.training import TrainingRecipe, default_recipe
from nas.training.data import load_data
from nas.training.device import full_precision
from nas.training.graphs import Recorded
from nas.training.randomness import generator, seeded
from nas.training.stream import Stream
from search_spaces import get_space
from search_spaces.cell import PARTIAL, CellSpace, legal_operations, variants_of
from search_spaces.supernet import EDGES, Forward, Mixture, Supernet, masked

CURVATURE_BATCH = 32
POWER_ITERATIONS = 8
POWER_TOLERANCE = 0.05
"""Enough to see an eigenvalue grow by a third, which is what the alarm is about."""

CURVATURE_PASSES = 6.0 + 6.0 * POWER_ITERATIONS

Compare = Callable[[Tensor], Mapping[str, Tensor]]
Variant = Callable[[Tensor], Tensor]


def open_supernet(spec: Mapping[str, Any], context: Context) -> SupernetSession:
    """Make the session of a run.

    Args:
        spec: The run's configuration (`RunConfig.model_dump`).
        context: Device of the worker.

    Raises:
        UnsupportedError: The space has no supernet with edges to decide, or no partial channels.
    """
    config = build_settings(RunConfig, spec)
    settings = build_settings(DartsSettings, config.settings)
    space = get_space(config.space)
    if not isinstance(space, CellSpace):
        raise UnsupportedError(f"space {space.name!r} has no edges to decide", "use random")
    data = load_data(config.data, config.seed, **config.data_settings)
    recipe = TrainingRecipe.from_settings(config.recipe, default_recipe(data))
    settings = settings.model_copy(update={"pictures": as_trained(settings.pictures, recipe)})
    variant: dict[str, Any] = {}
    if settings.variant.name == PARTIAL:
        if PARTIAL not in variants_of(space):
            raise UnsupportedError(
                f"space {space.name!r} has no partial channels", "use variant.name=darts"
            )
        variant = {"variant": PARTIAL, "partial": settings.variant.channels}
    scale = {**variant, **config.network}
    with torch.device("meta"):
        plain = space.supernet(data.input_shape, data.num_classes, fast=False, **scale)
    cost = SupernetCost(plain, data.input_shape)
    with seeded(config.seed, "supernet"):
        supernet: Any = space.supernet(
            data.input_shape, data.num_classes, fast=settings.fast, **scale
        )
    device = torch.device(context.device)
    supernet.to(device, memory_format=torch.channels_last)
    training = SupernetTraining(supernet, data, settings, config.seed, device)
    return SupernetSession(space, training, cost, data.fingerprint)


def as_trained(pictures: PictureSettings, recipe: TrainingRecipe) -> PictureSettings:
    """Augmentation with what is left open as in the trainings of what is found."""
    flip, shift = pictures.flip, pictures.crop_padding
    return PictureSettings(
        flip=recipe.flip if flip is None else flip,
        crop_padding=recipe.crop_padding if shift is None else shift,
        cutout=pictures.cutout,
    )


class SupernetSession:
    """A supernet being searched.

    Args:
        space: Its space.
        training: The supernet, its data and optimisers.
        cost: What its passes cost.
        fingerprint: Of the data, checked when a state is loaded.
    """

    readonly = frozenset({"drops", "edge_drops", "mixture", "curvature"})

    def __init__(
        self, space: CellSpace, training: SupernetTraining, cost: SupernetCost, fingerprint: str
    ) -> None:
        self.space = space
        self.training = training
        self.supernet: Supernet = training.supernet
        self._cost = cost
        self._fingerprint = fingerprint
        groups = tuple(self.supernet.mixture())

        def logits(x: Tensor, *tables: Tensor) -> Tensor:
            found: Tensor = self.supernet(x, dict(zip(groups, tables, strict=True)))
            return found

        self._recorded = Recorded(logits, record=not self.supernet.random)

    def call(self, method: str, arguments: Mapping[str, Any], context: Context) -> Reply:
        """Do one step; see the methods of the same names for what they answer."""
        methods: dict[str, Callable[..., tuple[Any, float, float]]] = {
            "train": self.train,
            "begin_tuning": self.begin_tuning,
            "mixture": self.mixture,
            "curvature": self.curvature,
            "drops": self.drops,
            "edge_drops": self.edge_drops,
            "keep": self.keep,
            "remove": self.remove,
        }
        began = time.perf_counter()
        value, epochs, passes = methods[method](context, **arguments)
        seconds = time.perf_counter() - began
        spent = Spent(epochs, 0, seconds, passes * self._cost.forward(self.supernet))
        names = ("train_loss", "train_error", "loss", "error")
        figures = {n: value[n] for n in names if isinstance(value, dict) and n in value}
        return Reply(figures, value, {}, spent)

    # Each method gives its answer, the epochs it trained and the single-picture forward passes
    # it amounts to.

    def train(self, context: Context) -> tuple[Any, float, float]:
        """One epoch.

        The answer has losses, errors, the learning rate, the mixture, and whether it was tuning.
        """
        number = self.training.progress.epochs
        passes = self.training.epoch_passes(number) * self.training.images()
        tuning = self.training.progress.tuning
        figures = self.training.epoch(context)
        return {"epoch": number, "tuning": tuning, **figures, **self._weights()}, 1.0, passes

    def begin_tuning(self, context: Context) -> tuple[Any, float, float]:
        """Go over to the constant learning rate of selection."""
        self.training.begin_tuning()
        return None, 0.0, 0.0

    def mixture(self, context: Context) -> tuple[Any, float, float]:
        """The weights.

        `mixture` `{group: [[weight of each operation] of each edge]}`, and `edge_weights`
        `{group: [weight of each edge]}` or None.
        """
        return self._weights(), 0.0, 0.0

    def curvature(self, context: Context) -> tuple[Any, float, float]:
        """Dominant eigenvalue of the validation loss's Hessian in the alphas, on one batch."""
        training, supernet = self.training, self.supernet
        size = min(training.settings.weights.batch_size, CURVATURE_BATCH)
        stream = Stream(training.validation, size, context.seed, "curvature", fixed=True)
        images, labels = stream.batch(0)
        with full_precision(), seeded(context.seed, device=training.device):
            inputs = training.pipeline.plain(images)
            loss, _ = training.loss(inputs, labels, supernet.mixture(), "float32")
            value = dominant_eigenvalue(
                loss,
                supernet.alpha_parameters(),
                generator(context.seed, "start"),
                iterations=POWER_ITERATIONS,
                tolerance=POWER_TOLERANCE,
            )
        return {"eigenvalue": value}, 0.0, CURVATURE_PASSES * len(labels)

    def drops(self, context: Context, edge: str) -> tuple[Any, float, float]:
        """What is left without each operation of `edge` (see `Measurement.to_dict`)."""
        supernet, paper = self.supernet, self._paper
        live = supernet.live(edge)
        legal = legal_operations(self.space)[edge]
        eligible = live if paper else [o for o in live if o in legal]
        if paper:
            mixture, found = self._constant_mixture(), supernet.edge(edge)
            variants: dict[str, Variant] = {
                name: lambda x, name=name: self._logits(x, masked(mixture, found, name))  # type: ignore[misc]
                for name in live
            }
            return self._answer(self._separately(context, variants), len(live))
        measured = self._paired(
            context, lambda x: supernet.removals(x, edge, self._forward), eligible, 1
        )
        return self._answer(measured, len(live))

    def edge_drops(
        self, context: Context, group: str, node: int, edges: Sequence[str]
    ) -> tuple[Any, float, float]:
        """What is left without each of `edges`, which enter a node."""
        supernet = self.supernet
        if self._paper:
            mixture = self._constant_mixture()
            variants: dict[str, Variant] = {
                name: lambda x, name=name: self._logits(x, masked(mixture, supernet.edge(name)))  # type: ignore[misc]
                for name in edges
            }
            return self._answer(self._separately(context, variants), len(edges))
        wanted = self.space.inputs_per_node or len(edges)
        measured = self._paired(
            context, lambda x: supernet.edge_removals(x, group, node, self._forward), edges, wanted
        )
        return self._answer(measured, len(edges))

    def keep(self, context: Context, edge: str, operation: str) -> tuple[Any, float, float]:
        """Decide for an operation; the others are physically gone."""
        self.supernet.keep(edge, operation)
        self._forget_dead()
        return None, 0.0, 0.0

    def remove(self, context: Context, edge: str) -> tuple[Any, float, float]:
        """Decide against an edge."""
        self.supernet.remove(edge)
        self._forget_dead()
        return None, 0.0, 0.0

    def save(self, path: Path) -> None:
        """Write the supernet, both optimisers and the position to `path`."""
        state = {
            "data": self._fingerprint,
            "structure": self.supernet.structure(),
            "supernet": self.supernet.state_dict(),
            "training": self.training.state(),
        }
        torch.save(state, path)

    def load(self, path: Path) -> None:
        """Become what `save` wrote.

        Raises:
            DataError: It was trained on other data.
        """
        state = torch.load(path, map_location=self.training.device, weights_only=True)
        if state["data"] != self._fingerprint:
            raise DataError("the data is not what this run began with", "restore it, or begin anew")
        self.supernet.load_structure(state["structure"])
        self._recorded.forget()
        self.supernet.load_state_dict(state["supernet"])
        self.training.load_state(state["training"])

    def _forget_dead(self) -> None:
        self.training.forget_dead()
        self._recorded.forget()

    @property
    def _paper(self) -> bool:
        return self.training.settings.selection.mode == "paper"

    @property
    def _forward(self) -> Forward | None:
        """How to compute one variant where that beats computing them together: as a graph."""
        return self._logits if self._recorded.records(self.training.device) else None

    def _logits(self, x: Tensor, mixture: Mixture) -> Tensor:
        """Logits `(B, classes)` of one variant, which are the caller's to keep."""
        logits = self._recorded(x, *mixture.values())
        return logits.clone() if self._recorded.records(x.device) else logits

    def _constant_mixture(self) -> dict[str, Tensor]:
        """The mixture without gradients, so that masked operations may be skipped."""
        with torch.no_grad():
            return self.supernet.mixture()

    def _weights(self) -> dict[str, Any]:
        mixture = self.supernet.mixture()
        groups = list(self.supernet.alphas)
        edges = {group: mixture[group + EDGES].tolist() for group in self.supernet.betas}
        return {
            "mixture": {group: mixture[group].tolist() for group in groups},
            "edge_weights": edges or None,
        }

    def _stream(self, context: Context, purpose: str) -> Stream:
        settings = self.training.settings
        size = settings.selection.batch_size or settings.weights.batch_size
        return Stream(self.training.validation, size, context.seed, purpose)

    def _paired(
        self, context: Context, compare: Compare, eligible: Sequence[str], choose: int
    ) -> Measurement:
        """All variants on the same pictures, without augmentation, until one is clear."""
        training, chosen = self.training, self.training.settings.selection
        there = len(training.validation)
        most = min(there, chosen.at_most or there)
        tally = Paired(eligible, choose, chosen.criterion, chosen.confidence, chosen.at_least, most)
        stream = self._stream(context, "measure")
        with torch.no_grad(), seeded(context.seed, device=training.device):
            for number in range(stream.steps):
                if context.should_stop():
                    raise Interrupted
                images, labels = stream.batch(number)
                if tally.add(compare(training.pipeline.plain(images)), labels) or tally.complete:
                    break
        measured = tally.result()
        return replace(measured, complete=measured.images >= there)

    def _separately(self, context: Context, variants: Mapping[str, Variant]) -> Measurement:
        """Each variant on the whole half, shuffled and augmented anew (as published)."""
        training = self.training

        def batches(name: str, run: Variant) -> Iterator[tuple[Tensor, Tensor]]:
            stream = self._stream(context, f"measure {name}")
            chance = generator(context.seed, "pictures", name, device=training.device)
            for number in range(stream.steps):
                if context.should_stop():
                    raise Interrupted
                images, labels = stream.batch(number)
                yield run(training.pipeline.train(images, chance)), labels

        with torch.no_grad(), seeded(context.seed, device=training.device):
            return separate(
                {name: batches(name, run) for name, run in variants.items()},
                list(variants),
                training.settings.selection.criterion,
                len(training.validation),
            )

    def _answer(self, measured: Measurement, variants: int) -> tuple[Any, float, float]:
        return measured.to_dict(), 0.0, float(variants * measured.images)
