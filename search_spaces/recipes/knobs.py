"""Where the value of a choice stands in a training recipe."""

from __future__ import annotations

import copy
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from dataclasses import field as default
from typing import Any, Final

import numpy as np

from nas.core.choices import Categorical, Choice, Integer, Real, Value
from nas.core.errors import SpaceError
from nas.optimizers import OPTIMIZERS

__all__ = ["PREFIX", "Knobs", "Place"]

PREFIX: Final = "recipe/"
"""Of the names of a recipe's choices, so that they differ from those of any architecture."""

OWN: Final = frozenset({"learning_rate", "weight_decay"})
"""Fields whose sensible values are an optimizer's own."""

DIGITS: Final = 12
"""Decimals of settings that are steps times a unit."""


@dataclass(frozen=True)
class Place:
    """Where a value stands, and in which unit.

    Attributes:
        field: Of `nas.training.TrainingRecipe`.
        key: In that field, where it is a mapping.
        units: What the setting is of one step of the choice, by optimizer ("" for all); without
            any, the setting is the value itself.
    """

    field: str
    key: str = ""
    units: Mapping[str, float] = default(default_factory=dict)

    def unit(self, optimizer: Any) -> float:
        """The unit beside an optimizer."""
        return self.units[optimizer if optimizer in self.units else ""]


@dataclass(frozen=True)
class Knobs:
    """The choices of a recipe.

    Attributes:
        choices: At the root; those under them have places, too.
        places: Name of every choice to where its value stands.
        fixed: Settings that all recipes of the space have besides.
    """

    choices: tuple[Choice, ...]
    places: Mapping[str, Place]
    fixed: Mapping[str, Any] = default(default_factory=dict)

    def settings(self, values: Mapping[str, Value]) -> dict[str, Any]:
        """The recipe's settings for the values of active choices; other spaces' are ignored."""
        result: dict[str, Any] = copy.deepcopy(dict(self.fixed))
        optimizer = values.get(f"{PREFIX}optimizer")
        for name, value in values.items():
            place = self.places.get(name)
            if place is None:
                continue
            setting: Any = value
            if place.units:
                assert isinstance(value, int)
                setting = round(value * place.unit(optimizer), DIGITS)
            if place.key:
                result.setdefault(place.field, {})[place.key] = setting
            else:
                result[place.field] = setting
        return result

    def values(self, settings: Mapping[str, Any]) -> dict[str, Value]:
        """The choices' values that gave `settings`: the inverse of `settings`.

        Raises:
            SpaceError: A setting is missing.
        """
        return dict(self._read(self.choices, settings))

    def nearest(self, settings: Mapping[str, Any]) -> dict[str, Value]:
        """The choices' values that come nearest to settings of any recipe.

        Numbers outside of a range become its nearest end, and words that are no option the first
        one; what the settings do not say is taken for 0, or for the middle of a logarithmic range.
        Rate and decay of an optimizer that is no option say nothing of another one's. Where recipes
        of this space have a rate for one size of batches, the one that is read is turned into that.
        """
        found: dict[str, Value] = {}
        self._near(self.choices, settings, found)
        return found

    def allows(self, settings: Mapping[str, Any]) -> bool:
        """Whether a recipe of this space can have the optimizer that the settings name."""
        own = settings.get("optimizer")
        for choice in self.choices:
            if choice.name == f"{PREFIX}optimizer" and isinstance(choice, Categorical):
                return own in choice.options
        return bool(self.fixed.get("optimizer", own) == own)  # else it is the run's

    def near(
        self, values: Mapping[str, Value], share: float, rng: np.random.Generator
    ) -> dict[str, Value]:
        """Other values of active choices, of which a share is drawn anew.

        What is under a value that was not there before is drawn anew, too.

        Args:
            values: Of active choices.
            share: Of the choices, from 0 to 1.
            rng: Draws.
        """
        found: dict[str, Value] = {}
        pending = list(self.choices)
        while pending:
            choice = pending.pop(0)
            kept = rng.random() >= share and choice.name in values
            found[choice.name] = values[choice.name] if kept else choice.draw(rng)
            pending.extend(choice.children(found[choice.name]))
        return found

    def apart(self, values: Mapping[str, Value], others: Mapping[str, Value]) -> float:
        """How far two recipes are from each other, in choices at the root.

        Each of them counts from 0 to 1: options that differ as 1, numbers as the share of their
        range between them (of its logarithm, where values are drawn so), and where nothing differs,
        what is under it, by what differs most.

        Args:
            values: Of active choices.
            others: Likewise.
        """
        return sum(_apart(choice, values, others) for choice in self.choices)

    def _near(
        self, choices: tuple[Choice, ...], settings: Mapping[str, Any], found: dict[str, Value]
    ) -> None:
        for choice in choices:
            place, optimizer = self.places[choice.name], found.get(f"{PREFIX}optimizer")
            wanted: Any = settings.get(place.field)
            if place.key:
                wanted = wanted.get(place.key) if isinstance(wanted, Mapping) else None
            if place.field in OWN and optimizer not in (None, settings.get("optimizer")):
                wanted = None
            if place.field == "learning_rate" and isinstance(wanted, int | float):
                wanted = wanted * self._rated(settings)
            if place.units and isinstance(wanted, int | float):
                wanted = wanted / place.unit(optimizer)
            found[choice.name] = _nearest(choice, wanted)
            self._near(choice.children(found[choice.name]), settings, found)

    def _rated(self, settings: Mapping[str, Any]) -> float:
        """What a rate is multiplied with to be one for this space's size of batches."""
        own = self.fixed.get("reference_batch")
        told = settings.get("reference_batch") or settings.get("batch_size")
        optimizer = str(settings.get("optimizer"))
        if not own or not told or optimizer not in OPTIMIZERS:
            return 1.0
        return float((own / told) ** OPTIMIZERS.get(optimizer).traits.batch_power)

    def _read(
        self, choices: tuple[Choice, ...], settings: Mapping[str, Any]
    ) -> Iterator[tuple[str, Value]]:
        for choice in choices:
            place = self.places[choice.name]
            found: Any = settings
            for part in (place.field, place.key) if place.key else (place.field,):
                if part not in found:
                    raise SpaceError(f"the recipe does not say {part!r}", "it is of another space")
                found = found[part]
            if place.units:
                found = round(found / place.unit(settings.get("optimizer")))
            yield choice.name, found
            yield from self._read(choice.children(choice.check(found)), settings)


def _apart(choice: Choice, values: Mapping[str, Value], others: Mapping[str, Value]) -> float:
    first, second = values[choice.name], others[choice.name]
    places = zip(choice.encode(first, False), choice.encode(second, False), strict=True)
    own = max(abs(a - b) for a, b in places)
    below = choice.children(first) if first == second else ()
    return max([own, *(_apart(child, values, others) for child in below)])


def _nearest(choice: Choice, wanted: Any) -> Value:
    """The value of a choice that is nearest to what is wanted."""
    number = float(wanted) if isinstance(wanted, int | float) else 0.0
    if isinstance(choice, Real):
        if wanted is None and choice.log:
            return math.sqrt(choice.low * choice.high)
        return min(max(number, choice.low), choice.high)
    if isinstance(choice, Integer):
        return min(choice.values(), key=lambda value: abs(float(str(value)) - number))
    assert isinstance(choice, Categorical)
    if wanted in choice.options:
        return choice.options[choice.options.index(wanted)]
    numbers = [o for o in choice.options if isinstance(o, int | float) and not isinstance(o, bool)]
    if len(numbers) < len(choice.options):
        return choice.options[0]
    return min(numbers, key=lambda option: abs(option - number))
