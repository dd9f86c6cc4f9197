"""A search in a process of its own, to be killed and signalled; not a test.

Arguments: folder, executor, strategy, seconds that each evaluation takes. Begins the run, or goes
on with it. Exits with the result's code; its last line names the resuming command.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Generator, Mapping
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from nas.core.config import RunConfig
from nas.core.errors import Interrupted
from nas.core.problem import Problem
from nas.core.protocols import Context, Reply
from nas.core.work import Call, Evaluate
from nas.engine.budget import Budget
from nas.engine.executors.base import Setup
from nas.engine.loop import Stage
from nas.engine.run import Plan, Run
from nas.strategies.base import Strategy
from nas.strategies.random import Random
from nas.testing.toys import Alternating, toy_figures, toy_problem


class Slow:
    """Takes a while, which can be interrupted unless it is "deaf"; notes its process."""

    reports: ClassVar[tuple[str, ...]] = ("error", "params")

    def __init__(self, spec: Mapping[str, Any]) -> None:
        self._seconds = float(spec["seconds"])
        self._deaf = bool(spec["deaf"])
        self._folder = Path(str(spec["folder"]))

    def evaluate(self, work: Evaluate, context: Context) -> Reply:
        """Figures, some time later."""
        (self._folder.parent / f"worker-{os.getpid()}").touch()
        end = time.monotonic() + self._seconds
        while time.monotonic() < end:
            time.sleep(0.001)
            if context.should_stop() and not self._deaf:
                raise Interrupted
        return Reply(toy_figures(work.candidate, work.budget, context.seed))


class Batches(Strategy):
    """Sessions and evaluations in batches only, so that its log is the same on any executor."""

    sessions: ClassVar[Mapping[str, str]] = Alternating.sessions

    def run(self, problem: Problem, rng: np.random.Generator) -> Generator[Any, Any, Any]:
        """Train, look, decide, evaluate."""
        best = []
        for step in range(4):
            calls = [Call(name, "train", epochs=step + 1) for name in self.sessions]
            looks = yield [*calls, *(Call(name, "look") for name in self.sessions)]
            (edge,) = yield [Call("critic", "fix", edge=f"{step}")]
            count = 2 + int(abs(100 * looks[-1].value["noise"])) % 3 + len(edge.value) % 2
            told = yield [Evaluate(c, float(step)) for c in problem.sample(count, rng)]
            best.append(problem.best(told).candidate)
        return best


STRATEGIES = {
    "batches": Batches(),
    "alternating": Alternating(),
    "random": Random({"batch": 4}),
}


def main() -> int:
    """Begin, or go on."""
    folder, executor, name, seconds = Path(sys.argv[1]), sys.argv[2], sys.argv[3], sys.argv[4]
    deaf = "deaf" in sys.argv
    grace = 0.2 if "hasty" in sys.argv else 30.0
    config = RunConfig(
        space="toy",
        strategy=name,
        objectives=("error", "params"),
        evaluator="slow",
        budget="40evaluations",
    )
    there = (folder / "run.json").exists()
    run = Run.resume(folder) if there else Run.create(folder, config)
    strategy = STRATEGIES[name]
    stage = Stage("search", lambda p, r, _: strategy.run(p, r), Budget.parse(run.config.budget))
    spec = {"seconds": float(seconds), "deaf": deaf, "folder": str(folder), "seed": 1}
    setup = Setup(evaluator=Slow, spec=spec, sessions=strategy.sessions, preload=())
    problem = toy_problem()
    print("begun", flush=True)
    result = run.execute(Plan(problem, [stage], setup, executor=executor, workers=2, grace=grace))
    found = [entry.candidate.id for entry in result.front]
    run.close()
    print(json.dumps({"status": result.status, "front": found}))
    print(result.resume_command)
    return result.exit_code


if __name__ == "__main__":
    sys.exit(main())
