"""The factories of optimizers of other packages."""

from __future__ import annotations

import importlib
import math
from importlib.metadata import version
from typing import Any, Final

import torch

from nas.core.errors import UnsupportedError
from nas.optimizers.extra import (
    LIBRARY,
    SCHEDULE_FREE,
    AdemamixSettings,
    ProdigySettings,
    ScheduleFreeAdamwSettings,
    ScheduleFreeSgdSettings,
    SoapSettings,
)
from nas.optimizers.rule import listed

MAJOR: Final = {LIBRARY: "4", SCHEDULE_FREE: "1"}
"""Versions whose rules were compared with the papers'; before 4.1 some of the library's are not."""

HALF: Final = frozenset({torch.float16})
"""Its range is too small for squares of small numbers."""


def schedule_free_adamw(params: Any, settings: ScheduleFreeAdamwSettings) -> torch.optim.Optimizer:
    """Schedule-Free AdamW, at the weights where it wants gradients."""
    return _training(
        _package(SCHEDULE_FREE).AdamWScheduleFree(
            listed(params),
            lr=settings.learning_rate,
            betas=(settings.beta1, settings.beta2),
            eps=settings.epsilon,
            weight_decay=settings.weight_decay,
        )
    )


def schedule_free_sgd(params: Any, settings: ScheduleFreeSgdSettings) -> torch.optim.Optimizer:
    """Schedule-Free SGD, at the weights where it wants gradients."""
    return _training(
        _package(SCHEDULE_FREE).SGDScheduleFree(
            listed(params),
            lr=settings.learning_rate,
            momentum=settings.momentum,
            weight_decay=settings.weight_decay,
        )
    )


def prodigy(params: Any, settings: ProdigySettings) -> torch.optim.Optimizer:
    """Prodigy.

    Raises:
        ConfigError: Groups have rates of their own: the distance is one for all weights.
    """
    groups = listed(params, without=HALF)
    rates = {group.get("lr", settings.learning_rate) for group in groups if isinstance(group, dict)}
    if len(rates) > 1:
        raise UnsupportedError("prodigy has one learning rate for all groups", "give none of them")
    made: torch.optim.Optimizer = _package(LIBRARY).Prodigy(
        groups,
        lr=settings.learning_rate,
        betas=(settings.beta1, settings.beta2),
        eps=settings.epsilon,
        d0=settings.start,
        growth_rate=math.inf if settings.growth is None else settings.growth,
        d_coef=settings.factor,
        safeguard_warmup=settings.safeguard,
        weight_decay=settings.weight_decay,
        weight_decouple=True,
    )
    return made


def soap(params: Any, settings: SoapSettings) -> torch.optim.Optimizer:
    """SOAP."""
    made: torch.optim.Optimizer = _package(LIBRARY).SOAP(
        listed(params, without=HALF),
        lr=settings.learning_rate,
        betas=(settings.beta1, settings.beta2),
        eps=settings.epsilon,
        weight_decay=settings.weight_decay,
        precondition_frequency=settings.every,
        max_precondition_dim=settings.largest,
    )
    return made


def ademamix(params: Any, settings: AdemamixSettings) -> torch.optim.Optimizer:
    """AdEMAMix."""
    made: torch.optim.Optimizer = _package(LIBRARY).AdEMAMix(
        listed(params),
        lr=settings.learning_rate,
        betas=(settings.beta1, settings.beta2, settings.beta3),
        eps=settings.epsilon,
        weight_decay=settings.weight_decay,
        weight_decouple=True,
        alpha=settings.alpha,
        t_alpha_beta3=settings.warmup or None,
    )
    return made


def _training(optimizer: Any) -> torch.optim.Optimizer:
    optimizer.train()
    made: torch.optim.Optimizer = optimizer
    return made


def _package(name: str) -> Any:
    """The module, imported when it is needed: it takes a second.

    Raises:
        UnsupportedError: It is of a version that is not known to be right.
    """
    found = version(name)
    if found.partition(".")[0] != MAJOR[name]:
        raise UnsupportedError(f"{name} {found} is not known", f"install version {MAJOR[name]}")
    return importlib.import_module(name)
