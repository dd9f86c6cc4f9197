"""What the engine costs per trial, and per outcome in the store.

Run `python benchmarks/engine.py`; `--executors serial,processes,ray` for the others, too, and
`--workers N` for theirs. A cluster or the processes are started before the clock is: the first
batch of evaluations warms them up and is not counted.

The evaluator is a constant, so all time is overhead: the strategy's own (drawing and hashing
candidates) is measured apart and shown beside it. The median and the best of the rounds are
given, and CPU time of this process, as others may share the machine.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable, Generator
from pathlib import Path
from typing import Any

import numpy as np

from nas.core.architecture import Architecture, Candidate
from nas.core.config import RunConfig
from nas.core.problem import Problem
from nas.core.work import Evaluate, Next, Start
from nas.engine.executors.base import Setup
from nas.engine.loop import Stage
from nas.engine.records import Paid
from nas.engine.run import Plan, Run
from nas.engine.store import MEMORY, Store
from nas.testing.toys import toy_problem


def constant(candidate: Candidate, budget: float | None, seed: int) -> dict[str, float]:
    """Figures at no cost."""
    return {"error": 0.5, "params": 1.0}


def candidates(count: int) -> list[Candidate]:
    made = [Candidate(Architecture("toy", {"a": index, "b": "conv"})) for index in range(count)]
    assert len({candidate.id for candidate in made}) == count  # hashing is the strategy's cost
    return made


def trials(folder: Path | None, count: int, executor: str, workers: int) -> tuple[float, float]:
    """Wall and CPU milliseconds (of this process) per trial of a search of `count` evaluations."""
    warm = 0 if executor == "serial" else 20 * workers
    pool = candidates(count + warm)
    clock: list[float] = [time.perf_counter(), time.process_time()]

    def batches(problem: Problem, rng: np.random.Generator, _: Any) -> Generator[Any, Any, Any]:
        for begin in range(0, count, 50):
            yield [Evaluate(candidate, 1.0) for candidate in pool[begin : begin + 50]]

    def stream(problem: Problem, rng: np.random.Generator, _: Any) -> Generator[Any, Any, Any]:
        yield [Evaluate(candidate, 1.0) for candidate in pool[:warm]]
        clock[:] = time.perf_counter(), time.process_time()
        yield Start([Evaluate(candidate, 1.0) for candidate in pool[warm : warm + workers]])
        for candidate in pool[warm + workers :]:
            yield Next()
            yield Start([Evaluate(candidate, 1.0)])
        for _ in range(workers):
            yield Next()
        clock[:] = time.perf_counter() - clock[0], time.process_time() - clock[1]

    config = RunConfig(space="toy", strategy="random", objectives=("error", "params"))
    with Run.create(folder, config) as run:
        stage = Stage("search", stream if warm else batches)
        setup = Setup(evaluator=constant, preload=())
        plan = Plan(toy_problem(), [stage], setup, executor=executor, workers=workers)
        clock[:] = time.perf_counter(), time.process_time()
        result = run.execute(plan)
        if not warm:
            clock[:] = time.perf_counter() - clock[0], time.process_time() - clock[1]
        assert result.status == "done"
        assert len(run.history) == count + warm
    return clock[0] / count * 1e3, clock[1] / count * 1e3


def commits(path: Path | str, count: int) -> tuple[float, float]:
    """Wall and CPU milliseconds per outcome put into a store."""
    paid = []
    for candidate in candidates(count):
        work = Evaluate(candidate, 1.0)
        curve = {"error": [0.5] * 10}
        paid.append((work, Paid(key=work.key, work=work, figures={"error": 0.5}, curve=curve)))
    store = Store(path, create=True)
    wall, cpu = time.perf_counter(), time.process_time()
    for sequence, (work, outcome) in enumerate(paid):
        store.record("search", sequence, work, outcome)
    result = (
        (time.perf_counter() - wall) / count * 1e3,
        (time.process_time() - cpu) / count * 1e3,
    )
    store.close()
    return result


def replay(folder: Path, count: int) -> tuple[float, float]:
    """Wall and CPU milliseconds per trial of going on with a finished run."""
    trials(folder, count, "serial", 1)
    pool = candidates(count)

    def batches(problem: Problem, rng: np.random.Generator, _: Any) -> Generator[Any, Any, Any]:
        for begin in range(0, count, 50):
            yield [Evaluate(candidate, 1.0) for candidate in pool[begin : begin + 50]]

    wall, cpu = time.perf_counter(), time.process_time()
    with Run.resume(folder) as run:
        run.execute(Plan(toy_problem(), [Stage("search", batches)], Setup(evaluator=constant)))
    return (
        (time.perf_counter() - wall) / count * 1e3,
        (time.process_time() - cpu) / count * 1e3,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=2000, help="trials a round")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--executors", default="serial,processes", help="ray is an extra")
    parser.add_argument("--workers", type=int, default=2, help="of all but serial")
    options = parser.parse_args()
    count = options.count
    with tempfile.TemporaryDirectory() as name:
        base = Path(name)
        numbers = iter(range(10**6))

        def new() -> Path:
            return base / str(next(numbers))

        cases: dict[str, Callable[[], tuple[float, float]]] = {
            "trial, in memory": lambda: trials(None, count, "serial", 1),
            "trial, durable": lambda: trials(new(), count, "serial", 1),
            "trial, replayed": lambda: replay(new(), count),
            "outcome into the store, memory": lambda: commits(MEMORY, count),
            "outcome into the store, disk": lambda: commits(new(), count),
        }
        wanted = options.executors.split(",")
        if "serial" not in wanted:
            cases.clear()
        for name in wanted:
            if name != "serial":
                title = f"trial, durable, {options.workers} workers of {name}"
                cases[title] = lambda name=name: trials(new(), count, name, options.workers)
        print(
            f"| ms a trial, {options.rounds} rounds of {count} | wall, median | best | CPU, best |"
        )
        print("|---|---|---|---|")
        for title, case in cases.items():
            case()
            rounds = [case() for _ in range(options.rounds)]
            wall, cpu = zip(*rounds, strict=True)
            figures = (statistics.median(wall), min(wall), min(cpu))
            print(f"| {title} | " + " | ".join(f"{f:.3f}" for f in figures) + " |", flush=True)


if __name__ == "__main__":
    main()
