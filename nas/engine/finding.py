"""Asks what a run has learnt for something within new limits; nothing is trained."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from nas.core.errors import ConfigError
from nas.core.work import Evaluate, Outcome
from nas.engine.assemble import SEARCH
from nas.engine.fitting import problem_of
from nas.engine.run import Run
from nas.engine.seeds import derive
from nas.strategies import STRATEGIES
from nas.strategies.base import Finding

__all__ = ["find"]


def find(folder: Path, targets: Sequence[str], count: int = 1) -> list[Finding]:
    """What a run's strategy expects to be the best within limits.

    Args:
        folder: The run's folder.
        targets: Limits, such as `macs<=4e8`; several for one target are joined by commas.
        count: At most so many for each target.

    Raises:
        StoreError: There is no such run.
        UnsupportedError: Its strategy learns nothing that could be asked again.
        ConfigError: There are no limits or no trainings; limits leave nothing, or are of what is
            not known without training.
    """
    if not targets:
        raise ConfigError("no limit to find something for", "give one, such as 'macs<=4e8'")
    with Run.look(folder) as run:
        config = run.config
        strategy = STRATEGIES.get(config.strategy)(config.settings)
        outcomes = [
            Outcome(entry.work, entry.status, entry.figures, curve=entry.curve)
            for entry in run.history
            if entry.phase == SEARCH and isinstance(entry.work, Evaluate)
        ]
    if not any(outcome.ok for outcome in outcomes):
        raise ConfigError(f"run {str(folder)!r} has trained nothing yet", "let it search first")
    rng = np.random.default_rng(derive(config.seed, "phase", SEARCH))
    return strategy.find(problem_of(config), outcomes, targets, rng, count)
