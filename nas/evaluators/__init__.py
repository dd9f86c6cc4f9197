"""Who works out a candidate's figures; importing this imports none of them."""

from __future__ import annotations

from typing import Any, Final

from nas.core.registry import Registry

__all__ = ["EVALUATORS", "WEIGHTS"]

WEIGHTS: Final = "weights.safetensors"
"""Name, in a work's scratch folder, of the weights of a training for the final report."""

EVALUATORS: Registry[Any] = Registry("evaluator", "nas.evaluators")
"""A member is called with the run's specification and gives an `Evaluator`, or is itself a
function of candidate, budget and seed that gives figures."""

EVALUATORS.add(
    "train", "nas.evaluators.train:TrainEvaluator", "train the candidate on the run's data"
)
EVALUATORS.add(
    "table", "nas.evaluators.table:TableEvaluator", "look figures up in a benchmark: table:FOLDER"
)
