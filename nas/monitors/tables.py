"""Mixture weights of an `alphas` event as tables, and what can be read off them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from nas.monitors import Event

SKIP = "skip_connect"


@dataclass(frozen=True)
class Table:
    """The mixture weights of one kind of cell.

    Attributes:
        group: The kind of cell.
        rows: Names of the edges.
        columns: Names of all operations that occur.
        values: Weight by row and column; None where an edge lacks the operation.
    """

    group: str
    rows: tuple[str, ...]
    columns: tuple[str, ...]
    values: tuple[tuple[float | None, ...], ...]

    def entropy(self) -> float:
        """Mean over undecided edges of the entropy as a share of its largest value, 0 to 1.

        An edge is undecided if at least two of its weights are above zero; with none left, 0.
        """
        shares = []
        for row in self.values:
            weights = [value for value in row if value is not None]
            live = [value for value in weights if value > 0]
            if len(live) > 1:
                total = sum(live)
                nats = -sum(v / total * math.log(v / total) for v in live)
                shares.append(nats / math.log(len(weights)))
        return sum(shares) / len(shares) if shares else 0.0

    def skips(self) -> int:
        """Edges whose heaviest operation, `none` aside, is the skip connection."""
        count = 0
        for row in self.values:
            live = {
                name: value
                for name, value in zip(self.columns, row, strict=True)
                if value is not None and value > 0 and name != "none"
            }
            count += bool(live) and max(live, key=lambda name: live[name]) == SKIP
        return count

    def payload(self) -> dict[str, Any]:
        """What a painter of heat maps takes."""
        return {
            "group": self.group,
            "rows": list(self.rows),
            "columns": list(self.columns),
            "values": [list(row) for row in self.values],
        }


def tables(event: Event) -> list[Table]:
    """The tables of an `alphas` event, one per group."""
    return [
        _table(group, weights, _names(event.get("operations", []), group, len(weights)), event)
        for group, weights in event["groups"].items()
        if weights
    ]


def _table(
    group: str,
    weights: Sequence[Sequence[float]],
    operations: Sequence[Sequence[str]],
    event: Event,
) -> Table:
    columns = tuple(dict.fromkeys(name for row in operations for name in row))
    values = []
    for names, row in zip(operations, weights, strict=True):
        known = dict(zip(names, map(float, row), strict=True))
        values.append(tuple(known.get(column) for column in columns))
    return Table(group, _rows(event.get("edges", []), group, len(weights)), columns, tuple(values))


def _names(operations: Any, group: str, count: int) -> list[Sequence[str]]:
    mine = operations.get(group, []) if isinstance(operations, Mapping) else operations
    if mine and isinstance(mine[0], str):
        return [mine] * count
    return list(mine)


def _rows(edges: Any, group: str, count: int) -> tuple[str, ...]:
    if isinstance(edges, Mapping):
        mine = list(edges.get(group, []))
    else:
        mine = [edge for edge in edges if edge.startswith(f"{group}/")]
    if len(mine) != count:
        mine = [f"{group}/{index}" for index in range(count)]
    return tuple(mine)
