"""Mixtures of one or several variants, prepared for a fast forward pass."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import torch
from torch import Tensor

from search_spaces.supernet import EDGES, Mixture

__all__ = ["Gains", "Places"]


class Places(Protocol):
    """Some places in a flattened mixture table."""

    @property
    def places(self) -> tuple[int, ...]:
        """The places."""
        ...

    def index(self, device: torch.device) -> Tensor:
        """The places as a tensor on a device."""
        ...


class Gains:
    """Mixture weights by group and lane (see ``lanes``), and which of them are zero.

    Args:
        mixtures: One per lane.

    Attributes:
        lanes: Number of lanes.
    """

    def __init__(self, mixtures: Sequence[Mixture]) -> None:
        self.lanes = len(mixtures)
        self._mixtures = mixtures
        self._tables = [
            {group: _with_edges(mixture, group) for group in mixture if not group.endswith(EDGES)}
            for mixture in mixtures
        ]
        self._values: dict[int, list[list[float]]] = {}
        self._vectors: dict[tuple[int, str, tuple[int, ...]], Tensor] = {}

    def columns(self, group: str) -> int:
        """Number of operations of an edge."""
        return self._tables[0][group].shape[1]

    def table(self, lane: int, group: str) -> Tensor:
        """Weights ``(edges, operations)``, those of whole edges multiplied in."""
        return self._tables[lane][group]

    def edges(self, lane: int, group: str) -> Tensor | None:
        """Weights of whole edges ``(edges,)``, if there are any."""
        return self._mixtures[lane].get(group + EDGES)

    def vector(self, lane: int, group: str, places: Places) -> Tensor:
        """Pick weights by place in the flattened table, as one tensor."""
        key = (lane, group, places.places)
        if key not in self._vectors:
            table = self._tables[lane][group]
            self._vectors[key] = table.flatten()[places.index(table.device)]
        return self._vectors[key]

    def masked(self, lane: int, group: str) -> frozenset[tuple[int, int]]:
        """Rows and columns of weights that are zero and constant.

        Only on CPUs: on a GPU the host would have to wait for the values.
        """
        table = self._tables[lane][group]
        if table.is_cuda or (torch.is_grad_enabled() and table.requires_grad):
            return frozenset()
        return frozenset(
            (row, column)
            for row, values in enumerate(self._read(table))
            for column, value in enumerate(values)
            if value == 0.0
        )

    def varied(self, group: str) -> frozenset[int]:
        """Rows that are not the same in all lanes."""
        if self.lanes == 1:
            return frozenset()
        first = self._read(self._tables[0][group])
        others = [self._read(tables[group]) for tables in self._tables[1:]]
        return frozenset(
            row for row, values in enumerate(first) if any(o[row] != values for o in others)
        )

    def row(self, lane: int, group: str, row: int) -> list[float]:
        """Weights of one edge as numbers."""
        return self._read(self._tables[lane][group])[row]

    def _read(self, table: Tensor) -> list[list[float]]:
        if id(table) not in self._values:
            self._values[id(table)] = table.tolist()
        return self._values[id(table)]


def _with_edges(mixture: Mixture, group: str) -> Tensor:
    weights = mixture.get(group + EDGES)
    return mixture[group] if weights is None else mixture[group] * weights.unsqueeze(1)
