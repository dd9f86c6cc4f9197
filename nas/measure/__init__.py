"""What a network costs: parameters, multiply-accumulates."""

from __future__ import annotations

from nas.measure.counts import count_macs, count_parameters

__all__ = ["count_macs", "count_parameters"]
