"""How a benchmark is declared: its file, its columns, and which row an architecture is."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from nas.core.architecture import Architecture
from nas.core.space import Space

__all__ = ["Benchmark", "Column", "Extra", "Row"]

Row = Mapping[str, str]
"""A line of the file: column to text."""


@dataclass(frozen=True)
class Column:
    """What a column holds.

    Attributes:
        name: In the header.
        metric: The figure it gives; "error" and "test_error" are made of accuracies.
        low: Least value, in the file's unit.
        high: Largest value.
        unit: The file's number times this is the figure (the accuracy, for errors).
        dataset: Which data it is about; empty for all.
        budget: Epochs trained; None if that does not matter.
        proxy: A score of the untrained network: no figure of an evaluation, but known for free.
    """

    name: str
    metric: str
    low: float
    high: float
    unit: float = 1.0
    dataset: str = ""
    budget: float | None = None
    proxy: bool = False

    @property
    def accuracy(self) -> bool:
        """Whether the figure is one minus the column."""
        return self.metric in ("error", "test_error")

    @property
    def percent(self) -> bool:
        """Whether it holds accuracies from 0 to 100."""
        return self.accuracy and self.high > 1


@dataclass(frozen=True, eq=False)
class Extra:
    """A second file with figures of the same architectures on devices; cells may be empty.

    Attributes:
        folder: Where it lies by default, beside the table's folder.
        file: Its name.
        key_columns: Columns that `key` reads.
        key: Row to key, as in the table.
        columns: Device to the columns that it has, (name, metric, unit) each.
    """

    folder: str
    file: str
    key_columns: tuple[str, ...]
    key: Callable[[Row], str]
    columns: Mapping[str, Sequence[tuple[str, str, float]]]


@dataclass(frozen=True, eq=False)
class Benchmark:
    """A published table.

    Attributes:
        name: What messages call it.
        file: Name of the file by which a folder is recognised.
        rows: How many rows it has.
        space: Registered space of its architectures.
        columns: What is read of it.
        key_columns: Columns that `row_key` reads.
        row_key: Key of a row; a ValueError says what is wrong with it.
        row_architecture: The architecture of a row.
        key: Key of an architecture.
        whole: Whether every architecture of the space is in the table.
        verify: Every so many rows, `key(row_architecture(row))` is compared with `row_key(row)`
            when the table is opened.
        extra: The file of devices, if there is one.
        source: Who made it.
    """

    name: str
    file: str
    rows: int
    space: str
    columns: tuple[Column, ...]
    key_columns: tuple[str, ...]
    row_key: Callable[[Row], str]
    row_architecture: Callable[[Space, Row], Architecture]
    key: Callable[[Space, Architecture], str]
    whole: bool
    verify: int
    extra: Extra | None = None
    source: str = ""

    @property
    def datasets(self) -> tuple[str, ...]:
        """Data sets that it has figures of, the default first."""
        return tuple(dict.fromkeys(c.dataset for c in self.columns if c.dataset))

    def budgets(
        self, dataset: str, metric: Literal["error", "test_error"] = "error"
    ) -> list[float]:
        """Epochs at which there are figures, ascending."""
        return sorted(
            c.budget
            for c in self.columns
            if c.budget is not None and c.dataset == dataset and c.metric == metric
        )
