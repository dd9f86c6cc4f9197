"""FBNetV3's predictor and search on a made-up task over a space of mobile networks.

    python benchmarks/nars.py predictor [--seeds 10] [--band]
    python benchmarks/nars.py front [--seeds 8] [--trainings 100] [--noise 0.1] [--arms ARM ...]
    python benchmarks/nars.py limits [--seeds 3]

The task is `nas.testing.mobile.MobileTask`: 3.6e18 mobile networks, whose accuracy saturates in
the logarithm of their multiply-accumulates and has terms of kernels and depths. It stands for the
accuracy predictor that comes with AttentiveNAS, whose licence keeps it out of a product.

`predictor`: Kendall's tau on 1,000 unseen members after 20, 50 and 100 noisy readings, each seed
another task. `front`: share of the box of errors from the best of 20,000 random members to the
mean, and of 200 to 1,600 million multiply-accumulates, that is dominated by what was trained, by
true errors; every arm is paired by seed. `limits`: ten new limits asked of one trained search.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
from scipy.stats import wilcoxon

from evolution.quality import hypervolume
from nas.core.architecture import Architecture
from nas.core.config import RunConfig
from nas.core.objective import Objective
from nas.core.problem import Problem
from nas.core.protocols import Context, Reply
from nas.core.work import Evaluate, Outcome, Spent
from nas.engine.budget import Budget
from nas.engine.executors.base import Setup
from nas.engine.loop import Stage
from nas.engine.run import Plan, Run
from nas.measure.comparison import mean_interval, paired
from nas.strategies import STRATEGIES
from nas.testing.mobile import MobileTask
from predictors import get_predictor
from predictors.quality import kendall
from predictors.statistics import sizes

READINGS = (20, 50, 100)
BEST = "fbnetv3 (default)"
PREDICTORS: Mapping[str, tuple[str, Mapping[str, Any], bool]] = {
    "scratch": ("nars", {"pretraining": 0, "statistics": False}, False),
    "pretrained": ("nars", {"statistics": False}, False),
    "pretrained, never frozen": ("nars", {"statistics": False, "freeze": 0}, False),
    "scratch + statistics": ("nars", {"pretraining": 0}, False),
    "pretrained + statistics (default)": ("nars", {}, False),
    "gp + statistics": ("gp", {"encoding": "onehot"}, True),
    "forest + statistics": ("forest", {"encoding": "onehot"}, True),
    "stacked + statistics": ("stacked", {"encoding": "onehot"}, True),
}


def predictor(args: argparse.Namespace) -> None:
    found: dict[tuple[str, int], list[float]] = {}
    for seed in range(args.seeds):
        task, rng = MobileTask(seed), np.random.default_rng(seed + 100)
        space = task.space
        members = [space.sample(rng) for _ in range(2400 if args.band else 1100)]
        if args.band:
            members = [m for m in members if 4e8 <= space.cost(m).macs <= 8e8]
        test = members[-1000:]
        truth = -task.accuracies(test)
        macs = np.array([space.cost(m).macs for m in test], float)
        for count in READINGS:
            told = members[:count]
            costs = rng.normal(-task.accuracies(told), task.noise)
            found.setdefault(("multiply-adds alone", count), []).append(kendall(-macs, truth))
            for name, (kind, settings, given) in PREDICTORS.items():
                extra, more = (sizes(space, told), sizes(space, test)) if given else (None, None)
                fitted = get_predictor(kind)(space, settings, seed).fit(told, costs, extra)
                tau = kendall(fitted.rank(test, more), truth)
                found.setdefault((name, count), []).append(tau)
        print(f"seed {seed}", flush=True)
    print("\n| tau after | " + " | ".join(map(str, READINGS)) + " |")
    print("|---" * (len(READINGS) + 1) + "|")
    for name in dict.fromkeys(name for name, _ in found):
        taus = [found[name, count] for count in READINGS]
        print(f"| {name} | " + " | ".join(f"{np.mean(t):.3f}" for t in taus) + " |")
    for count in READINGS:
        result = paired(found["pretrained", count], found["scratch", count])
        wins = sum(
            a > b for a, b in zip(found["pretrained", count], found["scratch", count], strict=True)
        )
        print(
            f"after {count}: pretrained less scratch {result.difference:+.3f}"
            f" [{result.low:+.3f}, {result.high:+.3f}], better in {wins} of {args.seeds}"
        )


class Readings:
    """Reads a task; every training is an epoch."""

    task: ClassVar[MobileTask]

    def __init__(self, spec: Mapping[str, Any] | None = None) -> None:
        pass

    def evaluate(self, work: Evaluate, context: Context) -> Reply:
        return Reply(self.task.figures(work), spent=Spent(epochs=1.0, evaluations=1))


def readings_of(task: MobileTask) -> type[Readings]:
    return type("Readings", (Readings,), {"task": task})


def problem_of(task: MobileTask) -> Problem:
    def counted(candidate: Any) -> dict[str, float]:
        cost = task.space.cost(candidate.architecture)
        return {"macs": float(cost.macs), "params": float(cost.params)}

    objectives = (Objective.parse("error:min"), Objective.parse("macs:min"))
    return Problem(task.space, objectives, counted=counted)


def searched(
    strategy: str, settings: Mapping[str, Any], task: MobileTask, trainings: int, seed: int
) -> list[Architecture]:
    made = STRATEGIES.get(strategy)(settings)
    stage = Stage("search", lambda p, rng, _: made.run(p, rng), Budget(evaluations=trainings))
    run = Run.create(None, RunConfig(space="mobile", strategy=strategy, seed=seed))
    run.execute(Plan(problem_of(task), [stage], Setup(evaluator=readings_of(task))))
    return [task.space.member(e.candidate) for e in run.history if e.ok]


def front(args: argparse.Namespace) -> None:
    rounds = {"first": 40, "batch": 20, "rounds": 1000, "verify": 0, "pool": 2000}
    cheap = {"predictor_settings": {"encoding": "onehot"}}
    arms: dict[str, tuple[str, Mapping[str, Any], int]] = {
        "random": ("random", {}, 1),
        "nsga2": ("nsga2", {"population": 20}, 1),
        "fbnetv3, mode=paper": ("fbnetv3", {**rounds, "mode": "paper"}, 1),
        "fbnetv3, gp": ("fbnetv3", {**rounds, **cheap, "predictor": "gp"}, 1),
        BEST: ("fbnetv3", {**rounds, **cheap}, 1),
        "nsga2, ten times as many": ("nsga2", {"population": 20}, 10),
    }
    if args.arms:
        arms = {name: arm for name, arm in arms.items() if name in (*args.arms, BEST)}
    found: dict[str, list[float]] = {name: [] for name in arms}
    seconds = dict.fromkeys(arms, 0.0)
    for seed in range(args.seeds):
        task = MobileTask(seed, args.noise)
        rng = np.random.default_rng(1)
        truth = 100 - task.accuracies([task.space.sample(rng) for _ in range(20_000)])
        low, high = float(truth.min()), float(truth.mean())
        for name, (strategy, settings, times) in arms.items():
            began = time.process_time()
            members = searched(strategy, settings, task, times * args.trainings, seed)
            seconds[name] += time.process_time() - began
            points = [
                ((100 - task.accuracy(m) - low) / (high - low), (macs - 2e8) / 1.4e9)
                for m in members
                if (macs := task.space.cost(m).macs) <= 1.6e9
            ]
            inside = np.maximum(np.array([p for p in points if p[0] < 1]).reshape(-1, 2), -1)
            found[name].append(float(hypervolume(inside, (1.0, 1.0))))
        told = {name: round(values[-1], 3) for name, values in found.items()}
        print(f"seed {seed}: {told}", flush=True)
    print("\n| arm | hypervolume [95 %] | default better in | p | CPU s |\n|---|---|---|---|---|")
    best = found[BEST]
    for name, values in found.items():
        mean, low, high = mean_interval(values)
        wins = sum(a > b for a, b in zip(best, values, strict=True))
        same = best is values
        p = "" if same else f"{wilcoxon(best, values, alternative='greater').pvalue:.3f}"
        won = "" if same else f"{wins} of {len(values)}"
        took = seconds[name] / args.seeds
        print(f"| {name} | {mean:.3f} [{low:.3f}, {high:.3f}] | {won} | {p} | {took:.1f} |")


def limits(args: argparse.Namespace) -> None:
    texts = [f"macs<={limit:.0f}" for limit in np.linspace(3e8, 1.2e9, 10)]
    for seed in range(args.seeds):
        task, rng = MobileTask(seed), np.random.default_rng(seed)
        problem = problem_of(task)
        outcomes = [
            Outcome(work, "ok", task.figures(work))
            for work in (Evaluate(c) for c in problem.sample(100, rng))
        ]
        for mode in ("paper", "default"):
            strategy = STRATEGIES.get("fbnetv3")({"mode": mode, "within": ["macs<=2e9"]})
            began = time.process_time()
            findings = strategy.find(problem, outcomes, texts, np.random.default_rng(seed))
            took = time.process_time() - began
            gains = accuracies_beside_random(task, findings, texts)
            print(
                f"seed {seed}, mode={mode}: {len(findings)} found for {len(texts)} limits in"
                f" {took:.0f} CPU s; accuracy less that of the best of 100 random ones within each"
                f" limit: {np.mean(gains):+.2f} points, least {min(gains):+.2f}",
                flush=True,
            )


def accuracies_beside_random(
    task: MobileTask, findings: Sequence[Any], texts: Sequence[str]
) -> list[float]:
    rng = np.random.default_rng(0)
    drawn = [task.space.sample(rng) for _ in range(3000)]
    macs = np.array([task.space.cost(m).macs for m in drawn])
    gains = []
    for text, finding in zip(texts, findings, strict=True):
        within = [m for m, cost in zip(drawn, macs, strict=True) if cost <= float(text[6:])][:100]
        own = task.accuracy(task.space.member(finding.candidate))
        gains.append(own - float(task.accuracies(within).max()))
    return gains


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parts = parser.add_subparsers(required=True)
    for name, run, seeds in (
        ("predictor", predictor, 10),
        ("front", front, 8),
        ("limits", limits, 3),
    ):
        part = parts.add_parser(name)
        part.set_defaults(run=run)
        part.add_argument("--seeds", type=int, default=seeds)
        if name == "predictor":
            part.add_argument("--band", action="store_true", help="400 to 800 M only")
        if name == "front":
            part.add_argument("--trainings", type=int, default=100)
            part.add_argument("--noise", type=float, default=0.1, help="points of accuracy")
            part.add_argument("--arms", nargs="+", help="of the table, beside the default")
    args = parser.parse_args()
    args.run(args)


if __name__ == "__main__":
    main()
