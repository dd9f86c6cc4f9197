"""Objectives: a metric, a direction, perhaps a limit."""

from __future__ import annotations

import math
import re
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias, get_args

from nas.core.errors import ConfigError
from nas.core.registry import close_matches

Direction: TypeAlias = Literal["min", "max"]

_FORM = re.compile(
    r"\s*(?P<metric>[A-Za-z_]\w*)\s*(:\s*(?P<direction>min|max)\s*)?"
    r"((?P<op><=|>=)\s*(?P<limit>[-+.\deE]+)\s*)?",
    re.ASCII,
)


@dataclass(frozen=True)
class Objective:
    """A metric to minimise or maximise, perhaps within a limit.

    Attributes:
        metric: Its name.
        direction: "min" or "max".
        limit: A candidate beyond it is infeasible: above it when minimising, below it when
            maximising. None for no limit.
    """

    metric: str
    direction: Direction = "min"
    limit: float | None = None

    def __post_init__(self) -> None:
        if self.direction not in get_args(Direction):
            raise ConfigError(f"objective {self.metric!r} goes to {self.direction!r}", "min or max")
        if self.limit is None:
            return
        object.__setattr__(self, "limit", float(self.limit) + 0.0)
        if not math.isfinite(self.limit):
            raise ConfigError(f"objective {self.metric!r} has the limit {self.limit}", "a number")

    @classmethod
    def parse(cls, text: str) -> Objective:
        """Read `error`, `error:min` or `params:min<=2e6`.

        Raises:
            ConfigError: The text has another form, or its limit is on the wrong side.
        """
        match = _FORM.fullmatch(text)
        if match is None:
            raise ConfigError(f"objective {text!r}", "expected METRIC[:min|max][<=LIMIT]")
        direction: Direction = "max" if match["direction"] == "max" else "min"
        if match["limit"] is None:
            return cls(match["metric"], direction)
        if (match["op"][0] == "<") != (direction == "min"):
            raise ConfigError(
                f"objective {text!r} limits the wrong side", "use min with <= and max with >="
            )
        try:
            limit = float(match["limit"])
        except ValueError:
            limit = math.nan
        if not math.isfinite(limit):
            raise ConfigError(f"objective {text!r} has the limit {match['limit']!r}", "a number")
        return cls(match["metric"], direction, limit)

    def __str__(self) -> str:
        sign = "<=" if self.direction == "min" else ">="
        limit = "" if self.limit is None else f"{sign}{_exact(self.limit)}"
        return f"{self.metric}:{self.direction}{limit}"

    def cost(self, figures: Mapping[str, float]) -> float:
        """The figure, negated when maximising, so that less is better; infinite if absent."""
        try:
            value = float(figures.get(self.metric, math.nan))
        except OverflowError:  # a whole number beyond the range of floats
            return math.inf
        if not math.isfinite(value):
            return math.inf
        return value if self.direction == "min" else -value

    @property
    def ceiling(self) -> float:
        """The largest cost that is within the limit; infinite if there is none."""
        if self.limit is None:
            return math.inf
        return self.limit if self.direction == "min" else -self.limit

    def feasible(self, figures: Mapping[str, float]) -> bool:
        """Whether the figure is there and within the limit."""
        cost = self.cost(figures)
        return math.isfinite(cost) and cost <= self.ceiling

    def violation(self, figures: Mapping[str, float]) -> float:
        """How far beyond the limit the figure is, as a share of the limit; 0 if it is within.

        Shares of different metrics can be added up. Infinite if the figure is absent.
        """
        if self.feasible(figures):
            return 0.0
        cost = self.cost(figures)
        if self.limit is None or math.isinf(cost):
            return math.inf
        limit = self.ceiling
        return (cost - limit) / (abs(limit) or 1.0) or sys.float_info.min


def _exact(limit: float) -> str:
    return f"{limit:.0f}" if limit.is_integer() and abs(limit) < 1e15 else repr(limit)


def parse_objectives(texts: Sequence[str]) -> tuple[Objective, ...]:
    """Objectives in the given order; a single text is a list of one.

    Raises:
        ConfigError: There is none, one names the test split, or a metric stands twice.
    """
    texts = (texts,) if isinstance(texts, str) else texts
    objectives = tuple(Objective.parse(text) for text in texts)
    metrics = [objective.metric for objective in objectives]
    if not metrics:
        raise ConfigError("no objective", "expected at least one, such as error:min")
    if len(set(metrics)) < len(metrics):
        raise ConfigError(f"a metric stands twice in {', '.join(texts)}", "name each once")
    if "test_error" in metrics:
        raise ConfigError("objective 'test_error' would tune on the test split", "use error")
    return objectives


def check_metrics(objectives: Sequence[Objective], reported: Sequence[str]) -> None:
    """Refuse objectives that no evaluator reports.

    Raises:
        ConfigError: One is not among `reported`.
    """
    for objective in objectives:
        if objective.metric not in reported:
            hint = close_matches(objective.metric, reported)
            raise ConfigError(f"nobody reports the objective {objective.metric!r}", hint)
