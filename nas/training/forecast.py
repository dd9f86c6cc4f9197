"""From the losses of a few steps at some rates to the rate worth trying next; no torch.

Jin et al., "AutoLRS: Automatic Learning-Rate Schedule by Bayesian Optimization on the Fly",
ICLR 2021, sections 4.2 and 4.3.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from typing import Any, Final, TypeAlias

import numpy as np

__all__ = ["forecast", "next_place"]

Floats: TypeAlias = np.ndarray[Any, np.dtype[np.float64]]

FEWEST: Final = 4
"""Losses that a curve with three numbers needs."""
ROUNDS: Final = 10
OUTLIERS: Final = 0.03
"""Share of the losses that each round leaves out, of the first half only."""
DECAYS: Final = 200
PLACES: Final = 401
"""Rates that a next one is chosen from."""


def forecast(losses: Sequence[float], after: int) -> float:
    """The loss to expect after so many steps: a exp(b t) + c, b below 0, c no less than 0.

    With fewer than four losses it is their mean.

    Args:
        losses: Of the first steps.
        after: Steps from the beginning, more than there are losses.

    Returns:
        At least 0; infinity if a loss is no number.
    """
    y = np.asarray(losses, dtype=np.float64)
    if not len(y) or not np.isfinite(y).all():
        return math.inf
    if len(y) < FEWEST:
        return float(y.mean())
    x = np.arange(1, len(y) + 1, dtype=np.float64)
    x, y = _without_outliers(x, y)
    best = (math.inf, 0.0)
    # From one step to ten times what was seen for a fall to 1/e: a curve that is straight yet.
    for rate in np.geomspace(1 / (10 * len(losses)), 1.0, DECAYS):
        error, value = _fitted(np.exp(-rate * x), y, math.exp(-rate * after))
        best = min(best, (error, value))
    return max(0.0, best[1])


def _without_outliers(x: Floats, y: Floats) -> tuple[Floats, Floats]:
    """What is left when those farthest from a parabola are left out, again and again."""
    middle = x[len(x) // 2]
    count = round(OUTLIERS * len(x))
    for _ in range(ROUNDS if count else 0):
        distance = np.abs(y - np.polyval(np.polyfit(x, y, 2), x))
        farthest = np.argsort(distance, kind="stable")[-count:]
        keep = np.ones(len(x), dtype=bool)
        keep[farthest[x[farthest] < middle]] = False
        x, y = x[keep], y[keep]
    return x, y


def _fitted(e: Floats, y: Floats, then: float) -> tuple[float, float]:
    """Squared error of the best a e + c, and its value where e is `then`."""
    spread = e - e.mean()
    a = float(spread @ y) / float(spread @ spread)
    c = float(y.mean() - a * e.mean())
    if c < 0:
        a, c = float(e @ y) / float(e @ e), 0.0
    return float(np.square(a * e + c - y).sum()), a * then + c


def next_place(tried: Sequence[tuple[float, float]], kappa: float) -> float:
    """Where in [0, 1] to try next: the least mean less `kappa` deviations of a Gaussian process.

    Args:
        tried: Places and what they gave; infinity counts as the worst number among them.
        kappa: How much not knowing is worth.
    """
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.gaussian_process import GaussianProcessRegressor
    from sklearn.gaussian_process.kernels import ConstantKernel, Matern, WhiteKernel

    x = np.array([[place] for place, _ in tried])
    y = np.array([value for _, value in tried])
    known = y[np.isfinite(y)]
    y[~np.isfinite(y)] = known.max() if len(known) else 0.0
    places = np.linspace(0, 1, PLACES)
    near = np.abs(places[:, None] - x.T).min(axis=1)
    free = places[near >= 1 / (PLACES - 1)]
    # Bounds in units of the whole range: shorter ones would see noise, longer ones nothing.
    kernel = ConstantKernel(1.0, (0.1, 10.0)) * Matern(0.3, (0.1, 2.0), nu=2.5)
    process = GaussianProcessRegressor(
        kernel + WhiteKernel(0.01, (1e-4, 0.5)), normalize_y=bool(np.ptp(y))
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # a bound is as good as a best one
        process.fit(x, y)
        mean, deviation = process.predict(free[:, None], return_std=True)
    return float(free[int(np.argmin(mean - kappa * deviation))])
