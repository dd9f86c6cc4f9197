"""What steps around an optimizer share: its groups, and one state for both."""

from __future__ import annotations

from typing import Any

import torch

from nas.core.errors import ConfigError


class Around(torch.optim.Optimizer):
    """A step that has another optimizer move the weights, by a gradient of its own.

    Groups and their rates are the other's.

    Args:
        base: Steps with the gradient found.

    Attributes:
        taken: Steps taken.
    """

    def __init__(self, base: torch.optim.Optimizer) -> None:
        self.base = base
        super().__init__(base.param_groups, dict(base.defaults))
        self.param_groups = base.param_groups
        self.taken = 0

    def state_dict(self) -> dict[str, Any]:
        """State of both; holds tensors and plain data only."""
        return {**super().state_dict(), "taken": self.taken, "base": self.base.state_dict()}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Become what gave `state_dict`.

        Raises:
            ConfigError: It is of another optimizer.
        """
        rest = dict(state_dict)
        if not {"taken", "base"} <= rest.keys():
            raise ConfigError("the state is of an optimizer without a sharpness step", "begin anew")
        taken, base = rest.pop("taken"), rest.pop("base")
        super().load_state_dict(rest)
        self.base.load_state_dict(base)
        self.param_groups = self.base.param_groups
        self.taken = int(taken)
