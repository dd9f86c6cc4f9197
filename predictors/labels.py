"""What predictors learn from, and what they say: plain arrays, torch-free."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = ["Floats", "Labels", "Prediction"]

Floats: TypeAlias = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Labels:
    """Readings of some architectures.

    Attributes:
        values: Costs ``(n,)``: less is better, e.g. validation errors. What is not finite, such
            as the reading of a failed training, is left out by every predictor.
        levels: Fidelity level of each reading ``(n,)``, integers; a higher one was trained
            longer. All 0 if it is not given.
        reliability: For each level ``(levels,)``, how far its order agrees with that of full
            training, in [0, 1]; None if that is not known.
        readings: All readings of each, on the way to the one above too ``(n, levels)``, NaN where
            there is none; None if nothing but the last one is known.

    Raises:
        ValueError: The lengths do not fit, a level is negative or has no reliability, or a
            reliability is outside [0, 1].
    """

    values: Floats
    levels: NDArray[np.int64] = None  # type: ignore[assignment]
    reliability: Floats | None = None
    readings: Floats | None = None

    def __post_init__(self) -> None:
        values = np.array(self.values, dtype=np.float64)
        levels = np.zeros(len(values), np.int64) if self.levels is None else np.array(self.levels)
        if values.ndim != 1 or levels.shape != values.shape:
            raise ValueError(f"{values.shape} values have {levels.shape} levels, expected (n,)")
        if levels.size and (not np.all(levels == np.floor(levels)) or levels.min() < 0):
            raise ValueError("levels are not integers from 0 on")
        object.__setattr__(self, "values", values)
        object.__setattr__(self, "levels", levels.astype(np.int64))
        if self.reliability is not None:
            reliability = np.array(self.reliability, dtype=np.float64)
            highest = int(levels.max(initial=0))
            if reliability.ndim != 1 or len(reliability) <= highest:
                raise ValueError(f"no reliability for level {highest}: {reliability.shape}")
            if not np.all((reliability >= 0) & (reliability <= 1)):
                raise ValueError(f"a reliability is outside [0, 1]: {reliability}")
            object.__setattr__(self, "reliability", reliability)
        if self.readings is not None:
            readings = np.array(self.readings, dtype=np.float64)
            if readings.ndim != 2 or len(readings) != len(values):
                raise ValueError(f"readings are {readings.shape}, expected ({len(values)}, levels)")
            if readings.shape[1] <= levels.max(initial=0):
                raise ValueError(f"no readings of level {levels.max()}: {readings.shape}")
            object.__setattr__(self, "readings", readings)

    @classmethod
    def of(cls, labels: Labels | ArrayLike) -> Labels:
        """`labels` itself, or the labels of one level with these values."""
        return labels if isinstance(labels, Labels) else cls(np.asarray(labels, np.float64))

    def __len__(self) -> int:
        """Number of readings."""
        return len(self.values)

    def at(self, rows: NDArray[np.int64] | NDArray[np.bool_]) -> Labels:
        """Those of some rows."""
        readings = None if self.readings is None else self.readings[rows]
        return Labels(self.values[rows], self.levels[rows], self.reliability, readings)

    @property
    def history(self) -> Floats:
        """Readings ``(n, levels)`` on each level, NaN where there is none."""
        if self.readings is not None:
            return self.readings
        table = np.full((len(self), int(self.levels.max(initial=0)) + 1), np.nan)
        table[np.arange(len(self)), self.levels] = self.values
        return table

    def by_level(self) -> list[tuple[NDArray[np.int64], Labels]]:
        """Which rows to learn from and what they read, level by level, the highest last.

        Of each level all readings are there, those on the way to a higher one, too; levels without
        two different readings are left out. Where it is not known what each was read for on its
        way, everything is told at once. All readings of what is told are finite if `values` are.
        """
        found = []
        for column in () if self.readings is None else self.readings.T:
            (rows,) = np.nonzero(np.isfinite(column))
            if len(np.unique(column[rows])) > 1:
                found.append((rows.astype(np.int64), Labels(column[rows])))
        return found or [(np.arange(len(self)), self)]

    @property
    def usable(self) -> NDArray[np.bool_]:
        """Which readings are finite ``(n,)``."""
        return np.isfinite(self.values)

    def ranks(self) -> Floats:
        """Place of every reading in the order of the pair rule ``(n,)``, 0 best to 1 worst.

        A higher level comes before a lower one; on one level the lower cost comes first, and
        equal ones share their mean place. This is how what can only regress is told of several
        levels. Readings that are not finite get NaN.
        """
        result = np.full(len(self), np.nan)
        (known,) = np.nonzero(self.usable)
        if len(known) < 2:
            result[known] = 0.5
            return result
        keys = np.stack([-self.levels[known].astype(np.float64), self.values[known]], 1)
        _, group, counts = np.unique(keys, axis=0, return_inverse=True, return_counts=True)
        places = np.cumsum(counts) - (counts + 1) / 2
        result[known] = places[group.reshape(-1)] / (len(known) - 1)
        return result


@dataclass(frozen=True, eq=False)
class Prediction:
    """What a predictor expects of some architectures.

    Attributes:
        mean: Expectation ``(n,)``; less is better. In the units of the labels' values for a
            regressor told of one level, otherwise of its score.
        std: Its standard deviation ``(n,)`` in the same units; 0 where the predictor knows none.
    """

    mean: Floats
    std: Floats
