"""How much of an exact front a search finds, against what it spends.

`python benchmarks/fronts.py pairwise` minimises (-score, cost) on a landscape of 15,625 members
with interactions between every two edges (`nas.testing.landscapes`), whose front is known by
enumeration; pymoo's own NSGA-II runs beside ours.

`python benchmarks/fronts.py table --table FOLDER` searches fronts of error and parameters, or of
error and a device's latency (`--device pixel3`), on a table of NAS-Bench-201: the share of the
exact front's hypervolume over the epochs spent, mean over seeds with a bootstrap interval of 95 %.
The reference point lies a tenth of its range beyond the worst member that trains at all.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np

from evolution.quality import hypervolume, non_dominated, reference_point
from nas.core.config import RunConfig, parse_assignments
from nas.core.objective import parse_objectives
from nas.core.problem import Problem
from nas.core.work import Evaluate
from nas.strategies import STRATEGIES
from nas.testing.landscapes import Figures, Pairwise, drive

Floats: TypeAlias = np.ndarray[Any, np.dtype[np.float64]]

CHANCE = 0.9
"""Error at which NAS-Bench-201's untrainable members lie on CIFAR-10; they are left out."""


@dataclass(frozen=True)
class Exact:
    """A problem with its answer.

    Attributes:
        problem: What is searched.
        figures: Of an evaluation.
        reference: Of all hypervolumes.
        front: Costs of the exact front (n, m).
        epochs: Of one evaluation.
    """

    problem: Problem
    figures: Figures
    reference: Floats
    front: Floats
    epochs: float

    def share(self, costs: Floats) -> float:
        """Share of the exact hypervolume."""
        return hypervolume(costs, self.reference) / hypervolume(self.front, self.reference)

    def points(self, costs: Floats) -> int:
        """How many of the exact front's points are there."""
        mine = {tuple(row) for row in costs.round(9).tolist()}
        return len(mine & {tuple(row) for row in self.front.round(9).tolist()})


def exact(problem: Problem, figures: Figures, every: Floats, epochs: float) -> Exact:
    return Exact(problem, figures, reference_point(every), every[non_dominated(every)], epochs)


def pairwise(seed: int) -> Exact:
    land = Pairwise(seed)
    return exact(land.problem, land.figures, land.costs, 1.0)


def table(folder: Path, dataset: str, device: str | None) -> Exact:
    from nas.evaluators.table import view_of

    metric = "latency_ms" if device else "params"
    objectives = ("error:min", f"{metric}:min")
    settings: dict[str, Any] = {"dataset": dataset}
    if device:
        settings["latency_device"] = device
    config = RunConfig(
        space="nasbench201", strategy="random", evaluator=f"table:{folder}",
        evaluator_settings=settings, objectives=objectives,
    )  # fmt: skip
    view = view_of(config)
    columns = [view.values("error"), view.values(metric)]
    every = np.stack([column[view.known] for column in columns if column is not None], axis=1)
    every = every[every[:, 0] < CHANCE * every[:, 0].max()]
    error, other = (column for column in columns if column is not None)

    def figures(work: Evaluate) -> dict[str, float]:
        row = view.row(work.candidate)
        return {"error": float(error[row]), metric: float(other[row])}

    space = view.pool or view.table.space
    problem = Problem(space, parse_objectives(objectives), free=view.free)
    return exact(problem, figures, every, view.largest)


def curve(
    case: Exact, strategy: str, settings: dict[str, Any], stops: Sequence[int], seed: int
) -> tuple[list[float], int, int]:
    """Shares at the stops, front points at the last one, different candidates."""
    told = drive(STRATEGIES.get(strategy)(settings), case.problem, case.figures, stops[-1], seed)
    costs = np.array([case.problem.costs(outcome) for outcome in told])
    different = len({outcome.candidate.id for outcome in told})
    return [case.share(costs[:stop]) for stop in stops], case.points(costs), different


