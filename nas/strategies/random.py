"""Random search: the baseline that every other strategy has to beat at equal cost.

Li & Talwalkar, "Random Search and Reproducibility for Neural Architecture Search", UAI 2019.
"""

from __future__ import annotations

from collections.abc import Generator
from typing import Any, ClassVar

import numpy as np
from pydantic import Field

from nas.core.config import Settings
from nas.core.problem import Problem
from nas.core.work import Evaluate, Request
from nas.strategies.base import Strategy


class RandomSettings(Settings):
    """Settings of random search.

    Attributes:
        batch: Candidates asked for at once; as many workers as that have something to do.
        epochs: Training epochs of each; None for the recipe's own.
    """

    batch: int = Field(8, ge=1, le=10_000)
    epochs: float | None = Field(None, gt=0)


class Random(Strategy):
    """Candidates drawn uniformly, each evaluated once."""

    Settings: ClassVar[type[RandomSettings]] = RandomSettings
    settings: RandomSettings

    def run(self, problem: Problem, rng: np.random.Generator) -> Generator[Request, Any, None]:
        """Sample and evaluate until the budget is spent or the space is exhausted."""
        seen: set[str] = set()
        size = problem.space.size
        while size is None or len(seen) < size:
            batch = [c for c in problem.sample(self.settings.batch, rng) if c.id not in seen]
            seen.update(candidate.id for candidate in batch)
            if batch:
                yield [Evaluate(candidate, self.settings.epochs) for candidate in batch]
