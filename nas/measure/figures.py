"""Figures that are measured on a network that stands there, by name.

A member is a function of a `Subject`, or a `Figure`, which has settings besides. Whoever evaluates
networks measures those that a search's objectives name: a new figure is one function and its
registration. Importing this module does not import torch, nor does reading our own rows' settings.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from nas.core.config import Settings, build_settings
from nas.core.errors import ConfigError
from nas.core.registry import Registry, imported
from nas.measure.settings import (
    CertifiedErrorSettings,
    EnergySettings,
    LatencySettings,
    MemorySettings,
    QuantizedErrorSettings,
)

if TYPE_CHECKING:
    from torch import nn

    from nas.training.data.dataset import DataSet

__all__ = ["MEASURES", "Figure", "Measure", "Subject", "bound", "complete", "settings_of"]


@dataclass(frozen=True)
class Subject:
    """What is measured.

    Attributes:
        network: On its device, with the weights that its other figures are of (the initial ones
            where nothing was trained). A measure leaves it as it was.
        data: Gives images and their shape; of its splits only training and validation are for use.
        device: A torch device string, where the network is.
        seed: Of whatever chance there is.
    """

    network: nn.Module
    data: DataSet
    device: str = "cpu"
    seed: int = 0


NAME: Final = r"[A-Za-z_]\w*"
"""What a figure can be called, so that an objective can name it."""

Measure: TypeAlias = Callable[[Subject], float]
"""Gives the figure; NaN or a `CandidateError` if the network has none."""


@dataclass(frozen=True)
class Figure:
    """A row of the table: a figure with its settings. Called with a subject, by their defaults.

    Attributes:
        measure: "module:function" of `(subject)`, or of `(subject, settings)` where there are
            settings; or the function itself.
        settings: The frozen model of its settings; the default has none.
        source: Where it was published.
        ready: "module:function" of a device as of `RunConfig`, asked before any work: it raises an
            `UnsupportedError` where the figure cannot be had; empty for one that always can.
    """

    measure: Callable[..., float] | str
    settings: type[Settings] = Settings
    source: str = ""
    ready: str = ""

    def __call__(self, subject: Subject, given: Mapping[str, Any] | None = None) -> float:
        """The figure, by the settings that are given and the defaults of the others.

        Raises:
            ConfigError: A setting is unknown or out of range.
            CandidateError: The network has no such figure.
        """
        values = build_settings(self.settings, given or {}, "setting of a figure")
        measure: Callable[..., float] = (
            imported(self.measure) if isinstance(self.measure, str) else self.measure
        )
        return measure(subject, values) if self.settings.model_fields else measure(subject)


MEASURES: Registry[Measure] = Registry("measure", "nas.measures", NAME)
"""All figures; ``@MEASURES.register(name, summary)`` adds a function, ``MEASURES.add`` a `Figure`.
The name is the figure's."""


def settings_of(name: str) -> type[Settings]:
    """The model of a figure's settings, empty for one without.

    Raises:
        PluginError: There is no figure of that name.
    """
    row = MEASURES.get(name)
    return row.settings if isinstance(row, Figure) else Settings


def complete(name: str, given: Any) -> dict[str, Any]:
    """Settings of a figure, those not given by their defaults; plain data.

    Raises:
        PluginError: There is no figure of that name.
        ConfigError: A setting is unknown or out of range.
    """
    if not isinstance(given, Mapping):
        raise ConfigError(f"measures.{name} is {given!r}", f"expected measures.{name}.KEY=VALUE")
    model = settings_of(name)
    if given and not model.model_fields:
        raise ConfigError(f"{name} has no setting {next(iter(given))!r}", "leave it out")
    return build_settings(model, given, f"setting of {name}").model_dump(mode="json")


def bound(name: str, given: Mapping[str, Any]) -> Measure:
    """A figure with its settings, to be measured.

    Raises:
        PluginError, ConfigError: As `complete`.
    """
    row, settings = MEASURES.get(name), complete(name, given)
    return (lambda subject: row(subject, settings)) if isinstance(row, Figure) else row


MEASURES.add("params", Figure("nas.measure.counts:params"), "trainable parameters")
MEASURES.add("macs", Figure("nas.measure.counts:macs"), "multiply-accumulates of one forward pass")
MEASURES.add(
    "sharpness",
    Figure("nas.measure.trained:sharpness"),
    "largest eigenvalue of the loss's Hessian",
)
MEASURES.add(
    "rankme",
    Figure("nas.measure.trained:rankme", source="Garrido et al., ICML 2023"),
    "effective rank of the features, label-free (max)",
)
MEASURES.add(
    "quantized_error",
    Figure(
        "nas.measure.quantized:quantized_error",
        QuantizedErrorSettings,
        "Lee et al., ICML 2023",
    ),
    "validation error with weights of few bits, rounded after training",
)
MEASURES.add(
    "certified_error",
    Figure(
        "nas.measure.certified:certified_error",
        CertifiedErrorSettings,
        "Gowal et al., ICCV 2019",
    ),
    "share of validation images not proven right within a radius",
)
MEASURES.add(
    "latency_ms",
    Figure("nas.measure.device:latency_ms", LatencySettings),
    "milliseconds of a forward pass, measured on the run's device",
)
MEASURES.add(
    "memory_mb",
    Figure("nas.measure.device:memory_mb", MemorySettings),
    "most megabytes held in a forward pass, weights included",
)
MEASURES.add(
    "energy_j",
    Figure("nas.measure.energy:energy_j", EnergySettings, ready="nas.measure.energy:check_energy"),
    "joules of a forward pass, where the run's device reports them",
)
