"""Whether strategy, evaluator, space and objectives go together, found before anything is made."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import cached_property, partial
from importlib.util import find_spec
from typing import Any, Final

import numpy as np

from nas.core.architecture import Candidate
from nas.core.config import RunConfig, build_settings, merge
from nas.core.errors import ConfigError, NasError, PluginError, UnsupportedError
from nas.core.objective import check_metrics, parse_objectives
from nas.core.problem import Problem
from nas.core.protocols import Evaluator
from nas.core.registry import close_matches, imported
from nas.core.space import Costed
from nas.engine.executors.base import EvaluatorTarget
from nas.engine.tables import resolve as find_member
from nas.evaluators import (
    EVALUATORS,
    Inputs,
    account_of,
    inputs_of,
    looking_up,
    registered,
    usual_recipe,
)
from nas.measure import MEASURES, Figure, complete
from nas.strategies import STRATEGIES
from nas.training.recipe import TrainingRecipe
from search_spaces import get_space
from search_spaces.recipes.joint import RecipeSpace

DRAWN: Final = 64
"""Random recipes of a joint space that are checked before a run."""

LEVELS: Final = frozenset({"levels", "min_epochs", "max_epochs"})
"""Settings by which a strategy is told its budgets."""


def problem_of(config: RunConfig, function: EvaluatorTarget | None = None) -> Problem:
    """What the strategy of a run with this configuration sees.

    Args:
        config: The run's.
        function: Given as the evaluator itself, instead of the configuration's.
    """
    space = get_space(config.space)
    problem = Problem(space, parse_objectives(config.objectives), config.network)
    if function is not None:
        return problem
    table = looking_up(config.evaluator)
    if table is None:
        return replace(problem, counted=Counting(config), usual=partial(usual_recipe, config))
    view = table.view(config)
    return replace(problem, space=view.pool or space, free=view.free)


class Counting:
    """Counts the networks that a run would train; see `Problem.counted`.

    Args:
        config: The run's. Its data is read when the first candidate is counted.
    """

    def __init__(self, config: RunConfig) -> None:
        self._config = config

    def __call__(self, candidate: Candidate) -> dict[str, float]:
        """Parameters and multiply-accumulates; empty if they cannot be counted."""
        space = get_space(candidate.architecture.space)
        if not isinstance(space, Costed) or self._inputs is None:
            return {}
        scale = {**self._config.network, **candidate.scale}
        shape, classes = self._inputs.shape, self._inputs.classes
        try:
            cost = space.cost(candidate.architecture, shape, classes, **scale)
        except NasError:  # a space that wraps one which does not count, or other networks
            return {}
        return {"params": float(cost.params), "macs": float(cost.macs)}

    @cached_property
    def _inputs(self) -> Inputs | None:
        """What networks are made for; None if an evaluator trains them otherwise."""
        account = account_of(self._config.evaluator)
        if not {"params", "macs"} <= set(account.reports or ()):
            return None
        return inputs_of(self._config)


def check_strategy(config: RunConfig, function: EvaluatorTarget | None = None) -> None:
    """Refuse what the strategy cannot search.

    Raises:
        ConfigError: Its settings are wrong, by themselves or beside the problem.
    """
    strategy = STRATEGIES.get(config.strategy)(config.settings)
    strategy.check(problem_of(config, function))


def check_evaluator(
    config: RunConfig, settings: dict[str, Any], function: EvaluatorTarget | None = None
) -> dict[str, Any]:
    """Refuse what the evaluator cannot give; what it wants changed in the configuration.

    An evaluator that looks figures up has budgets of its own: a strategy whose `epochs` are left
    to the recipe gets the largest of them, one whose `levels` are not given gets all.

    Args:
        config: The run's.
        settings: The strategy's, complete; changed in place.
        function: Given as the evaluator itself: nothing is to be looked for.

    Raises:
        ConfigError: The evaluator cannot be found, or does not fit the rest.
        DataError: What it reads is missing or damaged.
    """
    member = looking_up(config.evaluator)
    if member is None:
        if function is None:
            _check_reported(config)
        return _own_settings(config)
    kind = STRATEGIES.get(config.strategy)
    if kind.sessions:
        raise UnsupportedError(
            f"strategy {config.strategy!r} trains a supernet, and a table only looks figures up",
            "use one that samples, e.g. --strategy regularized-evolution",
        )
    changes: dict[str, Any] = member.check(config)
    if "epochs" in settings and settings["epochs"] is None:
        settings["epochs"] = member.view(config).largest
    if "levels" in settings and not LEVELS & config.settings.keys():
        settings["levels"] = list(member.view(config).budgets)
    member.check(config, kind(settings).levels())
    return changes


def check_measures(
    config: RunConfig, function: EvaluatorTarget | None = None
) -> dict[str, dict[str, Any]]:
    """Settings of the figures that objectives name, complete; figures without any are left out.

    Args:
        config: The run's.
        function: Given as the evaluator itself: it measures what it likes.

    Raises:
        ConfigError: A setting is unknown or out of range, or of a figure that is not measured.
        UnsupportedError: A figure cannot be had on the device.
    """
    measuring = function is None and account_of(config.evaluator).measures
    named = [objective.metric for objective in parse_objectives(config.objectives)]
    measured = [name for name in named if measuring and name in MEASURES]
    for name in config.measures:
        MEASURES.summary(name)  # raises, with close matches
        if name not in measured:
            raise ConfigError(
                f"measures.{name} is set, but {name} is not measured",
                f"add --objective {name}"
                if measuring
                else f"evaluator {config.evaluator!r} has none",
            )
    for name in measured:
        row = MEASURES.get(name)
        if isinstance(row, Figure) and row.ready and config.address is None:
            imported(row.ready)(config.device)
    found = {name: complete(name, config.measures.get(name, {})) for name in measured}
    return {name: settings for name, settings in found.items() if settings}


def _own_settings(config: RunConfig) -> dict[str, Any]:
    """An evaluator's settings, complete; empty if it has none and none are given."""
    name = config.evaluator.partition(":")[0]
    model = getattr(registered(config.evaluator), "Settings", None)
    if model is not None:
        values = build_settings(model, config.evaluator_settings, f"setting of {name}")
        return {"evaluator_settings": values.model_dump(mode="json")}
    if config.evaluator_settings:
        key = next(iter(config.evaluator_settings))
        raise ConfigError(f"evaluator {name!r} has no setting {key!r}", "leave it out")
    return {}


