"""What a framework costs per evaluation, ours and Optuna's, taking turns in one process.

Run `python benchmarks/overhead.py`; it needs optuna (`pip install optuna`), or `--ours` to leave it
out. The objective is that of `benchmarks/fronts.py` (15,625 members, two objectives), known in a
few microseconds, so all time is the framework's: proposing, recording, telling. Wall and CPU
milliseconds per evaluation, the best and the median of the rounds; `--growth N` gives them for each
tenth of one long search instead, which shows whether the cost grows with the history; its space
has 6 billion members, as a small one would be exhausted. Each case runs once before it counts.
"""

from __future__ import annotations

import argparse
import importlib.util
import statistics
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Generator
from itertools import pairwise
from pathlib import Path
from typing import Any, Final

import numpy as np

from nas.core.architecture import Candidate
from nas.core.config import RunConfig
from nas.core.problem import Problem
from nas.core.work import Evaluate
from nas.engine.budget import Budget
from nas.engine.executors.base import Setup
from nas.engine.loop import Stage
from nas.engine.run import Plan, Run
from nas.strategies import STRATEGIES
from nas.testing.landscapes import OPERATIONS, PRICES, Pairwise, PairwiseSpace

GROWN: Final = 14
"""Edges of the space of `--growth`, of which no search sees a part worth mentioning."""

NEEDS = "this comparison needs optuna (pip install optuna); --ours leaves it out"
Times = list[tuple[float, float]]
"""Wall and CPU clock, read now and then."""


def clock() -> tuple[float, float]:
    return time.perf_counter(), time.process_time()


class Wide:
    """A sum over many edges against a price, in a space too large to be exhausted."""

    def __init__(self) -> None:
        self._scores = np.random.default_rng(0).normal(size=(GROWN, OPERATIONS)).tolist()
        self.problem = Problem(PairwiseSpace(GROWN), Pairwise().problem.objectives)

    def figures(self, work: Evaluate) -> dict[str, float]:
        """Score and cost of a candidate."""
        values = [int(str(v)[1:]) for v in work.candidate.architecture.choices.values()]
        scores = [row[value] for row, value in zip(self._scores, values, strict=True)]
        return {"score": sum(scores), "cost": sum(PRICES[value] for value in values)}


Land = Pairwise | Wide


def ours(land: Land, strategy: str, folder: Path | None, count: int, parts: int) -> Times:
    """A search by our engine, serial; the clock at every part of it."""
    kind = STRATEGIES.get(strategy)()
    marks: Times = []

    def figures(candidate: Candidate, budget: float | None, seed: int) -> dict[str, float]:
        return land.figures(Evaluate(candidate))

    def watched(problem: Problem, rng: np.random.Generator, _: Any) -> Generator[Any, Any, Any]:
        generator, answer, told = kind.run(problem, rng), None, 0
        while True:
            request = generator.send(answer)
            answer = yield request
            told += len(answer)
            while len(marks) - 1 < parts and told >= len(marks) * count // parts:
                marks.append(clock())

    objectives = tuple(map(str, land.problem.objectives))
    config = RunConfig(space="pairwise", strategy=strategy, objectives=objectives)
    with Run.create(folder, config) as run:
        plan = Plan(
            land.problem,
            [Stage("search", watched, Budget.parse(f"{count + 200}evaluations"))],
            Setup(evaluator=figures, preload=()),
        )
        marks.append(clock())
        run.execute(plan)
    return marks


