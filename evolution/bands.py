"""Bands that figures must lie in: `macs<=4e8`, `params>=1e6`, `4.4e8<=macs<=4.6e8`."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from nas.core.errors import ConfigError
from nas.core.objective import Objective

__all__ = ["Band", "beyond", "parse_bands"]

_NUMBER: Final = r"[-+]?[\d.]+(?:[eE][-+]?\d+)?"
_FORM: Final = re.compile(
    rf"\s*(?:(?P<low>{_NUMBER})\s*<=\s*)?(?P<metric>[A-Za-z_]\w*)\s*"
    rf"(?:(?P<sign><=|>=)\s*(?P<limit>{_NUMBER})\s*)?",
    re.ASCII,
)
_HINT: Final = "expected METRIC<=LIMIT, METRIC>=LIMIT or LOW<=METRIC<=HIGH"


@dataclass(frozen=True)
class Band:
    """A metric and what it may be.

    Attributes:
        metric: Its name.
        low: The least it may be.
        high: The most it may be.
    """

    metric: str
    low: float = -math.inf
    high: float = math.inf

    @classmethod
    def parse(cls, text: str) -> Band:
        """Read `macs<=4e8`, `macs>=1e8` or `1e8<=macs<=4e8`.

        Raises:
            ConfigError: The text has another form, or nothing lies in the band.
        """
        match = _FORM.fullmatch(text)
        if match is None or not (match["low"] or match["limit"]):
            raise ConfigError(f"limit {text!r}", _HINT)
        if match["low"] and match["sign"] == ">=":
            raise ConfigError(f"limit {text!r}", _HINT)
        try:
            given = {key: float(match[key]) for key in ("low", "limit") if match[key]}
        except ValueError:
            raise ConfigError(f"limit {text!r}", _HINT) from None
        if not all(map(math.isfinite, given.values())):
            raise ConfigError(f"limit {text!r} is beyond the range of numbers", _HINT)
        low, high = given.get("low", -math.inf), given.get("limit", math.inf)
        if match["sign"] == ">=":
            low, high = high, math.inf
        band = cls(match["metric"], low, high)
        if band.low > band.high:
            raise ConfigError(f"nothing lies in {text!r}", "swap the two limits")
        return band

    @classmethod
    def of(cls, objective: Objective) -> Band | None:
        """The band that an objective's limit leaves; None if it has none."""
        if objective.limit is None:
            return None
        if objective.direction == "min":
            return cls(objective.metric, high=objective.limit)
        return cls(objective.metric, objective.limit)

    def distance(self, figures: Mapping[str, float]) -> float:
        """How far outside the figure lies, 0 if inside, infinite if it is not there.

        A ratio's logarithm where figure and limit are above 0, so that distances of different
        metrics can be added up; else the difference as a share of the limit. Never 0 outside, be
        it by rounding.
        """
        value = figures.get(self.metric, math.nan)
        if math.isnan(value):
            return math.inf
        if self.low <= value <= self.high:
            return 0.0
        limit = self.low if value < self.low else self.high
        if value > 0 and limit > 0:
            return abs(math.log(value) - math.log(limit)) or math.ulp(1.0)
        return abs(value - limit) / (abs(limit) or 1.0) or math.ulp(1.0)

    def __str__(self) -> str:
        if math.isinf(self.high):
            return f"{self.metric}>={_exact(self.low)}"
        above = "" if math.isinf(self.low) else f"{_exact(self.low)}<="
        return f"{above}{self.metric}<={_exact(self.high)}"


def _exact(limit: float) -> str:
    return f"{limit:.0f}" if limit.is_integer() and abs(limit) < 1e15 else repr(limit)


def parse_bands(text: str) -> tuple[Band, ...]:
    """Bands joined by commas, all of which must be kept; none for an empty text.

    Raises:
        ConfigError: One cannot be read.
    """
    return tuple(Band.parse(part) for part in text.split(",")) if text.strip() else ()


def beyond(bands: Sequence[Band], figures: Mapping[str, float]) -> float:
    """How far outside of all bands figures lie, added up; 0 if they keep them."""
    return sum(band.distance(figures) for band in bands)
