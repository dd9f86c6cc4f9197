"""AutoLRS: the learning rate of each stage of a training is looked for when the stage begins.

Jin et al., "AutoLRS: Automatic Learning-Rate Schedule by Bayesian Optimization on the Fly",
ICLR 2021, algorithm 1. From where a stage begins, a number of rates are tried for a few steps each;
what the loss would be at the stage's end is forecast from theirs, and where to look next comes from
a Gaussian process. The stage is trained at the best of them. As many steps are tried as trained.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from typing import Any, Final

import torch

from nas.core.config import build_settings
from nas.core.errors import DivergenceError
from nas.core.registry import imported
from nas.training.forecast import forecast, next_place
from nas.training.recipe import TrainingRecipe
from nas.training.schedules import SCHEDULES, AutoLrsSettings
from nas.training.stepper import Stepper

__all__ = ["RateSearch", "searching"]

STAGES: Final = 15
"""Stages of the first's length in a short training: after three doublings, 1 + 2 + 4 + 8."""
SHORTEST: Final = 20
"""Steps of a try, unless shorter stages are asked for: fewer say little of where a loss goes."""
LOOKS: Final = 16
"""Measurements of the validation loss in a try, after the one before it."""
LAST: Final = 5
"""Losses, at least, that a mean is of."""


class RateSearch:
    """Holds a stepper's rate, stage by stage.

    Tries are paid: the stepper's counts of gradients and images go on through them. All else comes
    back to the bit. A try that was interrupted is made again, from a state in which it has not
    begun; those before it are kept.

    Args:
        stepper: Takes the steps.
        settings: Of the search.
        start: Steps of warm-up before the first stage.
        total: Steps of the training.
        between: Called before every step of a try; may raise.
        validate: Gives the loss of the validation images, and leaves the network in training mode;
            None without any.
    """

    def __init__(
        self,
        stepper: Stepper,
        settings: AutoLrsSettings,
        start: int,
        total: int,
        between: Callable[[], None],
        validate: Callable[[], float] | None = None,
    ) -> None:
        self._stepper, self._settings = stepper, settings
        self._until, self._total = start, total
        self._between = between
        self._validate = validate if settings.validation else None
        first = min(
            settings.stage, max(round(SHORTEST / settings.share), (total - start) // STAGES)
        )
        self._lengths = [first * 2**n for n in range(settings.doublings + 1)]
        self._stage = 0
        self._factor = 1.0
        self._tries: list[tuple[float, float]] = []
        self._snapshot: dict[str, Any] | None = None

    def before_step(self, epoch: int) -> None:
        """Where a stage begins, find its rate.

        Args:
            epoch: That the stepper is in.

        Raises:
            DivergenceError: The loss is no number at any rate.
        """
        at = epoch * self._stepper.steps + self._stepper.step
        if at < self._until or at >= self._total:
            return
        length = self._length(at)
        self._snapshot = copy.deepcopy(self._stepper.state())
        while len(self._tries) < self._settings.tries:
            place = self._place()
            value = self._tried(self._factor_at(place), length, epoch)
            self._tries.append((place, value))
            # Paid, whatever comes of it.
            self._snapshot["gradient_evaluations"] = self._stepper.gradient_evaluations
            self._snapshot["looked_at"] = self._stepper.looked_at
            self._stepper.load_state(copy.deepcopy(self._snapshot))
            self._stepper.begin_epoch(epoch)
        best, value = min(self._tries, key=lambda found: found[1])
        if not math.isfinite(value):
            raise DivergenceError(
                f"diverged: the loss is no number at any of {len(self._tries)} rates tried",
                "lower learning_rate, or the schedule's highest factor",
            )
        self._factor = self._factor_at(best)
        self._stepper.hold(self._factor)
        self._stage, self._until = self._stage + 1, at + length
        self._tries, self._snapshot = [], None

    def _length(self, at: int) -> int:
        """Steps of the stage that begins; what would be left and is less than half of it joins."""
        length = self._lengths[min(self._stage, len(self._lengths) - 1)]
        left = self._total - at
        return left if left < 1.5 * length else length

    def _place(self) -> float:
        """The next rate to try, from 0 to 1 between both ends; the last stage's first."""
        if self._tries:
            return next_place(self._tries, self._settings.kappa)
        low, high = math.log(self._settings.lowest), math.log(self._settings.highest)
        return min(1.0, max(0.0, (math.log(self._factor) - low) / (high - low)))

    def _factor_at(self, place: float) -> float:
        lowest, highest = self._settings.lowest, self._settings.highest
        return float(lowest * (highest / lowest) ** place)

    def _tried(self, factor: float, length: int, epoch: int) -> float:
        """The loss to expect at a stage's end from a few steps at a rate."""
        stepper = self._stepper
        stepper.hold(factor)
        count = max(1, round(length * self._settings.share))
        judged = self._validate is not None and self._stage >= len(self._lengths)
        every = max(1, count // LOOKS)
        losses: list[torch.Tensor] = []
        validated: list[float] = []
        if judged and self._validate is not None:
            validated.append(self._validate())
        try:
            for number in range(1, count + 1):
                self._between()
                if stepper.step == stepper.steps:
                    stepper.end_epoch()
                    epoch += 1
                    stepper.begin_epoch(epoch)
                losses.append(stepper.take_step())
                if judged and self._validate is not None and number % every == 0:
                    validated.append(self._validate())
        except DivergenceError:
            return math.inf
        series = torch.stack(losses).tolist()
        if judged:
            return self._expected(validated, 1 + length // every)
        return self._expected(series, length)

    def _expected(self, losses: list[float], after: int) -> float:
        """The forecast; of losses that rose far above where the stage began, the mean of the last.

        A curve that comes down again from there says nothing of where it ends.
        """
        if max(losses) > self._settings.rise * losses[0]:
            tail = losses[-max(LAST, len(losses) // 10) :]
            return sum(tail) / len(tail)
        return forecast(losses, max(after, len(losses) + 1))

    # -- stopping and going on ------------------------------------------------------------------

    def stepper_state(self) -> dict[str, Any]:
        """The stepper's; while rates are tried, where they are tried from."""
        return self._stepper.state() if self._snapshot is None else self._snapshot

    def state(self) -> dict[str, Any]:
        """All else, as plain data."""
        return {
            "stage": self._stage,
            "until": self._until,
            "factor": self._factor,
            "tries": [list(found) for found in self._tries],
        }

    def load_state(self, state: dict[str, Any]) -> None:
        """Become what gave `state`."""
        self._stage, self._until = state["stage"], state["until"]
        self._factor = state["factor"]
        self._tries = [(place, value) for place, value in state["tries"]]


def searching(
    recipe: TrainingRecipe,
    stepper: Stepper,
    horizon: int,
    between: Callable[[], None],
    validate: Callable[[], float] | None,
) -> RateSearch | None:
    """What looks for the rate while a stepper trains; None if the recipe's schedule knows it.

    Args:
        recipe: How it trains.
        stepper: Takes the steps.
        horizon: Epochs that the schedule is laid out for.
        between: See `RateSearch`.
        validate: Likewise.
    """
    row = SCHEDULES.get(recipe.schedule)
    if not row.search:
        return None
    settings = build_settings(row.settings, recipe.schedule_settings, f"{recipe.schedule} setting")
    warmup = round(recipe.warmup_epochs * stepper.steps)
    found: RateSearch = imported(row.search)(
        stepper, settings, warmup, horizon * stepper.steps, between, validate
    )
    return found
