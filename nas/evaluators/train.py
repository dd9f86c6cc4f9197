"""The evaluator `train`: builds the network, trains it, measures it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Final

import torch
from torch import nn

from nas.core.architecture import Candidate
from nas.core.config import RunConfig, build_settings
from nas.core.errors import CandidateError, UnsupportedError
from nas.core.objective import parse_objectives
from nas.core.protocols import Context, Reply
from nas.core.work import Evaluate, Spent
from nas.evaluators import WEIGHTS, Inputs, weights_of_share
from nas.evaluators.states import Leg
from nas.layers import exchange
from nas.layers.adapt import adaptations
from nas.layers.auxiliary import AUXILIARY
from nas.layers.channels import find_channels
from nas.measure import MEASURES, Subject, bound
from nas.training import (
    FitOptions,
    TrainingRecipe,
    TrainingResult,
    default_recipe,
    fit,
    load_data,
    save_weights,
)
from nas.training.augment import Augmentation, Pipeline
from nas.training.data.dataset import DataSet
from nas.training.device import resolve
from nas.training.hesso import check_room
from nas.training.pruning import parts
from nas.training.randomness import generator, seeded
from predictors.proxies import list_proxies, measure
from search_spaces import get_space

ALWAYS: Final = ("params", "macs")
"""Measures that every network has; others where an objective names them."""

COMPARED: Final = 100
"""Test images on which exported forms are compared with the network."""

PROXY_BATCH: Final = 64
"""Training images that proxies of an untrained network are worked out on."""


def build_network(
    candidate: Candidate, data: DataSet, network: Mapping[str, Any], seed: int
) -> nn.Module:
    """The candidate's network, initialised from `seed`.

    Args:
        candidate: Of any space; whose scale goes over `network`.
        data: Gives the shape of an image and the number of classes.
        network: Macro settings of the run.
        seed: Of the initial weights.
    """
    scale, space = {**network, **candidate.scale}, get_space(candidate.architecture.space)
    with seeded(seed, "network"):
        return space.network(candidate.architecture, data.input_shape, data.num_classes, **scale)


def _fitted(*arguments: Any, **options: Any) -> TrainingResult:
    """As `fit`; that a network cannot have what its recipe wants is the candidate's failure.

    Raises:
        CandidateError: So, or it diverged, or ran out of memory or time.
    """
    try:
        return fit(*arguments, **options)
    except UnsupportedError as error:
        raise CandidateError(error.message, error.hint) from None


def _recipe_of(config: RunConfig, data: DataSet) -> TrainingRecipe:
    """The run's recipe: what its configuration says, over what suits the data."""
    return TrainingRecipe.from_settings(config.recipe, default_recipe(data))


