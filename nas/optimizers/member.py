"""What a registered optimizer consists of; torch-free."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

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


@dataclass(frozen=True)
class Member:
    """A row of the optimizer table.

    Attributes:
        settings: The frozen model of its settings.
        factory: "module:function" of `(params, settings) -> torch.optim.Optimizer`, or the
            function itself. The text form keeps the settings readable without torch.
    """

    settings: type[OptimizerSettings]
    factory: Factory | str

    def create(self, params: Params, settings: OptimizerSettings) -> torch.optim.Optimizer:
        """The optimizer over `params`."""
        factory = imported(self.factory) if isinstance(self.factory, str) else self.factory
        made: torch.optim.Optimizer = factory(params, settings)
        return made
