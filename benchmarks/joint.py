"""Architectures and recipes searched together, beside either alone, NSGA-II and random search.

    python benchmarks/joint.py [--data digits] [--limit 500] [--validation SHARE]
        [--space nasbench201] [--epochs 8] [--trainings 12] [--objectives error:min macs:min]
        [--worst 0.5] [--seeds 10] [--first 0] [--arms ARM ...] [--csv joint.csv]
    python benchmarks/joint.py --summary joint.csv

Every arm has as many epochs as `trainings` of `epochs` cost with an optimizer that takes one
gradient a step; a training by SAM costs two. Trainings end early only if an epoch before the last
orders all of the first batch exactly as the last one does. All arms are searched for the same
objectives: `fbnetv3` in the joint space, among architectures by the run's recipe, and among recipes
for the network of median size; `nsga2` and `random` in the joint space. The best by validation
error of each is trained anew on three seeds that no search had, and told by the mean test error; a
hypervolume is that of validation errors below `worst` and the share of the space's largest
multiply-adds, 1 being no error at no cost. Each line of the file is one arm and seed, so the
parts of a table can be made one after another, or at once; the summary has paired differences
with 95 % intervals (Student) and Wilcoxon's one-sided test.
"""

from __future__ import annotations

import argparse
import csv
import json
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from scipy.stats import wilcoxon

import nas
from evolution.quality import hypervolume
from nas.api import Run
from nas.core.architecture import Candidate
from nas.engine.credit import typical
from nas.engine.fitting import problem_of
from nas.engine.records import Entry
from nas.measure.comparison import paired
from nas.strategies import STRATEGIES
from nas.training import load_data
from search_spaces import get_space

TASK = ("data", "space", "limit", "validation", "length", "trainings", "objectives")
KEY = (*TASK, "seed", "arm")
FIELDS = (*KEY, "test_error", "error", "hypervolume", "counted", "epochs", "seconds")
FRESH = (101, 102, 103)


