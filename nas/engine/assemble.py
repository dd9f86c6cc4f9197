"""From a run's configuration to what the engine does: problem, phases, workers, summary."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import numpy as np

from nas.core.architecture import Candidate, Recipe
from nas.core.config import LimitSettings, RunConfig, merge
from nas.core.front import Front, Point
from nas.core.problem import Problem
from nas.core.work import Outcome
from nas.engine.baseline import baseline
from nas.engine.budget import Budget
from nas.engine.credit import credit, credit_stages, is_joint
from nas.engine.executors.base import EvaluatorTarget, Setup
from nas.engine.failures import FailureWatch
from nas.engine.fitting import problem_of
from nas.engine.loop import Conversation, PhaseResult, Stage
from nas.engine.run import Plan
from nas.evaluators import account_of, looking_up
from nas.strategies import STRATEGIES
from nas.strategies.finale import finale
from nas.strategies.finale_table import Reading, draws_of, table_finale

SEARCH: Final = "search"
FINAL: Final = "final"
LARGEST_FOUND: Final = 3
"""Architectures trained in full when a strategy names none: the front's best, at most so many."""


def assemble(config: RunConfig, evaluator: EvaluatorTarget | None = None) -> Plan:
    """What a run with this configuration does.

    Args:
        config: Resolved and checked.
        evaluator: A callable instead of the configuration's evaluator; it knows no test split
            and no scales, so nothing is trained in full afterwards.
    """
    table = looking_up(config.evaluator) if evaluator is None else None
    view = None if table is None else table.view(config)
    kind = STRATEGIES.get(config.strategy)
    strategy = kind(config.settings)
    problem = problem_of(config, evaluator)
    apart = frozenset[str]()
    stages = [
        Stage(
            SEARCH,
            lambda p, rng, before: strategy.run(p, rng),
            Budget.parse(config.budget),
            strategy.expected(problem.space),
        )
    ]
    account = account_of(config.evaluator)
    if evaluator is None and account.in_full:
        stages.append(Stage(FINAL, _final(config), expected=expected_final(config)))
        if config.final.credit and is_joint(problem):
            full = _full_recipe(config)
            stages += credit_stages(strategy, SEARCH, config.seed, config.final, full, _picks)
    if view is not None:  # what follows is only read and paid by nobody, unlike full trainings
        apart = frozenset({FINAL})
        stages.append(Stage(FINAL, _final_reading(config, view), expected=expected_final(config)))
    return Plan(
        problem,
        stages,
        Setup(
            evaluator=config.evaluator if evaluator is None else evaluator,
            spec=config.model_dump(mode="json"),
            sessions=dict(kind.sessions),
            plugins=config.plugins,
            devices=devices(config),
            timeout=config.limits.timeout,
            memory_mb=config.limits.memory_mb,
            attempts=config.limits.attempts,
            per_device=config.limits.per_device,
            address=config.address or "",
        ),
        config.executor,
        config.workers,
        failures=lambda: failures(config.limits),
        apart=apart,
        summarize=lambda history: {**baseline(history, account), **credit(history, account)},
    )


def expected_final(config: RunConfig) -> dict[str, float]:
    """Evaluations that follow a search for one architecture, and their epochs if known.

    The random arm stops when it has spent what the search has, so these are upper limits.
    """
    final = config.final
    table = looking_up(config.evaluator)
    if table is not None:
        epochs = Budget.parse(config.budget).epochs
        if epochs is None or not final.random_arm:
            return {}
        draws = draws_of(epochs, table.view(config).largest)
        return {"evaluations": float(final.random_searches * (draws + 1))}
    arms = 2 if final.random_arm else 1
    trainings = arms * final.seeds * max(1, len(final.scales))
    epochs = final.epochs or config.recipe.get("epochs")
    result = {"evaluations": float(trainings)}
    if isinstance(epochs, int | float):
        result["epochs"] = float(trainings * epochs)
    if final.random_arm:
        result["evaluations"] += final.random_limit
        result["epochs"] = result.get("epochs", 0.0) + final.random_limit * final.random_epochs
    return result


