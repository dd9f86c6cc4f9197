"""Optimizers by name, with checked settings.

Importing this package does not import torch: `OPTIMIZERS` is a lazy table and
`build` imports a member only when it is asked for one.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from nas.core.config import build_settings
from nas.core.registry import Registry
from nas.optimizers.member import Member, OptimizerSettings

if TYPE_CHECKING:
    import torch

__all__ = ["OPTIMIZERS", "Member", "OptimizerSettings", "build", "settings_model"]

OPTIMIZERS: Registry[Member] = Registry("optimizer", "nas.optimizers")
OPTIMIZERS.add("sgd", "nas.optimizers.standard:SGD", "gradient descent with momentum")
OPTIMIZERS.add("adam", "nas.optimizers.standard:ADAM", "Adam; weight decay joins the gradient")
OPTIMIZERS.add("adamw", "nas.optimizers.standard:ADAMW", "Adam with decoupled weight decay")
OPTIMIZERS.add("nadamw", "nas.optimizers.standard:NADAMW", "AdamW with Nesterov momentum")


def settings_model(name: str) -> type[OptimizerSettings]:
    """The frozen model of the settings of the optimizer `name`; imports no torch."""
    return OPTIMIZERS.get(name).settings


def build(
    name: str,
    params: Iterable[torch.Tensor] | Iterable[dict[str, Any]],
    **settings: Any,
) -> torch.optim.Optimizer:
    """The optimizer `name` over `params`, with the fused or multi-tensor kernels there are.

    Args:
        name: A member of `OPTIMIZERS`.
        params: Parameters, or parameter groups as torch takes them.
        **settings: As the member's settings model declares them, e.g. `learning_rate`.

    Raises:
        PluginError: The name is unknown.
        ConfigError: A setting is unknown, of the wrong type or out of range, or there is
            no parameter.
    """
    member = OPTIMIZERS.get(name)
    values = build_settings(member.settings, settings, f"{name} setting")
    return member.create(params, values)
