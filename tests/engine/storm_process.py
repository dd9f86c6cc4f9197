"""A search that is to be killed from all sides, in a process of its own; not a test.

Arguments: folder, executor, number of evaluations, seconds that each takes, address of a cluster
("-" for none). Sessions are called in between. Begins the run, or goes on with it.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Generator, Mapping
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from nas.core.config import RunConfig
from nas.core.problem import Problem
from nas.core.protocols import Context, Reply
from nas.core.work import Call, Evaluate
from nas.engine.executors.base import Setup
from nas.engine.loop import Stage
from nas.engine.run import Plan, Run
from nas.testing.toys import ToySession, toy_figures, toy_problem

BATCH = 20
ATTEMPTS = 100


def note(spec: Mapping[str, Any]) -> None:
    """Say which process works."""
    (Path(str(spec["folder"])).parent / f"worker-{os.getpid()}").touch()


class Noting:
    """An evaluator that takes a while."""

    reports: ClassVar[tuple[str, ...]] = ("error", "params")

    def __init__(self, spec: Mapping[str, Any]) -> None:
        self._spec = spec

    def evaluate(self, work: Evaluate, context: Context) -> Reply:
        """Figures, some time later."""
        note(self._spec)
        time.sleep(float(self._spec["seconds"]))
        return Reply(toy_figures(work.candidate, work.budget, context.seed))


class NotingSession(ToySession):
    """A session that says which process holds it, and takes a while."""

    def __init__(self, spec: Mapping[str, Any], context: Context) -> None:
        super().__init__(spec, context)
        self._noted = spec

    def call(self, method: str, arguments: Mapping[str, Any], context: Context) -> Reply:
        """As the toy's, some time later."""
        note(self._noted)
        time.sleep(float(self._noted["seconds"]))
        return super().call(method, arguments, context)


def rounds(count: int) -> Any:
    """A conversation of `count` evaluations in batches, with a call to a session in each."""

    def run(problem: Problem, rng: np.random.Generator, _: Any) -> Generator[Any, Any, Any]:
        looks = []
        for begin in range(0, count, BATCH):
            size = min(BATCH, count - begin)
            works = [Evaluate(c, float(begin + 1)) for c in problem.sample(size, rng)]
            *_told, look = yield [*works, Call("net", "train", epochs=1)]
            looks.append(look.value)
        return {"looks": looks}

    return run


def main() -> int:
    """Begin, or go on."""
    folder, executor, address = Path(sys.argv[1]), sys.argv[2], sys.argv[5].strip("-")
    count, seconds = int(sys.argv[3]), float(sys.argv[4])
    config = RunConfig(space="toy", strategy="random", objectives=("error", "params"))
    run = Run.resume(folder) if (folder / "run.json").exists() else Run.create(folder, config)
    sys.path.insert(0, str(Path(__file__).parent))
    spec = {"seconds": seconds, "folder": str(folder), "seed": 1}
    setup = Setup(
        evaluator="storm_process:Noting",
        spec=spec,
        sessions={"net": "storm_process:NotingSession"},
        attempts=ATTEMPTS,
        address=address,
        preload=(),
    )
    print("begun", flush=True)
    stage = Stage("search", rounds(count))
    result = run.execute(Plan(toy_problem(), [stage], setup, executor=executor, workers=2))
    run.close()
    return result.exit_code


if __name__ == "__main__":
    sys.exit(main())
