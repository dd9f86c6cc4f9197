"""Optimizers by name, with checked settings, and the steps they can be wrapped in.

Importing this package does not import torch: `OPTIMIZERS` and `STEPS` are lazy tables and `build`
imports a member only when it is asked for one.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, Final

from nas.core.config import Settings, build_settings
from nas.core.errors import UnsupportedError
from nas.core.registry import Registry
from nas.optimizers.member import Member, OptimizerSettings, Traits
from nas.optimizers.sharpness import PLAIN, STEPS, SharpnessStep

if TYPE_CHECKING:
    import torch

__all__ = [
    "OPTIMIZERS",
    "PLAIN",
    "STEPS",
    "Member",
    "OptimizerSettings",
    "SharpnessStep",
    "Traits",
    "build",
    "check_package",
    "check_schedule",
    "check_step",
    "settings_model",
]

EXTRA: Final = "zoo"
"""The extra of this package that has what some optimizers need."""

OPTIMIZERS: Registry[Member] = Registry("optimizer", "nas.optimizers")

_TABLE = {
    "sgd": ("standard:SGD", "gradient descent with momentum"),
    "adam": ("standard:ADAM", "Adam; weight decay joins the gradient"),
    "adamw": ("standard:ADAMW", "Adam with decoupled weight decay"),
    "nadamw": ("standard:NADAMW", "AdamW with Nesterov momentum"),
    "rmsprop": ("standard:RMSPROP", "gradients over the root of their mean square, and momentum"),
    "adafactor": ("standard:ADAFACTOR", "mean squares by rows and columns, little memory"),
    "muon": ("own:MUON", "steps that turn all directions of a hidden weight alike"),
    "lion": ("own:LION", "steps of one size along the sign of a momentum"),
    "adamp": ("own:ADAMP", "AdamW without steps along the length of scale-invariant weights"),
    "sgdp": ("own:SGDP", "SGD without steps along the length of scale-invariant weights"),
    "sm3": ("own:SM3", "AdaGrad with one accumulator per row and column"),
    "sophia-g": ("own:SOPHIA_G", "clipped steps by curvature, from gradients to drawn labels"),
    "sophia-h": ("own:SOPHIA_H", "clipped steps by curvature, from the Hessian's diagonal"),
    "mezo": ("own:MEZO", "no gradients, for fine-tuning only"),
    "m-fac": ("own:MFAC", "natural gradient by the last gradients; as many copies as these"),
    "schedule-free-adamw": ("extra:SCHEDULE_FREE_ADAMW", "AdamW without a horizon (extra zoo)"),
    "schedule-free-sgd": ("extra:SCHEDULE_FREE_SGD", "SGD without a horizon (extra zoo)"),
    "prodigy": ("extra:PRODIGY", "Adam that finds its own rate (extra zoo)"),
    "soap": ("extra:SOAP", "Adam in the eigenbasis of Shampoo (extra zoo)"),
    "ademamix": ("extra:ADEMAMIX", "AdamW with a second, slow momentum (extra zoo)"),
}

for _name, (_target, _summary) in _TABLE.items():
    OPTIMIZERS.add(_name, f"nas.optimizers.{_target}", _summary)


def settings_model(name: str) -> type[OptimizerSettings]:
    """The frozen model of the settings of the optimizer `name`; imports no torch."""
    return OPTIMIZERS.get(name).settings


def check_package(name: str) -> None:
    """Say what to install for the optimizer `name`, if its package is missing; imports no torch.

    Raises:
        PluginError: The optimizer is unknown.
        UnsupportedError: Its package is missing.
    """
    package = OPTIMIZERS.get(name).package
    if package and find_spec(package) is None:
        raise UnsupportedError(
            f"{name} needs the package {package}, which is missing",
            f"pip install 'nas-engine[{EXTRA}]'",
        )


def check_schedule(name: str, schedule: str, *, averaged: bool = False) -> None:
    """Refuse a schedule, or an average of weights, that an optimizer does not go with.

    Args:
        name: The optimizer's.
        schedule: Name of a schedule of learning rates.
        averaged: Whether what is measured is a moving average of the weights.

    Raises:
        PluginError: The optimizer is unknown.
        UnsupportedError: They do not go together.
    """
    traits = OPTIMIZERS.get(name).traits
    if traits.schedules and schedule not in traits.schedules:
        known = " or ".join(sorted(traits.schedules))
        raise UnsupportedError(
            f"{name} does not go with schedule {schedule!r}", f"set schedule to {known}"
        )
    if traits.averages and averaged:
        raise UnsupportedError(
            f"{name} averages weights itself", "leave ema_decay out, or use another optimizer"
        )


def check_step(name: str, step: str, settings: Mapping[str, Any]) -> Settings | None:
    """The settings of a sharpness step around an optimizer, None for none; imports no torch.

    Raises:
        PluginError: Optimizer or step is unknown.
        ConfigError: A setting is wrong, or the two do not go together.
    """
    member = OPTIMIZERS.get(name)
    if step == PLAIN:
        if settings:
            raise UnsupportedError(
                f"a plain step has no setting {next(iter(settings))!r}",
                f"choose a step: {', '.join(STEPS.names())}",
            )
        return None
    values = build_settings(STEPS.get(step).settings, settings, f"{step} setting")
    if step in member.traits.excludes:
        raise UnsupportedError(f"{name} cannot be wrapped in {step}", "use a plain step")
    return values


def build(
    name: str,
    params: Iterable[torch.Tensor] | Iterable[dict[str, Any]],
    *,
    step: str = PLAIN,
    step_settings: Mapping[str, Any] | None = None,
    **settings: Any,
) -> torch.optim.Optimizer:
    """The optimizer `name` over `params`, with the fused or multi-tensor kernels there are.

    Its `step(closure)` calls the closure as often as the method needs gradients.

    Args:
        name: A member of `OPTIMIZERS`.
        params: Parameters, or parameter groups as torch takes them.
        step: "plain", or a member of `STEPS` to wrap it in.
        step_settings: As the step's settings model declares them, e.g. `rho`.
        **settings: As the optimizer's settings model declares them, e.g. `learning_rate`.

    Raises:
        PluginError: A name is unknown.
        ConfigError: A setting is unknown, of the wrong type or out of range, optimizer and step do
            not go together, a package is missing, or there is no parameter.
    """
    from nas.optimizers.guard import guard
    from nas.optimizers.rule import grouped

    check_package(name)
    member = OPTIMIZERS.get(name)
    values = build_settings(member.settings, settings, f"{name} setting")
    around = check_step(name, step, step_settings or {})
    made = guard(member.create(grouped(params), values), name)
    if around is None:
        return made
    return guard(STEPS.get(step).around(made, around), f"{step}({name})")
