"""What a registered optimizer consists of; torch-free."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from pydantic import Field

from nas.core.config import Settings
from nas.core.registry import imported

if TYPE_CHECKING:
    import torch


class OptimizerSettings(Settings):
    """Settings every optimizer has; members add theirs.

    Attributes:
        learning_rate: Step size before any schedule, greater than 0.
        weight_decay: L2 or decoupled decay, as the member says; 0 or more.
    """

    learning_rate: float = Field(default=0.05, gt=0)
    weight_decay: float = Field(default=0.0, ge=0)


Params: TypeAlias = Iterable[Any]
"""Parameters, or parameter groups as torch takes them."""
Factory: TypeAlias = Callable[[Params, Any], "torch.optim.Optimizer"]
Family: TypeAlias = Literal["sgd", "adamw", "free"]


@dataclass(frozen=True)
class Traits:
    """What is known of an optimizer before it is tried; recipe spaces are made from it.

    Attributes:
        source: Where it was published.
        family: Whose learning rates its own go with: those of SGD with momentum, or of AdamW. With
            the batch they grow linearly, or as its root. "free" ones are the same for all tasks
            and batches.
        rate: Its learning rate over that of its family on the same task.
        rates: Least and largest learning rate worth trying.
        decays: Least and largest weight decay worth trying, as the optimizer means it.
        gradients: Forward and backward passes of a batch a step.
        copies: Memory beside weights and gradients, in copies of the weights.
        excludes: Names of steps that it cannot be wrapped in.
        schedules: Names of the schedules it goes with; empty for all.
        averages: Whether it measures an average of the weights that it trains (see
            `nas.optimizers.rule.TwoFaced`), and so goes with no other average of them.
        warning: Why it should not be drawn by a search unasked; empty if it may be.
    """

    source: str = ""
    family: Family = "adamw"
    rate: float = 1.0
    rates: tuple[float, float] = (1e-5, 1.0)
    decays: tuple[float, float] = (1e-5, 1e-1)
    gradients: float = 1.0
    copies: float = 0.0
    excludes: frozenset[str] = frozenset()
    schedules: frozenset[str] = frozenset()
    averages: bool = False
    warning: str = ""

    @property
    def batch_power(self) -> float:
        """The power of the batch size that good learning rates grow with."""
        return {"sgd": 1.0, "adamw": 0.5, "free": 0.0}[self.family]


@dataclass(frozen=True)
class Member:
    """A row of the optimizer table.

    Attributes:
        settings: The frozen model of its settings.
        factory: "module:function" of `(params, settings) -> torch.optim.Optimizer`, or the
            function itself. The text form keeps the settings readable without torch.
        traits: What is known of it.
        package: The package to import for it that is an extra of this one; empty for none.
    """

    settings: type[OptimizerSettings]
    factory: Factory | str
    traits: Traits = field(default_factory=Traits)
    package: str = ""

    def create(self, params: Params, settings: OptimizerSettings) -> torch.optim.Optimizer:
        """The optimizer over `params`."""
        factory = imported(self.factory) if isinstance(self.factory, str) else self.factory
        made: torch.optim.Optimizer = factory(params, settings)
        return made