def devices(config: RunConfig) -> tuple[str, ...]:
    """Devices that workers share: all CUDA devices for several workers and "auto"."""
    device, workers = config.device, config.workers
    if device == "cpu" or looking_up(config.evaluator) is not None:
        return ("cpu",)
    if config.address is not None and device != "auto":
        return ("cuda:0",)  # which one that is, its cluster decides
    import torch

    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if device == "auto":
        return tuple(f"cuda:{i}" for i in range(min(count, workers))) or ("cpu",)
    return (device if ":" in device else "cuda:0",)


def failures(limits: LimitSettings) -> FailureWatch:
    """What ends a run in which too many evaluations fail."""
    return FailureWatch(limits.first, limits.window, limits.rate)


def _final(
    config: RunConfig,
) -> Callable[[Problem, np.random.Generator, Mapping[str, PhaseResult]], Conversation]:
    recipe = _full_recipe(config)

    def begin(
        problem: Problem, rng: np.random.Generator, before: Mapping[str, PhaseResult]
    ) -> Conversation:
        search = before[SEARCH]
        found = _picks(problem, search)
        if not found:
            return _nothing()
        return finale(problem, found, search.spent.macs, config.final, rng, recipe)

    return begin


def _full_recipe(config: RunConfig) -> Recipe | None:
    """What full trainings go by that have no recipe of their own; None for the run's recipe."""
    if not config.final.recipe:
        return None
    return Recipe(merge(config.recipe, config.final.recipe))


def _picks(problem: Problem, search: PhaseResult) -> tuple[Candidate, ...]:
    """What a search has found; if it named nobody, the front of what it evaluated."""
    return _best(problem, search.outcomes) if search.found is None else search.found


def _final_reading(
    config: RunConfig, view: Any
) -> Callable[[Problem, np.random.Generator, Mapping[str, PhaseResult]], Conversation]:
    """What follows a search on a table: no training, and the whole front, its pick first."""
    reading = Reading(view.largest, "test" if view.tested else "validation")

    def begin(
        problem: Problem, rng: np.random.Generator, before: Mapping[str, PhaseResult]
    ) -> Conversation:
        search = before[SEARCH]
        found = search.found
        if found is None:
            found = _best(problem, search.outcomes, most=None)
        if not found:
            return _nothing()
        order = _order(problem, search.outcomes)
        last = len(order)
        picks = sorted(found, key=lambda candidate: order.get(candidate.id, last))
        return table_finale(problem, picks, search.spent.epochs, config.final, rng, reading)

    return begin


def _order(problem: Problem, outcomes: Sequence[Outcome]) -> dict[str, int]:
    """Candidate's id to its place among what was evaluated at the largest budget, best first."""
    alive = [outcome for outcome in outcomes if outcome.ok]
    largest = max((outcome.budget or 0.0 for outcome in alive), default=0.0)
    ranked = sorted(
        (outcome for outcome in alive if (outcome.budget or 0.0) == largest), key=problem.rank_key
    )
    order: dict[str, int] = {}
    for outcome in ranked:
        order.setdefault(outcome.candidate.id, len(order))
    return order


def _nothing() -> Conversation:
    return
    yield


def _best(
    problem: Problem, outcomes: Sequence[Outcome], most: int | None = LARGEST_FOUND
) -> tuple[Candidate, ...]:
    """The front of what was evaluated at the largest budget, at most so many of it."""
    alive = [outcome for outcome in outcomes if outcome.ok]
    largest = max((outcome.budget or 0.0 for outcome in alive), default=0.0)
    front = Front(problem.objectives)
    for outcome in alive:
        if (outcome.budget or 0.0) == largest:
            front.add(Point(outcome.candidate, outcome.figures))
    found: dict[Candidate, Candidate] = {}
    for point in front.points:
        found.setdefault(point.candidate.unscaled, point.candidate)
    return tuple(found.values())[:most]
