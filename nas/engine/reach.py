"""Limits that no member of a space keeps, found before any work starts.

Parameters and multiply-accumulates are known without training where a space can count them by
arithmetic. A small space is looked through, so the answer is exact; in a larger one the best
member is searched for by local search, and the answer says so.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Final, TypeAlias

import numpy as np

from nas.core.architecture import Architecture
from nas.core.config import RunConfig
from nas.core.errors import ConfigError
from nas.core.objective import Objective, parse_objectives
from nas.core.space import Costed, Space
from nas.evaluators import inputs_of, looking_up

Count: TypeAlias = Callable[[Architecture], float]

COUNTED: Final = ("params", "macs")
ENUMERABLE: Final = 100_000
CLIMBS: Final = 4
AT_MOST: Final = 4000
"""Members looked at in a space too large to be looked through."""


def check_reachable(config: RunConfig, space: Space) -> None:
    """Refuse limits on parameters or multiply-accumulates that the space cannot keep.

    The data is read if there is such a limit: its shape and classes count.

    Raises:
        ConfigError: A limit cannot be reached; the best reachable value is said.
        DataError: The data is not there.
    """
    limited = [
        objective
        for objective in parse_objectives(config.objectives)
        if objective.limit is not None and objective.metric in COUNTED
    ]
    if not limited or looking_up(config.evaluator) or not isinstance(space, Costed):
        return
    inputs = inputs_of(config)
    if inputs is None:
        return
    shape, classes, network = inputs.shape, inputs.classes, config.network
    part, costs = inputs.part, getattr(space, "costs", None)
    if part and (
        costs is None or part not in costs(space.sample(np.random.default_rng(0)), shape, **network)
    ):
        return  # figures are of a part that the space does not count, or does not choose
    for objective in limited:
        metric = objective.metric

        def count(architecture: Architecture, metric: str = metric) -> float:
            if part and costs is not None:
                cost = costs(architecture, shape, **network)[part]
            else:
                cost = space.cost(architecture, shape, classes, **network)
            return float(getattr(cost, metric))

        best, exact = best_reachable(space, objective, count)
        if objective.feasible({metric: best}):
            continue
        most = "least" if objective.direction == "min" else "most"
        found = (
            f"the {most} in {space.name} is {best:.10g}"
            if exact
            else (f"the {most} found in {space.name} is {best:.10g}")
        )
        raise ConfigError(f"objective {str(objective)!r} cannot be reached", found)


def best_reachable(space: Space, objective: Objective, count: Count) -> tuple[float, bool]:
    """The best value of a counted metric, and whether it is exact.

    As soon as a member keeps the limit, its value is the answer: better ones are not looked for.

    Args:
        space: The space.
        objective: Direction, and the limit if there is one.
        count: The metric of a member.
    """
    sign = 1.0 if objective.direction == "min" else -1.0

    def enough(cost: float) -> bool:
        return objective.limit is not None and objective.feasible({objective.metric: sign * cost})

    rng = np.random.default_rng(0)
    best = np.inf
    for _ in range(CLIMBS):
        climb = _descend(space, lambda a: sign * count(a), enough, rng, AT_MOST // CLIMBS)
        best = min(best, climb)
        if enough(best):
            return sign * best, False
    if space.size is None or space.size > ENUMERABLE:
        return sign * best, False
    every: Iterable[Architecture] = space.enumerate()
    return sign * min(sign * count(architecture) for architecture in every), True


def _descend(
    space: Space,
    cost: Count,
    enough: Callable[[float], bool],
    rng: np.random.Generator,
    at_most: int,
) -> float:
    """Walk to better neighbours from a random member; the least cost found."""
    here = space.sample(rng)
    least, looked = cost(here), 1
    moved = True
    while moved and not enough(least):
        moved = False
        near = list(space.neighbors(here))
        for index in rng.permutation(len(near)):
            value = cost(near[index])
            looked += 1
            if value < least:
                here, least, moved = near[index], value, True
                break
            if looked >= at_most:
                return least
    return least
