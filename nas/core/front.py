"""The Pareto front: what is left when everything that something else beats is gone."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from nas.core.architecture import FORMAT, Candidate
from nas.core.canonical import plain
from nas.core.objective import Objective

REFERENCE_MARGIN = 0.1
"""How far beyond the worst cost seen the default reference point lies, as a fraction of range."""


@dataclass(frozen=True)
class Point:
    """A candidate with its figures."""

    candidate: Candidate
    figures: Mapping[str, float]
    tags: Mapping[str, Any] = field(default_factory=dict)


def dominates(a: Sequence[float], b: Sequence[float]) -> bool:
    """Whether costs `a` are nowhere worse than `b` and somewhere better."""
    return all(x <= y for x, y in zip(a, b, strict=True)) and any(
        x < y for x, y in zip(a, b, strict=True)
    )


class Front:
    """The non-dominated feasible points of what was added, kept incrementally.

    Of several points with equal costs the one with the smallest id is kept, so that the front
    does not depend on the order of adding. Adding one point costs time linear in its size.

    Args:
        objectives: At least one.
        points: Points to start with.
    """

    def __init__(self, objectives: Sequence[Objective], points: Iterable[Point] = ()) -> None:
        self.objectives = tuple(objectives)
        self._points: list[tuple[tuple[float, ...], Point]] = []
        self._worst: list[float] = [-math.inf] * len(self.objectives)
        self._best: list[float] = [math.inf] * len(self.objectives)
        for point in points:
            self.add(point)

    def costs(self, figures: Mapping[str, float]) -> tuple[float, ...]:
        """One number per objective, less is better."""
        return tuple(objective.cost(figures) for objective in self.objectives)

    def add(self, point: Point) -> bool:
        """Take `point` in if nothing on the front is as good; tells whether it was taken."""
        if not all(objective.feasible(point.figures) for objective in self.objectives):
            return False
        costs = self.costs(point.figures)
        self._worst = [max(pair) for pair in zip(self._worst, costs, strict=True)]
        self._best = [min(pair) for pair in zip(self._best, costs, strict=True)]
        for other, held in self._points:
            if dominates(other, costs):
                return False
            if other == costs and held.candidate.id <= point.candidate.id:
                return False
        self._points = [(c, p) for c, p in self._points if c != costs and not dominates(costs, c)]
        self._points.append((costs, point))
        self._points.sort(key=lambda item: (item[0], item[1].candidate.id))
        return True

    @property
    def points(self) -> list[Point]:
        """The front, sorted by the first objective's cost."""
        return [point for _, point in self._points]

    def __len__(self) -> int:
        return len(self._points)

    def reference_point(self) -> tuple[float, ...]:
        """Costs a little worse than the worst feasible point ever added, per objective.

        It moves as points are added; for hypervolumes that are to be compared, pass one of
        your own to `hypervolume`.
        """
        point = []
        for best, worst in zip(self._best, self._worst, strict=True):
            spread = worst - best if worst > best else abs(worst) or 1.0
            point.append(worst + REFERENCE_MARGIN * spread)
        return tuple(point)

    def hypervolume(self, reference: Sequence[float] | None = None) -> float:
        """Volume of cost space between the front and `reference` (costs; pymoo's algorithm).

        Zero for an empty front.
        """
        if not self._points:
            return 0.0
        import numpy as np
        from pymoo.indicators.hv import HV

        point = np.array(self.reference_point() if reference is None else reference, dtype=float)
        return float(HV(ref_point=point)(np.array([costs for costs, _ in self._points])))

    def to_dict(self) -> dict[str, Any]:
        """The content of `front.json`; the reference point in the metrics' own directions."""
        reference = self.reference_point() if self._points else ()
        signs = [1.0 if objective.direction == "min" else -1.0 for objective in self.objectives]
        return {
            "format": FORMAT,
            "objectives": [
                {"name": objective.metric, "direction": objective.direction}
                for objective in self.objectives
            ],
            "reference_point": [s * r + 0.0 for s, r in zip(signs, reference, strict=False)],
            "hypervolume": self.hypervolume(),
            "points": [
                {
                    "id": point.candidate.id,
                    **point.candidate.to_dict(),
                    "figures": _finite(point.figures),
                    **({"tags": plain(point.tags)} if point.tags else {}),
                }
                for point in self.points
            ],
        }

    def to_csv(self) -> str:
        """The content of `front.csv`, one point a line: id, scale, recipe, every figure.

        Where a candidate has a recipe of its own, `recipe.KEY` (`recipe.A.B` of what lies deeper)
        is a column; it is empty for those that have not.
        """
        finite = [_finite(point.figures) for point in self.points]
        names = sorted({name for figures in finite for name in figures})
        scales = sorted({name for point in self.points for name in point.candidate.scale})
        recipes = [_recipe(point.candidate) for point in self.points]
        keys = sorted({key for recipe in recipes for key in recipe})
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(["id", "architecture", *scales, *keys, *names])
        for point, recipe, figures in zip(self.points, recipes, finite, strict=True):
            candidate = point.candidate
            scale = [candidate.scale.get(name, "") for name in scales]
            settings = [recipe.get(key, "") for key in keys]
            row = [repr(figures[name]) if name in figures else "" for name in names]
            writer.writerow([candidate.id, candidate.architecture.id, *scale, *settings, *row])
        return text.getvalue()


def _recipe(candidate: Candidate) -> dict[str, Any]:
    """Values of a candidate's own recipe by `recipe.KEY`."""

    def flat(values: Mapping[str, Any], above: str) -> Iterator[tuple[str, Any]]:
        for name, value in values.items():
            if isinstance(value, Mapping):
                yield from flat(value, f"{above}.{name}")
            else:
                yield f"{above}.{name}", value

    recipe = candidate.recipe
    return {} if recipe is None else dict(flat(recipe.to_dict(), "recipe"))


def _finite(figures: Mapping[str, float]) -> dict[str, float]:
    """The figures that JSON can hold, as plain numbers."""
    return {name: plain(value) for name, value in figures.items() if math.isfinite(value)}