def peer(land: int, stops: Sequence[int], seed: int) -> tuple[list[float], int, int]:
    """NSGA-II of pymoo with uniform crossover and random resetting, duplicates eliminated."""
    from pymoo.algorithms.moo.nsga2 import NSGA2
    from pymoo.core.mutation import Mutation
    from pymoo.core.problem import Problem as PymooProblem
    from pymoo.operators.crossover.ux import UniformCrossover
    from pymoo.operators.sampling.rnd import IntegerRandomSampling
    from pymoo.optimize import minimize

    case, every = pairwise(land), Pairwise(land).costs
    shape = (5,) * 6
    rng = np.random.default_rng(seed)
    rows: list[Any] = []

    class Reset(Mutation):  # type: ignore[misc]
        """Each choice anew with probability 1/6."""

        def _do(self, problem: Any, X: Any, **_: Any) -> Any:  # noqa: N803
            return np.where(rng.random(X.shape) < 1 / 6, rng.integers(5, size=X.shape), X)

    class Land(PymooProblem):  # type: ignore[misc]
        """The landscape as a table."""

        def __init__(self) -> None:
            super().__init__(n_var=6, n_obj=2, xl=0, xu=4, vtype=int)

        def _evaluate(self, X: Any, out: Any, *_: Any, **__: Any) -> None:  # noqa: N803
            index = np.ravel_multi_index(tuple(X.astype(int).T), shape)
            rows.extend(index.tolist())
            out["F"] = every[index]

    algorithm = NSGA2(
        pop_size=50, sampling=IntegerRandomSampling(), crossover=UniformCrossover(),
        mutation=Reset(), eliminate_duplicates=True,
    )  # fmt: skip
    minimize(Land(), algorithm, ("n_eval", stops[-1]), seed=seed, verbose=False)
    costs = every[rows[: stops[-1]]]
    different = len(set(rows[: stops[-1]]))
    return [case.share(costs[:stop]) for stop in stops], case.points(costs), different


def interval(values: Floats) -> tuple[float, float]:
    """Bootstrap interval of the mean, 95 %."""
    rng = np.random.default_rng(0)
    means = values[rng.integers(len(values), size=(2000, len(values)))].mean(axis=1)
    low, high = np.quantile(means, [0.025, 0.975])
    return float(low), float(high)


def show(title: str, runs: Callable[[int], tuple[list[float], int, int]], seeds: int) -> None:
    found = [runs(seed) for seed in range(seeds)]
    shares = np.array([shares for shares, _, _ in found])
    cells = []
    for column in shares.T:
        low, high = interval(column)
        cells.append(f"{column.mean():.4f} ({low:.4f} to {high:.4f}; least {column.min():.4f})")
    points = [points for _, points, _ in found]
    different = np.mean([different for _, _, different in found])
    spread = f"{np.mean(points):.1f} ({min(points)} to {max(points)})"
    print(f"| {title} | " + " | ".join(cells) + f" | {spread} | {different:.0f} |", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", choices=("pairwise", "table"))
    parser.add_argument("--table", type=Path, help="folder of the table")
    parser.add_argument("--dataset", default="cifar10")
    parser.add_argument("--device", help="front of error and this device's latency")
    parser.add_argument(
        "--strategies", default="nsga2,random", help="NAME or NAME:KEY=VALUE;KEY=VALUE, with commas"
    )
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--stops", default="", help="numbers of evaluations, with commas")
    parser.add_argument("--land", type=int, default=0, help="seed of the landscape")
    options = parser.parse_args()
    if options.what == "table" and options.table is None:
        parser.error("table needs --table FOLDER")
    if options.what == "pairwise":
        case, stops = pairwise(options.land), [250, 500, 1000, 3000]
    else:
        case = table(options.table, options.dataset, options.device)
        stops = [50, 100, 200, 400, 800]
    stops = [int(stop) for stop in options.stops.split(",")] if options.stops else stops
    print(
        f"{len(case.front)} points on the exact front; share of its hypervolume, {options.seeds}"
        " seeds: mean (95 % interval; least)\n"
    )
    heads = [
        f"{stop} evaluations" + ("" if case.epochs == 1 else f", {stop * case.epochs:,.0f} epochs")
        for stop in stops
    ]
    print(f"| strategy | {' | '.join(heads)} | front points at the end | different candidates |")
    print("|---" * (len(stops) + 3) + "|")
    for title in options.strategies.split(","):
        name, _, texts = title.partition(":")
        settings = parse_assignments(texts.split(";") if texts else ())
        runs = partial(curve, case, name, settings, stops)
        show(title, runs, options.seeds)
    if options.what == "pairwise":
        show("pymoo NSGA2", partial(peer, options.land, stops), options.seeds)


if __name__ == "__main__":
    main()
