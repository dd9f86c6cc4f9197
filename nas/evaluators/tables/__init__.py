"""Tables of trained architectures: one small module declares each benchmark; no torch here."""

from __future__ import annotations

from nas.evaluators.tables.base import Benchmark, Column, Extra
from nas.evaluators.tables.nasbench101 import NASBENCH101
from nas.evaluators.tables.nasbench201 import NASBENCH201

__all__ = ["BENCHMARKS", "Benchmark", "Column", "Extra"]

BENCHMARKS: tuple[Benchmark, ...] = (NASBENCH201, NASBENCH101)
"""All benchmarks that can be recognised."""