def theirs(land: Land, sampler: str, storage: str, folder: Path, count: int, parts: int) -> Times:
    """The same by Optuna."""
    import optuna
    from optuna.storages import JournalStorage
    from optuna.storages.journal import JournalFileBackend

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    samplers: dict[str, Callable[[], Any]] = {
        "random": lambda: optuna.samplers.RandomSampler(seed=0),
        "nsga2": lambda: optuna.samplers.NSGAIISampler(seed=0, population_size=50),
    }
    places: dict[str, Callable[[], Any]] = {
        "memory": lambda: None,
        "journal": lambda: JournalStorage(JournalFileBackend(str(folder / "journal.log"))),
        "sqlite": lambda: f"sqlite:///{folder}/optuna.db",
    }
    marks: Times = []
    options = [f"o{index}" for index in range(OPERATIONS)]
    space = land.problem.space
    names = [choice.name for choice in space.tree.choices]

    def objective(trial: Any) -> tuple[float, float]:
        choices = {name: trial.suggest_categorical(name, options) for name in names}
        found = land.figures(Evaluate(Candidate(space.architecture(choices))))
        return found["score"], found["cost"]

    def mark(study: Any, trial: Any) -> None:
        if len(marks) - 1 < parts and trial.number + 1 >= len(marks) * count // parts:
            marks.append(clock())

    study = optuna.create_study(
        directions=["maximize", "minimize"], sampler=samplers[sampler](), storage=places[storage]()
    )
    marks.append(clock())
    study.optimize(objective, n_trials=count, callbacks=[mark])
    return marks


def cases(
    land: Land, count: int, parts: int, with_optuna: bool, slow: int
) -> dict[str, Callable[[], Times]]:
    def temporary(case: Callable[[Path], Times]) -> Times:
        with tempfile.TemporaryDirectory() as name:
            return case(Path(name))

    result: dict[str, Callable[[], Times]] = {}
    for name in ("random", "nsga2"):
        result[f"ours, {name}, in memory"] = lambda n=name: ours(land, n, None, count, parts)
        result[f"ours, {name}, durable"] = lambda n=name: temporary(
            lambda folder: ours(land, n, folder / "run", count, parts)
        )
        for storage in ("memory", "journal", "sqlite") if with_optuna else ():
            amount = slow if storage == "sqlite" else count
            result[f"optuna, {name}, {storage}"] = lambda n=name, s=storage, a=amount: temporary(
                lambda folder: theirs(land, n, s, folder, a, parts)
            )
    return result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=1000, help="evaluations a round")
    parser.add_argument("--slow", type=int, default=200, help="the same for Optuna in SQLite")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--growth", type=int, default=0, help="evaluations of one long search")
    parser.add_argument("--ours", action="store_true", help="leave Optuna out")
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    if not options.ours and importlib.util.find_spec("optuna") is None:
        sys.exit(NEEDS)
    if options.growth:
        growth(options.growth, not options.ours)
        return
    table = cases(Pairwise(), options.count, 1, not options.ours, options.slow)
    taken: dict[str, Times] = {title: [] for title in table}
    for case in cases(Pairwise(), 100, 1, not options.ours, 5).values():
        case()  # what is imported on first use is no cost of an evaluation
    for _ in range(options.rounds):
        for title, case in table.items():
            evaluations = options.slow if "sqlite" in title else options.count
            (wall, cpu), (wall_end, cpu_end) = case()[:2]
            taken[title].append(
                ((wall_end - wall) / evaluations * 1e3, (cpu_end - cpu) / evaluations * 1e3)
            )
    print(
        f"| ms an evaluation, {options.rounds} rounds of {options.count} | wall, median | best"
        " | CPU, best |"
    )
    print("|---|---|---|---|")
    for title, rounds in taken.items():
        walls, cpus = zip(*rounds, strict=True)
        shown = (statistics.median(walls), min(walls), min(cpus))
        print(f"| {title} | " + " | ".join(f"{value:.3f}" for value in shown) + " |")


def growth(count: int, with_optuna: bool) -> None:
    table = cases(Wide(), count, 10, with_optuna, count)
    print(f"| CPU ms an evaluation, by tenths of {count} | " + " | ".join(map(str, range(1, 11))))
    print("|---" * 11 + "|")
    for title, case in table.items():
        if "sqlite" in title or "journal" in title:
            continue
        marks = case()
        steps = [(b[1] - a[1]) / count * 1e4 for a, b in pairwise(marks)]
        print(f"| {title} | " + " | ".join(f"{step:.3f}" for step in steps) + " |", flush=True)


if __name__ == "__main__":
    main()