def check_recipe(config: RunConfig) -> None:
    """Refuse settings of trainings that the evaluator does not have.

    Raises:
        ConfigError: A setting is unknown or out of range.
        PluginError: An optimizer or schedule is unknown.
    """
    own = _own_recipe(config.evaluator)
    if own is None:
        TrainingRecipe.from_settings(config.recipe)
        TrainingRecipe.from_settings(merge(config.recipe, config.final.recipe))
        return
    try:
        own(config)
    except NasError:
        raise
    except Exception as error:  # whatever a plug-in raises is about that plug-in
        raise PluginError(
            f"evaluator {config.evaluator!r} cannot check its recipe:"
            f" {type(error).__name__}: {error}",
            "mend the plug-in",
        ) from error


def check_drawn(config: RunConfig) -> None:
    """Refuse a space of recipes of which some are none beside the run's own settings.

    In full, what was found is trained by its recipe over `final.recipe`, so that is tried, too.

    Raises:
        ConfigError: One that was drawn is refused.
        PluginError: A plug-in cannot check it.
    """
    space = get_space(config.space)
    if not isinstance(space, RecipeSpace):
        return
    rng, check = np.random.default_rng(0), _candidate_check(config)
    above = [{}, config.final.recipe] if config.final.recipe else [{}]
    for _ in range(DRAWN):
        recipe = space.candidate(space.sample(rng)).recipe
        assert recipe is not None
        for settings in above:
            try:
                check(merge(settings, recipe.to_dict()))
            except ConfigError as error:
                raise ConfigError(
                    f"recipes of {config.space!r} do not go with the run: {error.message}",
                    f"change the run's recipe, or search {space.networks} alone",
                ) from None


def _candidate_check(config: RunConfig) -> Callable[[Mapping[str, Any]], object]:
    """What refuses a candidate's recipe in a run."""
    if _own_recipe(config.evaluator) is None:
        return partial(
            TrainingRecipe.from_settings, base=TrainingRecipe.from_settings(config.recipe)
        )
    return lambda recipe: check_recipe(
        config.model_copy(update={"recipe": {**config.recipe, **recipe}})
    )


def check_data(config: RunConfig) -> dict[str, Any]:
    """Refuse data that the evaluator cannot work on; options of the data that it needs.

    The data is read if the evaluator wants to see it before any work (its `check_data`).

    Raises:
        ConfigError: The data does not go with the rest.
        DataError: The data is not there.
    """
    own = getattr(registered(config.evaluator), "check_data", None)
    return {} if own is None else dict(own(config))


def preset_for(defaults: Mapping[str, Any], evaluator: str) -> dict[str, Any]:
    """A preset without what it says of our own trainings, where the evaluator has others.

    Recipes go if it has a recipe of its own (`check_recipe`) and the preset is not for this very
    evaluator, which it then names; objectives, if it does not report
    them all, make way for its goal.
    """
    values, account = dict(defaults), account_of(evaluator)
    meant = defaults.get("evaluator") == evaluator.partition(":")[0]
    if _own_recipe(evaluator) is not None and not meant:
        values.pop("recipe", None)
        final = values.get("final", {})
        values["final"] = {key: value for key, value in final.items() if key != "recipe"}
    objectives = defaults.get("objectives") or RunConfig.model_fields["objectives"].default
    given, wanted = account.given(), [o.metric for o in parse_objectives(objectives)]
    unknown = given is not None and not set(wanted) <= set(given)
    if unknown or account.goal not in wanted:
        values["objectives"] = (f"{account.goal}:min",)
    return values


def _own_recipe(evaluator: str) -> Callable[[RunConfig], None] | None:
    return getattr(registered(evaluator), "check_recipe", None)


def _check_reported(config: RunConfig) -> None:
    """Refuse an evaluator that is not there, and objectives that it does not report."""
    name, colon, _ = config.evaluator.partition(":")
    if colon and name not in EVALUATORS:  # "module:function": reports whatever it likes
        _check_importable(config.evaluator)
        return
    account = account_of(config.evaluator)
    if account.tested in [objective.metric for objective in parse_objectives(config.objectives)]:
        raise ConfigError(
            f"objective {account.tested!r} would tune on the test split", f"use {account.goal}"
        )
    reported = account.given()
    if reported is not None:
        check_metrics(parse_objectives(config.objectives), reported)


def _check_importable(evaluator: str) -> None:
    name = evaluator.partition(":")[0]
    root = name.partition(".")[0]
    if not root or (root not in sys.modules and find_spec(root) is None):
        hint = close_matches(name, EVALUATORS.names())
        raise PluginError(f"{name!r} is no evaluator and no module", hint)
    target = find_member(EVALUATORS, evaluator)
    if not callable(target) and not isinstance(target, Evaluator):
        raise PluginError(
            f"evaluator {evaluator!r} is {type(target).__name__}",
            "expected a function of candidate, budget and seed",
        )