class TrainEvaluator:
    """Trains candidates, each by its own recipe or the run's.

    A work with a `horizon` leaves its final state in the scratch folder, and one with `since`
    goes on from the state of that smaller budget; where it is lost (another machine, a cleaned
    folder) the training starts anew, with the same figures, and costs what it costs.

    Args:
        spec: The run's configuration (`RunConfig.model_dump`).
    """

    reports = ("error", "loss", *ALWAYS, "epochs", "gradient_evaluations")
    measures = True
    in_full = True

    def __init__(self, spec: Mapping[str, Any]) -> None:
        config = build_settings(RunConfig, spec)
        self._network = config.network
        self._data = load_data(config.data, config.seed, **config.data_settings)
        self._recipe = _recipe_of(config, self._data)
        named = [objective.metric for objective in parse_objectives(config.objectives)]
        self._measures = {
            name: bound(name, config.measures.get(name, {}))
            for name in named
            if name in MEASURES and name not in ALWAYS
        }

    @staticmethod
    def usual(config: RunConfig) -> dict[str, Any]:
        """All settings of the recipe of candidates without one of their own; reads the data."""
        data = load_data(config.data, config.seed, **config.data_settings)
        return _recipe_of(config, data).model_dump(mode="json")

    @staticmethod
    def inputs(config: RunConfig) -> Inputs:
        """Images of the run's data as networks see them, some of its test split.

        Raises:
            DataError: The data is not there.
        """
        data = load_data(config.data, config.seed, **config.data_settings)
        plain = Pipeline(data.mean, data.std, Augmentation(), channels_last=False).plain
        examples = plain(data.test_split().images[:COMPARED])
        return Inputs(data.input_shape, data.num_classes, examples)

    @staticmethod
    def shares(
        config: RunConfig, candidate: Candidate, epochs: int | None = None
    ) -> list[tuple[float, int]]:
        """Shares of channels that the candidate's recipe removes, and when each is had.

        Args:
            config: The run's.
            candidate: What is trained.
            epochs: Instead of the recipe's.

        Raises:
            UnsupportedError: The candidate's network cannot be cut, or not by so much.
            ConfigError: There are fewer epochs than shares.
        """
        made = TrainEvaluator(config.model_dump(mode="json"))
        recipe, data = made._recipe_of(candidate), made._data
        if not recipe.prune:
            return []
        ends = parts(recipe.epochs if epochs is None else epochs, recipe.prune)
        network = build_network(candidate, data, config.network, 0)
        exchange(
            network,
            (recipe.normalization, recipe.normalization_settings),
            (recipe.weights, recipe.weights_settings),
        )
        try:
            check_room(find_channels(network, data.input_shape), recipe.prune)
        except CandidateError as error:
            raise UnsupportedError(error.message, error.hint) from None
        return list(zip(recipe.prune, ends, strict=True))

    def evaluate(self, work: Evaluate, context: Context) -> Reply:
        """Train and measure; a work on the test split also leaves its weights in the scratch.

        Parameters and multiply-accumulates are those of the network that is left: its recipe may
        remove channels. A share of them that the budget just reaches has its weights kept under
        its own name, too (`nas.evaluators.weights_of_share`).

        A budget of zero trains nothing: the figures are parameters, multiply-accumulates and every
        proxy of `predictors.proxies` that the untrained network has (`-` in names being `_`).

        Raises:
            CandidateError: The training diverged or ran out of memory or time.
            Interrupted: The context asked to stop.
        """
        candidate, data = work.candidate, self._data
        recipe = self._recipe_of(candidate)
        leg = Leg.of(work, context, recipe.epochs)
        settings = dict(self._network)
        space = get_space(candidate.architecture.space)
        wanted = {**settings, **candidate.scale}.get("auxiliary", False)
        helped = recipe.auxiliary_weight > 0 and "auxiliary" in space.scale and not wanted
        if helped:
            settings["auxiliary"] = True
        network = build_network(candidate, data, settings, leg.seed)
        subject = Subject(network, data, context.device, leg.seed)
        counted = {name: MEASURES.get(name)(subject) for name in ALWAYS}
        if work.budget == 0:
            return self._untrained(subject, counted)
        result = _fitted(
            network,
            data,
            recipe,
            context=context,
            epochs=leg.epochs,
            seed=leg.seed,
            split=work.split,
            resume_from=leg.begins,
            options=FitOptions(
                identity=candidate.id,
                horizon=leg.horizon,
                keep_state=leg.ends,
                macs=counted["macs"],
                labels=leg.labels,
            ),
        )
        if helped:  # by a head that was for training only: nobody builds or loads it again
            setattr(network, AUXILIARY, None)
        leg.forget()
        if adaptations(network):
            counted = {name: MEASURES.get(name)(subject) for name in ALWAYS}
        if work.split == "test" and context.scratch is not None:
            names = [WEIGHTS]
            if recipe.prune:
                ends = parts(max(leg.epochs, leg.horizon or 0), recipe.prune)
                had = zip(recipe.prune, ends, strict=True)
                names += [weights_of_share(share) for share, end in had if end == leg.epochs]
            for name in names:
                save_weights(network, context.scratch / name, {"candidate": candidate.id})
        figures = {**result.figures, **counted, **self._measured(subject)}
        return Reply(figures, None, dict(result.curve), result.spent)

    def _recipe_of(self, candidate: Candidate) -> TrainingRecipe:
        """The run's recipe, a candidate's own settings over it.

        Raises:
            CandidateError: The two do not go together.
        """
        if candidate.recipe is None:
            return self._recipe
        try:
            return TrainingRecipe.from_settings(candidate.recipe, self._recipe)
        except UnsupportedError as error:
            raise CandidateError(error.message, error.hint) from None

    def _measured(self, subject: Subject) -> dict[str, float]:
        """What objectives name besides the figures that every network has."""
        return {name: float(measure(subject)) for name, measure in self._measures.items()}

    def _untrained(self, subject: Subject, counted: Mapping[str, float]) -> Reply:
        """Figures of a network as it was initialised."""
        device = resolve(subject.device)
        train = self._data.train
        # The same images for every candidate, of all classes: a folder's are sorted by class.
        chosen = torch.randperm(len(train), generator=generator(0, "proxies"))[:PROXY_BATCH]
        batch = train.select(chosen)
        pipeline = Pipeline(self._data.mean, self._data.std, Augmentation(), device)
        images, labels = pipeline.plain(batch.images.to(device)), batch.labels.to(device)
        found = measure(subject.network.to(device), images, labels, list_proxies(), subject.seed)
        known = {k.replace("-", "_"): v for k, v in found.items() if math.isfinite(v)}
        return Reply({**known, **counted, **self._measured(subject)}, spent=Spent(evaluations=1))
