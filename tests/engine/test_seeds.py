"""Seeds depend on what is asked, and the caller's chance is the caller's."""

from __future__ import annotations

import random
from pathlib import Path

import numpy as np

from nas.core.architecture import Candidate
from nas.engine.executors.base import Setup
from nas.engine.seeds import GlobalChance, derive
from nas.strategies.random import Random
from nas.testing.replay import Trial
from nas.testing.toys import toy_problem


def chancy(candidate: Candidate, budget: float | None, seed: int) -> dict[str, float]:
    return {"error": random.random(), "params": float(np.random.rand())}


def test_derived_seeds_are_spread_and_fit_everywhere() -> None:
    seeds = {derive(run, "evaluate", str(part)) for run in range(20) for part in range(200)}
    assert len(seeds) == 4000
    assert all(0 <= seed < 2**31 for seed in seeds)
    assert derive(0, "ab", "c") != derive(0, "a", "bc")
    assert derive(7, "evaluate", "abc") == 60894208  # the same in every process and version


def test_figures_from_global_generators_do_not_depend_on_order_or_company(tmp_path: Path) -> None:
    figures = {}
    for batch in (1, 5):
        folder = tmp_path / str(batch)
        folder.mkdir()
        strategy = Random({"batch": batch})
        trial = Trial(strategy, toy_problem(), Setup(evaluator=chancy), "5evaluations")
        result = trial.begin(folder)
        figures[batch] = {o.candidate.id: dict(o.figures) for o in result.outcomes}
    shared = figures[1].keys() & figures[5].keys()
    assert all(figures[1][name] == figures[5][name] for name in shared)
    assert len({value["error"] for value in figures[1].values()}) == 5


def test_the_callers_generators_are_put_back(tmp_path: Path) -> None:
    random.seed(1)
    np.random.seed(1)
    expected = (random.random(), np.random.rand())
    random.seed(1)
    np.random.seed(1)
    Trial(Random(), toy_problem(), Setup(evaluator=chancy), "9evaluations").begin(tmp_path)
    assert (random.random(), np.random.rand()) == expected
    GlobalChance().restore()


def test_seeding_leaves_nothing_behind() -> None:
    import torch

    chance, waiting = GlobalChance(), len(torch.cuda._queued_calls)
    for seed in range(3):
        chance.seed(seed)
    first = torch.rand(1)
    chance.seed(2)
    assert torch.equal(torch.rand(1), first)
    chance.restore()
    if not torch.cuda.is_available():
        assert len(torch.cuda._queued_calls) == waiting
