"""Paired against published selection, from the same trained supernets.

    python benchmarks/selection.py --data npz:PATH/cifar10_small.npz

For every space and seed one supernet is trained; both procedures then select from copies of it,
with the same tuning between decisions, and both results are trained alike on the same seed.
Printed for each: pictures looked at, seconds, skip connections, test accuracy; and, on the
untouched supernet, how often repeated measurements of an edge pick the same operation.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import fmean
from typing import Any

import numpy as np
import torch

from nas.core.architecture import Architecture, Candidate
from nas.core.config import RunConfig
from nas.core.objective import Objective
from nas.core.problem import Problem
from nas.core.protocols import Context
from nas.core.work import Call, Evaluate, Outcome
from nas.evaluators.train import TrainEvaluator
from nas.oneshot.session import SupernetSession, open_supernet
from nas.strategies.darts import Darts, Decisions
from search_spaces import get_space
from search_spaces.cell import CellSpace

MODES = ("paired", "paper")
SCALES: dict[str, dict[str, Any]] = {
    "darts-s2": {"channels": 4, "layers": 3},
    "nasbench201": {"channels": 8, "layers": 1},
}


def config(args: argparse.Namespace, space: str, seed: int, mode: str) -> RunConfig:
    return RunConfig(
        space=space,
        strategy="darts",
        data=args.data,
        data_settings={"limit": args.limit},
        network=SCALES[space],
        recipe={"epochs": args.retrain, "learning_rate": 0.05},
        seed=seed,
        settings={
            "epochs": args.epochs,
            "weights": {"batch_size": 64, "learning_rate": 0.05},
            "alphas": {"learning_rate": 0.003},
            "selection": {"mode": mode, "interval": 1, "batch_size": 128, "at_least": 128},
        },
    )


class Driver:
    """Answers a strategy's calls from one session, and counts."""

    def __init__(self, session: SupernetSession, seed: int) -> None:
        self.session = session
        self.seed = seed
        self.calls = 0
        self.pictures = 0
        self.seconds = 0.0

    def call(self, call: Call) -> Outcome:
        self.calls += 1
        context = Context(seed=1000 * self.seed + self.calls)
        began = time.process_time()
        reply = self.session.call(call.method, call.arguments, context)
        if call.method in ("drops", "edge_drops"):
            self.seconds += time.process_time() - began
            self.pictures += reply.value["images"] * len(reply.value["variants"])
        return Outcome(call, value=reply.value, figures=reply.figures, spent=reply.spent)

    def select(self, space: Any, settings: Mapping[str, Any], seed: int) -> Architecture:
        strategy = Darts(settings)
        decisions = Decisions(space)
        problem = Problem(space, (Objective("error"),))
        generator = strategy._select(problem, decisions, np.random.default_rng(seed))
        answer: list[Outcome] | None = None
        while True:
            try:
                works = generator.send(answer)
            except StopIteration:
                return decisions.architecture()
            answer = [self.call(work) for work in works if isinstance(work, Call)]


def agreement(session: SupernetSession, edges: Sequence[str], repeats: int) -> float:
    """How often a repeated measurement picks the most frequent operation of its edge."""
    shares = []
    for edge in edges:
        picks = Counter(
            session.call("drops", {"edge": edge}, Context(seed=7919 * repeat + 1)).value["ranking"][
                0
            ]
            for repeat in range(repeats)
        )
        shares.append(picks.most_common(1)[0][1] / repeats)
    return fmean(shares)


def one(args: argparse.Namespace, space_name: str, seed: int, folder: Path) -> list[dict[str, Any]]:
    space = get_space(space_name)
    assert isinstance(space, CellSpace)
    state = folder / f"{space_name}-{seed}"
    trained = open_supernet(
        config(args, space_name, seed, "paired").model_dump(mode="json"), Context()
    )
    for epoch in range(args.epochs):
        trained.call("train", {}, Context(seed=epoch))
    trained.save(state)
    rows = []
    for mode in MODES:
        chosen = config(args, space_name, seed, mode)
        session = open_supernet(chosen.model_dump(mode="json"), Context())
        session.load(state)
        edges = [edge.name for edge in space.edges]
        step = max(1, len(edges) // args.edges)
        same = agreement(session, edges[::step][: args.edges], args.repeats)
        driver = Driver(session, seed)
        architecture = driver.select(space, chosen.settings, seed)
        operations = space.operations(architecture)
        skips = Counter(name.split("/")[0] for name, o in operations.items() if o == "skip_connect")
        evaluator = TrainEvaluator(chosen.model_dump(mode="json"))
        reply = evaluator.evaluate(
            Evaluate(Candidate(architecture), seed=seed, split="test"), Context()
        )
        rows.append(
            {
                "space": space_name,
                "seed": seed,
                "mode": mode,
                "pictures": driver.pictures,
                "cpu_s": round(driver.seconds, 1),
                "agreement": round(same, 3),
                "skips": dict(skips),
                "params": reply.figures["params"],
                "test_accuracy": round(100 * (1 - reply.figures["test_error"]), 2),
            }
        )
        print(json.dumps(rows[-1]), flush=True)
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", required=True, help="as nas search --data")
    parser.add_argument("--spaces", nargs="+", default=list(SCALES))
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--limit", type=int, default=1000, help="pictures of each split")
    parser.add_argument("--epochs", type=int, default=8, help="of search")
    parser.add_argument("--retrain", type=int, default=20, help="epochs of the results' training")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--edges", type=int, default=4, help="edges measured repeatedly")
    args = parser.parse_args()
    torch.set_num_threads(1)
    rows: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as folder:
        for space in args.spaces:
            for seed in range(args.seeds):
                rows += one(args, space, seed, Path(folder))
    print("\n| space | mode | pictures | CPU s | agreement | skips a cell | test accuracy % |")
    print("|---|---|---|---|---|---|---|")
    for space in args.spaces:
        for mode in MODES:
            mine = [r for r in rows if r["space"] == space and r["mode"] == mode]
            skips = fmean(sum(r["skips"].values()) / max(1, len(r["skips"])) for r in mine)
            accuracy = ", ".join(f"{r['test_accuracy']:.1f}" for r in mine)
            print(
                f"| {space} | {mode} | {fmean(r['pictures'] for r in mine):,.0f}"
                f" | {fmean(r['cpu_s'] for r in mine):.0f}"
                f" | {fmean(r['agreement'] for r in mine):.2f} | {skips:.1f} | {accuracy} |"
            )


if __name__ == "__main__":
    main()