def search(args: argparse.Namespace, arm: str, seed: int) -> Run:
    joint = f"{args.space}+recipe"
    pieces = max(3, args.trainings // 3)
    small = {"settings": {"nars": {"pretraining": 1500, "pretraining_steps": 300}}}
    settings: dict[str, object] = {
        "epochs": args.epochs,
        "first": pieces,
        "batch": pieces,
        "rounds": 1000,
        "cheap": 1.0,
        "threshold": 1.0,
        "pool": 500,
        "verify": 0,
        "search": {"best": 20, "random": 20, "children": 4, "generations": 20},
        "predictor_settings": small,
    }
    strategy = "fbnetv3"
    if arm in ("nsga2", "random"):
        strategy, settings = arm, {"epochs": args.epochs}
        if arm == "nsga2":
            settings["population"] = pieces
    space = args.space if arm == "architectures" else joint
    asked = {
        "data": args.data,
        "data_settings": images(args),
        "network": {"channels": 8, "layers": 1} if args.space == "nasbench201" else {},
        "recipe": {"epochs": args.epochs, "batch_size": 64},
        "objectives": args.objectives,
        "budget": f"{args.epochs * args.trainings}epochs",
        "final": {"seeds": 1, "random_arm": False, "credit": False, "epochs": 1, "scales": []},
        "limits": {"first": 1000, "rate": 1.0},
    }
    if arm == "recipes":
        config = nas.api.resolve({**asked, "space": joint, "strategy": strategy, "seed": seed})
        network = typical(problem_of(config), STRATEGIES.get("random")(), seed)
        space = f"{args.space}:{json.dumps(dict(network.choices))}+recipe"
    return nas.search(space=space, strategy=strategy, seed=seed, settings=settings, **asked)


def full(run: Run, epochs: int, budget: float) -> list[Entry]:
    """What was trained in full in the search before its epochs were spent, in order."""
    entries: list[Entry] = []
    spent = 0.0
    for entry in sorted((e for e in run.history if e.phase == "search"), key=lambda e: e.ordinal):
        spent += entry.spent.epochs
        if spent > budget:  # a batch is begun before it is known what it costs
            break
        if entry.ok and entry.budget == epochs:
            entries.append(entry)
    return entries


def volume(entries: Sequence[Entry], worst: float, largest: float) -> float:
    points = [(e.figures["error"] / worst, e.figures["macs"] / largest) for e in entries]
    inside = np.array([p for p in points if max(p) < 1.0]).reshape(-1, 2)
    return float(hypervolume(inside, (1.0, 1.0))) if len(inside) else 0.0


def measure(args: argparse.Namespace, arm: str, seed: int, largest: float) -> dict[str, object]:
    began = time.process_time()
    run = search(args, arm, seed)
    entries = full(run, args.epochs, args.epochs * args.trainings)
    best = min(entries, key=lambda e: (e.figures["error"], e.figures["macs"]))
    candidate: Candidate = best.candidate
    tested = []
    for fresh in FRESH:
        outcome = nas.evaluate(
            candidate.architecture,
            {**run.config.recipe, **(candidate.recipe.to_dict() if candidate.recipe else {})},
            data=args.data,
            data_settings=images(args),
            epochs=args.epochs,
            seed=fresh,
            scale=run.config.network,
        )
        tested.append(outcome.figures.get("test_error", 0.9) if outcome.ok else 0.9)
    return {
        **task(args),
        "seed": seed,
        "arm": arm,
        "test_error": float(np.mean(tested)),
        "error": best.figures["error"],
        "hypervolume": volume(entries, args.worst, largest),
        "counted": len(entries),
        "epochs": sum(e.spent.epochs for e in entries),
        "seconds": time.process_time() - began,
    }


def images(args: argparse.Namespace) -> dict[str, Any]:
    """What is asked of the data."""
    share = {} if args.validation is None else {"validation": args.validation}
    return {"limit": args.limit, **share}


def task(args: argparse.Namespace) -> dict[str, object]:
    """What the arms of a table have in common."""
    return {
        "data": args.data.partition(":")[0],
        "space": args.space,
        "limit": args.limit,
        "validation": args.validation or "",
        "length": args.epochs,
        "trainings": args.trainings,
        "objectives": " ".join(args.objectives),
    }


ARMS = ("joint", "architectures", "recipes", "nsga2", "random")


def read(path: Path, parser: argparse.ArgumentParser) -> list[dict[str, str]]:
    """The rows of a file of ours; of any other it says so and ends."""
    rows = csv.DictReader(path.open())
    if tuple(rows.fieldnames or ()) != FIELDS:
        parser.error(f"{path} has other columns: name another file")
    return list(rows)


def summary(rows: Sequence[dict[str, str]]) -> None:
    for about in dict.fromkeys(tuple(row[name] for name in TASK) for row in rows):
        table: dict[str, dict[int, dict[str, str]]] = {arm: {} for arm in ARMS}
        for row in rows:
            if tuple(row[name] for name in TASK) == about:
                table[row["arm"]][int(row["seed"])] = row
        table = {arm: cells for arm, cells in table.items() if cells}
        if "joint" not in table:
            print(f"\n{about}: no joint arm to compare with")
            continue
        seeds = sorted(set.intersection(*(set(cells) for cells in table.values())))
        told = ", ".join(f"{n} {v}" for n, v in zip(TASK, about, strict=True))
        print(f"\n{told}; {len(seeds)} seeds that all arms have\n")
        print("| arm | test error % | joint less it | Wilcoxon p | hypervolume | epochs |")
        print("|---|---|---|---|---|---|")
        joint = [float(table["joint"][s]["test_error"]) for s in seeds]
        for arm in table:
            own = [float(table[arm][s]["test_error"]) for s in seeds]
            volumes = [float(table[arm][s]["hypervolume"]) for s in seeds]
            epochs = np.mean([float(table[arm][s]["epochs"]) for s in seeds])
            told = "| |"
            if arm != "joint":
                result = paired(joint, own)
                equal = all(a == b for a, b in zip(joint, own, strict=True))
                p = 1.0 if equal else wilcoxon(joint, own, alternative="less").pvalue
                low, high = 100 * result.low, 100 * result.high
                told = f"{100 * result.difference:+.2f} [{low:+.2f}, {high:+.2f}] | {p:.3f} |"
            error = f"{100 * np.mean(own):.2f} ± {100 * np.std(own, ddof=1):.2f}"
            print(f"| {arm} | {error} | {told} {np.mean(volumes):.3f} | {epochs:.0f} |")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", default="digits")
    parser.add_argument("--limit", type=int, default=500, help="images of each split")
    parser.add_argument("--validation", type=float, help="share of the training images held out")
    parser.add_argument("--space", default="nasbench201")
    parser.add_argument("--epochs", type=int, default=8)
    parser.add_argument("--trainings", type=int, default=12)
    parser.add_argument("--objectives", nargs="+", default=["error:min", "macs:min"])
    parser.add_argument("--worst", type=float, default=0.5, help="error that is worth nothing")
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--first", type=int, default=0, help="the first seed")
    parser.add_argument("--arms", nargs="+", default=ARMS, choices=ARMS)
    parser.add_argument("--csv", type=Path, default=Path("joint.csv"))
    parser.add_argument("--summary", type=Path)
    args = parser.parse_args()
    if args.summary:
        summary(read(args.summary, parser))
        return
    torch.set_num_threads(1)
    space = get_space(args.space)
    shape = load_data(args.data, 0, **images(args)).input_shape
    scale = {"channels": 8, "layers": 1} if args.space == "nasbench201" else {}
    rng = np.random.default_rng(0)
    largest = max(space.cost(space.sample(rng), shape, 10, **scale).macs for _ in range(2000))
    done = set()
    if args.csv.exists():
        done = {tuple(row[name] for name in KEY) for row in read(args.csv, parser)}
    for seed in range(args.first, args.first + args.seeds):
        for arm in args.arms:
            key = {**task(args), "seed": seed, "arm": arm}
            if tuple(str(key[name]) for name in KEY) in done:
                continue
            row = measure(args, arm, seed, float(largest))
            new = not args.csv.exists()
            with args.csv.open("a", newline="") as handle:
                writer = csv.DictWriter(handle, FIELDS)
                if new:
                    writer.writeheader()
                writer.writerow(row)
            print(row, flush=True)
    summary(read(args.csv, parser))


if __name__ == "__main__":
    main()
