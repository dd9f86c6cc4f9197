"""Geometry of a NAS-Bench-201 network; no torch here."""

from __future__ import annotations

__all__ = ["NODES", "STAGES"]

STAGES = 3
"""Stages of equal resolution; each has twice the channels of the one before."""

NODES = (1, 2, 3)
"""The nodes of a cell that have incoming edges; node 0 is the input, node 3 the output."""
