"""What a strategy is: settings, and a generator that reads like its paper's pseudo-code."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np

from nas.core.architecture import Candidate
from nas.core.config import Settings as SettingsModel
from nas.core.config import build_settings
from nas.core.errors import UnsupportedError
from nas.core.problem import Problem
from nas.core.space import Space
from nas.core.work import Outcome, Request


@dataclass(frozen=True)
class Finding:
    """What a strategy expects to be the best within limits, from what it has learnt.

    Attributes:
        target: The limits.
        candidate: The candidate, which need not have been trained.
        expected: What it is expected to have of the objectives that training changes.
        deviation: How far each may be off.
        figures: What is known of it exactly.
    """

    target: str
    candidate: Candidate
    expected: Mapping[str, float] = field(default_factory=dict)
    deviation: Mapping[str, float] = field(default_factory=dict)
    figures: Mapping[str, float] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON data."""
        return {
            "target": self.target,
            "id": self.candidate.id,
            **self.candidate.to_dict(),
            "expected": dict(self.expected),
            "deviation": dict(self.deviation),
            "figures": dict(self.figures),
        }


class NoSettings(SettingsModel):
    """The settings of a strategy that has none."""


class Strategy(ABC):
    """A search strategy.

    A strategy asks for work and is told outcomes; it touches no file, process, screen or
    device. Running it again with the stored outcomes is resuming it, which asks of it: all
    chance comes from `rng`; no clock, no global state; a costly or chancy intermediate result
    goes through `problem.remember`.

    Attributes:
        Settings: Model of the settings.
        sessions: Names of the sessions it calls, each with its factory's registered name.
        settings: The settings.

    Args:
        settings: An instance of `Settings`, or the values of one.

    Raises:
        ConfigError: A setting is unknown, of the wrong type or out of range.
    """

    Settings: ClassVar[type[SettingsModel]] = NoSettings
    sessions: ClassVar[Mapping[str, str]] = {}

    def __init__(self, settings: SettingsModel | Mapping[str, Any] | None = None) -> None:
        if isinstance(settings, SettingsModel):
            settings = settings.model_dump()
        self.settings: Any = build_settings(self.Settings, settings or {}, "setting")

    @property
    def unending(self) -> Strategy:
        """The same search, where it would end by itself going on until its budget is spent.

        So that searches of different spaces can be compared at equal cost; the default is for
        those that go on anyway.
        """
        return self

    @property
    def unlimited(self) -> Strategy:
        """The same search without limits of its own, beside those of objectives."""
        return self

    def sample(self, problem: Problem, count: int, rng: np.random.Generator) -> list[Candidate]:
        """Random candidates of those that it would search; empty if it finds none.

        The default: of some random ones, those that keep the limits of objectives, as far as these
        are known without training.
        """
        drawn = problem.sample(count, rng)
        limits = [objective for objective in problem.objectives if objective.limit is not None]
        if not limits:
            return drawn
        known = [problem.known(candidate) for candidate in drawn]
        return [
            candidate
            for candidate, figures in zip(drawn, known, strict=True)
            if all(o.feasible(figures) for o in limits if o.metric in figures)
        ]

    def expected(self, space: Space) -> Mapping[str, float]:
        """What the search will spend by itself, e.g. `{"epochs": 91.0}`, for progress and plans.

        Empty if it is not known beforehand, or if only a budget ends the search.
        """
        return {}

    def check(self, problem: Problem) -> None:  # noqa: B027 - most have nothing to refuse
        """Refuse a problem that this search could not solve; asked before a run has a folder.

        Settings by themselves are checked when the strategy is made; here is what shows only beside
        a space and objectives.

        Raises:
            ConfigError: Settings and problem do not fit.
        """

    def levels(self) -> tuple[float, ...]:
        """The budgets of evaluations it will ask for, so that an evaluator can refuse them early.

        Empty if it asks for None (the recipe's own, or a table's largest), or does not know.
        """
        epochs = getattr(self.settings, "epochs", None)
        return () if epochs is None or self.sessions else (float(epochs),)

    def find(
        self,
        problem: Problem,
        outcomes: Sequence[Outcome],
        targets: Sequence[str],
        rng: np.random.Generator,
        count: int = 1,
    ) -> list[Finding]:
        """What it expects to be the best within new limits, without anything being trained.

        Args:
            problem: What was searched.
            outcomes: What a search of these settings was told.
            targets: Limits, such as `macs<=4e8`; several for one target are joined by commas.
            rng: As the search began with.
            count: At most so many for each.

        Raises:
            UnsupportedError: The strategy learns nothing that could be asked again.
            ConfigError: Limits leave nothing, or are of what is not known without training.
        """
        raise UnsupportedError(
            f"strategy {type(self).__name__} learns nothing that could be asked again",
            "search with --strategy fbnetv3",
        )

    @abstractmethod
    def run(self, problem: Problem, rng: np.random.Generator) -> Generator[Request, Any, Any]:
        """The search.

        It yields lists of `Evaluate` and `Call` and is sent the lists of their outcomes, in
        order; or it yields `Start(works)`, which returns at once, and `Next()`, which gives
        whichever outcome comes first. It may run for ever: the engine raises `GeneratorExit`
        in it when the budget is spent.

        Args:
            problem: Space, objectives and helpers.
            rng: All chance comes from here.

        Returns:
            The candidates found; None if those are simply the best of what was evaluated.
        """
