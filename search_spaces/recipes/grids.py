"""The spaces of recipes: what the zoo declares, and what FBNetV3 searched."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from nas.core.choices import Categorical, Choice, Integer, Option, Real
from nas.optimizers import OPTIMIZERS, PLAIN
from search_spaces import get_space
from search_spaces.recipes.joint import RecipeSpace, recipe_space
from search_spaces.recipes.knobs import PREFIX, Knobs, Place

__all__ = ["recipe", "recipe_fbnetv3"]

NETWORKS: Final = "nasbench201"
MEMBER: Final = "resnet"
"""Whose recipes are searched where a space of recipes is not joined to another."""

DRAWN: Final = (
    *("sgd", "adamw", "nadamw", "lion", "adamp", "sgdp", "muon", "sophia-g", "adafactor", "sm3"),
)
"""Optimizers that train from scratch at the cost of about one gradient a step and need nothing
installed: a fixed list, so that the space is the same wherever it is made."""

RADII: Final = {"sam": (0.01, 0.3), "sam-k": (0.01, 0.3), "looksam": (0.01, 0.3)}
"""Steps, and their least and largest rho."""


class _Builder:
    """Gathers choices with their places."""

    def __init__(self) -> None:
        self.places: dict[str, Place] = {}

    def named(
        self, name: str, field: str, key: str = "", units: Mapping[str, float] | None = None
    ) -> str:
        """The full name of a choice whose value stands at a place."""
        self.places[PREFIX + name] = Place(field, key, units or {})
        return PREFIX + name

    def plain(self, field: str) -> str:
        """The full name of a choice that is called like the field that it sets."""
        return self.named(field, field)


def recipe() -> RecipeSpace:
    """Optimizers with steps, rates and decays of their own, schedules, layers, regularisation.

    An optimizer's ranges, and the steps that it goes with, are those that the zoo declares, so no
    recipe can be drawn that is refused.
    """
    b = _Builder()
    phi = Real(b.named("uba/phi", "schedule_settings", "phi"), 0.25, 8.0, log=True)
    share = Real(b.named("warmup-stable-decay/decay", "schedule_settings", "decay"), 0.1, 0.6)
    choices: tuple[Choice, ...] = (
        Categorical(b.plain("optimizer"), DRAWN, {name: _optimizer(b, name) for name in DRAWN}),
        Categorical(
            b.plain("schedule"),
            ("cosine", "uba", "warmup-stable-decay", "one-cycle"),
            {"uba": (phi,), "warmup-stable-decay": (share,)},
        ),
        Categorical(b.plain("warmup_epochs"), (0.0, 0.5, 1.0, 2.0)),
        Categorical(b.plain("batch_size"), (32, 64, 128)),
        Categorical(b.plain("ema_decay"), (0.0, 0.99, 0.998)),
        Real(b.plain("label_smoothing"), 0.0, 0.2),
        Real(b.plain("dropout"), 0.0, 0.4),
        Real(b.plain("drop_path"), 0.0, 0.3),
        Real(b.plain("mixup"), 0.0, 0.4),
        Categorical(b.plain("reweighting"), ("uniform", "linear-upper")),
        Categorical(b.plain("normalization"), ("batch", "ghost")),
        Categorical(b.plain("weights"), ("plain", "standardized", "compander")),
    )
    fixed = {"reference_batch": 64, "clip_norm": 5.0, "step": PLAIN}  # where none is drawn
    return _alone("recipe", Knobs(choices, b.places, fixed))


def _optimizer(b: _Builder, name: str) -> tuple[Choice, ...]:
    traits = OPTIMIZERS.get(name).traits
    steps: dict[Option, tuple[Choice, ...]] = {
        step: (Real(b.named(f"{name}/{step}/rho", "step_settings", "rho"), *radii, log=True),)
        for step, radii in RADII.items()
        if step not in traits.excludes
    }
    found: list[Choice] = [
        Real(b.named(f"{name}/learning_rate", "learning_rate"), *traits.rates, log=True),
        Real(b.named(f"{name}/weight_decay", "weight_decay"), *traits.decays, log=True),
    ]
    if steps:
        found.append(Categorical(b.named(f"{name}/step", "step"), (PLAIN, *steps), steps))
    return tuple(found)


def recipe_fbnetv3() -> RecipeSpace:
    """FBNetV3's grid (Dai et al., CVPR 2021), as far as it is known.

    Steps of 1e-3 for the learning rate, four times as large for SGD; 1e-2 for dropout, stochastic
    depth and mixup; 1e-6 for weight decay, both ends included. The rate falls by one factor an
    epoch: what 0.963 leaves of it after the 150 epochs of the published search is what is left at
    the end here, however many epochs there are.
    """
    b = _Builder()

    def grid(field: str, low: int, high: int, units: Mapping[str, float]) -> Integer:
        return Integer(b.named(field, field, units=units), low, high)

    choices = (
        Categorical(b.plain("optimizer"), ("rmsprop", "sgd")),
        Categorical(b.plain("ema_decay"), (0.0, 0.9998)),
        grid("learning_rate", 20, 30, {"rmsprop": 1e-3, "sgd": 4e-3}),
        grid("dropout", 1, 31, {"": 1e-2}),
        grid("drop_path", 10, 31, {"": 1e-2}),
        grid("mixup", 0, 41, {"": 1e-2}),
        grid("weight_decay", 7, 21, {"": 1e-6}),
    )
    fixed: dict[str, Any] = {
        "schedule": "exponential",
        "schedule_settings": {"final": 0.963**150},
        "label_smoothing": 0.1,
    }
    return _alone("recipe-fbnetv3", Knobs(choices, b.places, fixed))


def _alone(name: str, knobs: Knobs) -> RecipeSpace:
    base = get_space(NETWORKS)
    return recipe_space(name, knobs, base, base.members[MEMBER])
