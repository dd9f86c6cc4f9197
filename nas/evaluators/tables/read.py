"""Reading a table and checking it: everything that is wrong with it is said before work starts."""

from __future__ import annotations

import csv
import gzip
import io
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any, Final

import numpy as np

from nas.core.architecture import Architecture
from nas.core.errors import DataError, SpaceError
from nas.core.space import Space
from nas.evaluators.tables import BENCHMARKS, Benchmark, Column
from nas.evaluators.tables.base import Row
from search_spaces import get_space

__all__ = ["Table", "read_devices", "read_table"]

Values = np.ndarray[Any, np.dtype[np.float64]]

LARGEST_FILE: Final = 256 * 2**20
"""Bytes of text; a larger file is none of the known tables."""

_DECIMALS: Final = 12
"""Figures are rounded to so many, those in millions to half of it: what is a decimal number in the
file then is one in the figures, too."""


@dataclass(frozen=True, eq=False)
class Table:
    """A benchmark's rows as columns of numbers.

    Attributes:
        benchmark: What it is.
        folder: Where it was read.
        rows: Key to number of the row.
        figures: Column's name to figures ``(rows,)``; errors are fractions from 0 to 1.
    """

    benchmark: Benchmark
    folder: Path
    rows: Mapping[str, int]
    figures: Mapping[str, Values]
    _lines: Mapping[str, Sequence[str]]

    @cached_property
    def space(self) -> Space:
        """The space whose members the rows are."""
        return get_space(self.benchmark.space)

    @cached_property
    def architectures(self) -> tuple[Architecture, ...]:
        """The architecture of every row, in the rows' order.

        Raises:
            DataError: A row is no member of the space.
        """
        return tuple(self._architecture(number) for number in range(len(self.rows)))

    def row(self, architecture: Architecture) -> int | None:
        """Number of the architecture's row; None if the table does not hold it."""
        return self.rows.get(self.benchmark.key(self.space, architecture))

    def columns(self, dataset: str) -> list[Column]:
        """What there is to read of one data set."""
        return [c for c in self.benchmark.columns if c.dataset in ("", dataset)]

    def column(self, metric: str, dataset: str, budget: float) -> Values | None:
        """Figures ``(rows,)`` of a metric at a budget; None if the table has none."""
        for column in self.columns(dataset):
            if column.metric == metric and column.budget in (None, budget):
                return self.figures[column.name]
        return None

    def _architecture(self, number: int) -> Architecture:
        row = {name: texts[number] for name, texts in self._lines.items()}
        try:
            return self.benchmark.row_architecture(self.space, row)
        except SpaceError as error:
            raise _wrong(
                self._path, f"row {number + 1} is no member of {self.space.name}: {error.message}"
            ) from None
        except KeyError as error:
            raise _wrong(self._path, f"it has no column {error.args[0]!r}") from None

    @property
    def _path(self) -> Path:
        return self.folder / self.benchmark.file

    def verify(self, step: int) -> None:
        """Compare keys of every `step`-th row with those of its architecture.

        Raises:
            DataError: They differ.
        """
        keys = list(self.rows)
        for number in range(0, len(keys), step):
            architecture = self._architecture(number)
            if self.benchmark.key(self.space, architecture) != keys[number]:
                raise _wrong(
                    self._path, f"row {number + 1} has the key {keys[number]!r} of another cell"
                )


def read_table(folder: str) -> Table:
    """Read the table in a folder, or the one read before if its file has not changed.

    Raises:
        DataError: There is none, it cannot be read, or something is wrong with it.
    """
    place = Path(folder).expanduser()
    benchmark = _recognise(place)
    path = place / benchmark.file
    return _read(benchmark, path, *_stamp(path))


def read_devices(table: Table, path: Path, device: str) -> dict[str, Values]:
    """Metric to figures ``(rows,)`` of one device; NaN where they are not known.

    Args:
        table: Whose rows they are of.
        path: The file.
        device: One of the benchmark's.

    Raises:
        DataError: The file cannot be read, or does not hold the table's architectures.
    """
    extra = table.benchmark.extra
    assert extra is not None
    rows, values = _read_extra(table.benchmark, path, *_stamp(path))
    if rows.keys() != table.rows.keys():
        raise _wrong(path, f"its {len(rows):,} rows are not those of {table.benchmark.name}")
    order = np.array([rows[key] for key in table.rows])
    return {metric: values[name][order] for name, metric, _ in extra.columns[device]}


def _recognise(folder: Path) -> Benchmark:
    known = ", ".join(benchmark.file for benchmark in BENCHMARKS)
    if not folder.is_dir():
        what = "is no folder" if folder.exists() else "does not exist"
        raise DataError(f"table {str(folder)!r} {what}", f"name a folder that holds {known}")
    for benchmark in BENCHMARKS:
        if (folder / benchmark.file).is_file():
            return benchmark
    raise DataError(f"{str(folder)!r} holds no known table", f"expected {known} in it")


def _stamp(path: Path) -> tuple[int, int]:
    try:
        status = path.stat()
    except OSError as error:
        raise DataError(f"table {str(path)!r}: {error.strerror}", "check the path") from None
    return status.st_size, status.st_mtime_ns


