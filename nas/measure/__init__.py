"""What a network costs: parameters, multiply-accumulates, and whatever else is measured by name."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from nas.measure.figures import MEASURES, Figure, Measure, Subject, bound, complete, settings_of

if TYPE_CHECKING:
    from nas.measure.counts import count_macs, count_parameters

__all__ = [
    "MEASURES",
    "Figure",
    "Measure",
    "Subject",
    "bound",
    "complete",
    "count_macs",
    "count_parameters",
    "settings_of",
]


def __getattr__(name: str) -> Any:
    if name not in ("count_macs", "count_parameters"):
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from nas.measure import counts

    return getattr(counts, name)
