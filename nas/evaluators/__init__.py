"""Who works out a candidate's figures: `train` trains it."""

from __future__ import annotations

from typing import Any

from nas.core.registry import Registry

__all__ = ["EVALUATORS"]

EVALUATORS: Registry[Any] = Registry("evaluator", "nas.evaluators")
"""A member is called with the run's configuration (a dumped `RunConfig`) and gives an `Evaluator`;
or it is itself a function of candidate, budget and seed that gives figures."""

EVALUATORS.add(
    "train", "nas.evaluators.train:TrainEvaluator", "train the candidate on the run's data"
)
