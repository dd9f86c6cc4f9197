"""What a search may spend, and what it has spent.

Evaluations and epochs close a search at the same place every time, because they are
counted in the order in which the strategy is told, on one worker as on many. Hours cannot
be; the place where a clock closed a search is therefore stored.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, replace
from typing import Final

from nas.core.errors import ConfigError
from nas.core.work import Evaluate, Spent, Work

_UNITS: Final[dict[str, tuple[str, float]]] = {
    "evaluations": ("evaluations", 1.0),
    "evaluation": ("evaluations", 1.0),
    "epochs": ("epochs", 1.0),
    "epoch": ("epochs", 1.0),
    "s": ("seconds", 1.0),
    "m": ("seconds", 60.0),
    "min": ("seconds", 60.0),
    "h": ("seconds", 3600.0),
    "d": ("seconds", 86400.0),
}
UNLIMITED: Final = "unlimited"
_FORM = re.compile(r"(?P<number>\d+(\.\d*)?|\.\d+)\s*(?P<unit>[a-z]+)")
_EXPECTED: Final = "expected such as 50evaluations, 300epochs, 6h or 300epochs,6h"


@dataclass(frozen=True)
class Budget:
    """Upper limits; None for none. The first one reached closes the search.

    Attributes:
        evaluations: Finished or failed evaluations.
        epochs: Training epochs, of candidates and of sessions.
        seconds: Wall-clock time the run is active.
    """

    evaluations: int | None = None
    epochs: float | None = None
    seconds: float | None = None

    @classmethod
    def parse(cls, text: str | None) -> Budget:
        """Read `50evaluations`, `300epochs`, `6h` (also `s`, `m`, `d`), or several with commas.

        Raises:
            ConfigError: The text has another form, or a limit is zero or stands twice.
        """
        limits: dict[str, float] = {}
        for part in text.split(",") if text and text != UNLIMITED else []:
            match = _FORM.fullmatch(part.strip().lower())
            if match is None or match["unit"] not in _UNITS:
                raise ConfigError(f"budget {text!r}", _EXPECTED)
            name, factor = _UNITS[match["unit"]]
            amount = float(match["number"]) * factor
            if name in limits or not math.isfinite(amount) or amount <= 0:
                raise ConfigError(f"budget {text!r} has a limit of 0 or twice", _EXPECTED)
            if name == "evaluations" and amount != int(amount):
                raise ConfigError(f"budget {text!r} is no whole number of evaluations", _EXPECTED)
            limits[name] = amount
        evaluations = limits.get("evaluations")
        return cls(
            None if evaluations is None else int(evaluations),
            limits.get("epochs"),
            limits.get("seconds"),
        )

    def changed(self, text: str) -> Budget:
        """This budget with `+20epochs` added, or with the limits of `300epochs` in its place.

        Raises:
            ConfigError: The text is no budget, or adds to a limit that the run does not have.
        """
        text = text.strip()
        if not text.startswith("+"):
            return Budget.parse(text)
        more = Budget.parse(text[1:])
        result = self
        for name in ("evaluations", "epochs", "seconds"):
            extra, now = getattr(more, name), getattr(self, name)
            if extra is None:
                continue
            if now is None:
                raise ConfigError(
                    f"budget {text!r} adds {name} but the run's budget is {self}",
                    "add in its unit, or give a whole budget without +",
                )
            result = replace(result, **{name: now + extra})
        return result

    def __bool__(self) -> bool:
        """Whether there is any limit."""
        return any(limit is not None for limit in (self.evaluations, self.epochs, self.seconds))

    def __str__(self) -> str:
        """A text that `parse` reads."""
        parts = []
        if self.evaluations is not None:
            parts.append(f"{self.evaluations}evaluations")
        if self.epochs is not None:
            parts.append(f"{self.epochs:g}epochs")
        if self.seconds is not None:
            parts.append(f"{self.seconds:g}s")
        return ",".join(parts) or UNLIMITED


@dataclass(frozen=True)
class Promise(Spent):
    """What a work will cost at least.

    Attributes:
        whole: Epochs it was asked to train for from the start; 0 if it goes on or none are known.
    """

    whole: float = 0.0


class Meter:
    """What one phase has spent, in the order in which its generator was told.

    Works asked for but not yet told count with what they will cost at least, so that a batch
    is cut at the same work whatever the order in which its parts finish. Where an epoch has cost
    more than one so far, as with optimizers that take several gradients a step, it is expected to.

    Args:
        budget: The limits.
    """

    def __init__(self, budget: Budget | None = None) -> None:
        self.budget = budget or Budget()
        self.spent = Spent()
        self._open = 0
        self._promised = Spent()
        self._asked = self._paid = 0.0  # epochs of works from the start, and what they cost

    def admits(self) -> bool:
        """Whether one more work may be asked for."""
        return not self._reached(self.spent + self._promised)

    def reached(self) -> bool:
        """Whether a countable limit (evaluations, epochs) is spent."""
        return self._reached(self.spent)

    def _reached(self, total: Spent) -> bool:
        limit = self.budget
        if limit.evaluations is not None and total.evaluations >= limit.evaluations:
            return True
        return limit.epochs is not None and total.epochs >= limit.epochs * (1 - 1e-12)

    def promise(self, work: Work) -> Promise:
        """Count `work` as asked for; give the result to `settle` when it is told."""
        promise = Promise()
        if isinstance(work, Evaluate):
            budget, since = float(work.budget or 0.0), float(work.since or 0.0)
            epochs = max(0.0, budget - since) * (self._paid / self._asked if self._asked else 1.0)
            promise = Promise(epochs, 1, whole=0.0 if since else budget)
        self._open += 1
        self._promised = self._promised + promise
        return promise

    def settle(self, promise: Promise, spent: Spent) -> None:
        """Replace a promise by what the work cost."""
        self._open -= 1
        if promise.whole and spent.epochs:  # a failed one says nothing, nor one that was free
            self._asked += promise.whole
            self._paid += max(promise.whole, spent.epochs)
        p = self._promised
        self._promised = (
            Spent(p.epochs - promise.epochs, p.evaluations - promise.evaluations)
            if self._open
            else Spent()
        )
        self.spent = self.spent + spent

    def left(self) -> dict[str, float]:
        """What is left of each countable limit."""
        limit = self.budget
        left: dict[str, float] = {}
        if limit.evaluations is not None:
            left["evaluations"] = max(0, limit.evaluations - self.spent.evaluations)
        if limit.epochs is not None:
            left["epochs"] = max(0.0, limit.epochs - self.spent.epochs)
        return left
