"""How long tables take: opening, looking up, and moves within a table that is part of a space.

Run it as OMP_NUM_THREADS=1 python benchmarks/tables.py FOLDER, where FOLDER holds nasbench201,
nasbench101_sample and nb201_latency. The time is the processor's, which a busy machine changes
little.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

import nas
from nas.core.architecture import Candidate
from nas.core.config import RunConfig
from nas.core.protocols import Context
from nas.core.work import Evaluate
from nas.evaluators.table import TableEvaluator, view_of

MOVES = 1000
TABLES = (("nasbench201", "nasbench201"), ("nasbench101", "nasbench101_sample"))


def timed(what: str, function: Callable[[], Any], times: int = 1) -> Any:
    begun = time.process_time()
    result = function()
    spent = (time.process_time() - begun) / times
    print(f"{what:<58} {1e3 * spent:9.3f} ms")
    return result


def config(folder: Path, space: str, **settings: Any) -> RunConfig:
    return RunConfig(
        space=space,
        strategy="random",
        evaluator=f"table:{folder}",
        evaluator_settings=settings,
    )


def measure(space: str, folder: Path) -> None:
    run = config(folder, space)
    view = timed(f"{space}: open and check the table", lambda: view_of(run))
    timed(f"{space}: open it again", lambda: view_of(run))
    evaluator = TableEvaluator(run.model_dump(mode="json"))
    pool = timed(f"{space}: the space of what it holds", lambda: view.pool) or view.table.space
    rng = np.random.default_rng(0)

    def sample() -> list[Any]:
        return [pool.sample(rng) for _ in range(MOVES)]

    members = timed(f"{space}: sample", sample, MOVES)
    works = [Evaluate(Candidate(member), view.largest) for member in members]

    def mutate() -> list[Any]:
        return [pool.mutate(member, rng) for member in members]

    timed(f"{space}: mutate, each for the first time", mutate, MOVES)
    timed(f"{space}: mutate the same again", mutate, MOVES)
    pairs = list(pairwise(members))
    timed(f"{space}: cross over", lambda: [pool.crossover(a, b, rng) for a, b in pairs], len(pairs))
    context = Context()
    timed(
        f"{space}: look a candidate up",
        lambda: [evaluator.evaluate(work, context) for work in works],
        MOVES,
    )


def main(data: Path) -> None:
    for space, name in TABLES:
        measure(space, data / name)
    devices = config(data / "nasbench201", "nasbench201", latency_device="pixel3")
    timed("nasbench201: open the devices' figures besides", lambda: view_of(devices))
    import torch  # noqa: F401  a run loads it for its pictures; that is not what is measured

    for arm in (False, True):
        what = "with 20 random searches" if arm else "alone"
        run = timed(
            f"random search of 100 evaluations in memory, {what}",
            lambda arm=arm: nas.search(
                space="nasbench201",
                strategy="random",
                evaluator=f"table:{data / 'nasbench201'}",
                budget="20000epochs",
                settings={"final.random_arm": arm},
            ),
        )
    print(run.result.extra["baseline"]["sentence"])


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    main(Path(sys.argv[1]))