@lru_cache(maxsize=8)
def _read(benchmark: Benchmark, path: Path, size: int, changed: int) -> Table:
    lines = _lines(path)
    _require(path, lines, [*benchmark.key_columns, *(c.name for c in benchmark.columns)])
    rows = _keys(path, lines, benchmark.rows, benchmark.key_columns, benchmark.row_key)
    figures = {c.name: _figures(path, lines[c.name], c) for c in benchmark.columns}
    text = {name: texts for name, texts in lines.items() if name not in figures}
    table = Table(benchmark, path.parent, rows, figures, text)
    table.verify(benchmark.verify)
    return table


@lru_cache(maxsize=4)
def _read_extra(
    benchmark: Benchmark, path: Path, size: int, changed: int
) -> tuple[Mapping[str, int], Mapping[str, Values]]:
    extra = benchmark.extra
    assert extra is not None
    lines = _lines(path)
    columns = [column for group in extra.columns.values() for column in group]
    _require(path, lines, [*extra.key_columns, *(name for name, _, _ in columns)])
    rows = _keys(path, lines, benchmark.rows, extra.key_columns, extra.key)
    values = {}
    for name, metric, unit in columns:
        numbers = _numbers(path, name, lines[name], empty=True)
        if (numbers <= 0).any():
            raise _wrong(path, f"a {metric} of {name} is not positive")
        values[name] = np.round(numbers * unit, _DECIMALS)
    return rows, values


def _lines(path: Path) -> dict[str, list[str]]:
    """Header name to the column's texts."""
    try:
        with gzip.open(path, "rb") as handle:
            content = handle.read(LARGEST_FILE + 1)
        if len(content) > LARGEST_FILE:
            raise _wrong(path, f"it is larger than {LARGEST_FILE:,} bytes")
        lines = list(csv.reader(io.StringIO(content.decode("utf-8"))))
    except (OSError, EOFError, zlib.error, UnicodeDecodeError, csv.Error) as error:
        reason = getattr(error, "strerror", None) or error
        raise DataError(f"table {str(path)!r} cannot be read: {reason}", "fetch it anew") from None
    header, body = (lines[0], lines[1:]) if lines else ([], [])
    if len(set(header)) < len(header) or not header:
        raise _wrong(path, "its header is empty or names a column twice")
    for number, line in enumerate(body, 1):
        if len(line) != len(header):
            raise _wrong(path, f"row {number} has {len(line)} cells, expected {len(header)}")
    texts = zip(*body, strict=True) if body else ([] for _ in header)
    return dict(zip(header, map(list, texts), strict=True))


def _require(path: Path, lines: Mapping[str, Sequence[str]], names: Sequence[str]) -> None:
    lacking = [name for name in names if name not in lines]
    if lacking:
        raise _wrong(path, f"it has no column {lacking[0]!r}")


def _keys(
    path: Path,
    lines: Mapping[str, Sequence[str]],
    expected: int,
    names: Sequence[str],
    key_of: Callable[[Row], str],
) -> dict[str, int]:
    """Key to number of the row."""
    found = len(lines[names[0]])
    if found != expected:
        raise _wrong(path, f"it has {found:,} rows, expected {expected:,}")
    rows: dict[str, int] = {}
    for number, cells in enumerate(zip(*(lines[name] for name in names), strict=True)):
        try:
            key = key_of(dict(zip(names, cells, strict=True)))
        except ValueError as error:
            raise _wrong(path, f"row {number + 1} is no known architecture: {error}") from None
        if key in rows:
            raise _wrong(path, f"rows {rows[key] + 1} and {number + 1} are the same: {key}")
        rows[key] = number
    return rows


def _figures(path: Path, texts: Sequence[str], column: Column) -> Values:
    numbers = _numbers(path, column.name, texts, empty=False)
    outside = ~((numbers >= column.low) & (numbers <= column.high))
    if outside.any():
        row = int(np.argmax(outside))
        raise _wrong(
            path,
            f"{column.name} of row {row + 1} is {texts[row]},"
            f" expected {column.low:g} to {column.high:g}",
        )
    if column.percent and numbers.max() <= 1:
        raise _wrong(
            path, f"{column.name} is at most {numbers.max():g}: fractions, expected per cent"
        )
    scaled = numbers * column.unit
    decimals = _DECIMALS if column.unit <= 1 else _DECIMALS // 2
    return np.round(1.0 - scaled if column.accuracy else scaled, decimals)


def _numbers(path: Path, name: str, texts: Sequence[str], *, empty: bool) -> Values:
    try:
        numbers = np.array([float(text) if text else np.nan for text in texts], np.float64)
    except ValueError as error:
        raise _wrong(path, f"a cell of {name} is no number: {error}") from None
    bad = np.isinf(numbers) if empty else ~np.isfinite(numbers)
    if empty:
        bad |= np.isnan(numbers) & np.array([bool(text) for text in texts])
    if bad.any():
        row = int(np.argmax(bad))
        got = repr(texts[row]) if texts[row] else "empty"
        raise _wrong(path, f"{name} of row {row + 1} is {got}")
    return numbers


def _wrong(path: Path, what: str) -> DataError:
    return DataError(f"table {str(path)!r} is damaged: {what}", "fetch it anew")
