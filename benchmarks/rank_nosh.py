"""RANK-NOSH on tables: search curves, budget ratios and ablations.

    python benchmarks/rank_nosh.py FOLDER --table c100 --part ratio --seeds 50 --workers 2
    python benchmarks/rank_nosh.py FOLDER --table nb101 --part peers

FOLDER holds `nasbench201` and `nasbench101_sample`. Parts: `ratio` (epochs that the same ranker
needs with uniform training to be as good), `peers` (other strategies at the same epochs; the
pyramid without a ranker and the ranker without a pyramid among them), `ablation`, `front-params`
and `front-latency` (two objectives, by hypervolume). Everything is kept in --out, so the same
command goes on where it was stopped. Selection is by validation error; test error
(NAS-Bench-201) is read after the search.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from nas.bench.account import account
from nas.bench.arms import ArmSettings, make_arms
from nas.bench.curves import by_arm, regret_of, test_error_of
from nas.bench.files import write_comparison
from nas.bench.runner import run_all
from nas.bench.trace import Trace
from nas.bench.truth import truth_of

TABLES: dict[str, dict[str, Any]] = {
    "c10": {"space": "nasbench201", "folder": "nasbench201", "dataset": "cifar10"},
    "c100": {"space": "nasbench201", "folder": "nasbench201", "dataset": "cifar100"},
    "nb101": {"space": "nasbench101", "folder": "nasbench101_sample", "dataset": None},
}
OURS: dict[str, dict[str, Any]] = {
    "c10": {"levels": [12, 200], "ratio": 0.1, "candidates": 100},
    "c100": {"levels": [12, 200], "ratio": 0.1, "candidates": 100},
    "nb101": {"levels": [36, 108], "ratio": 0.1, "candidates": 65},
}
TOP = {"c10": 200, "c100": 200, "nb101": 108}
UNIFORM = (15, 25, 50, 100)
RESAMPLES = 4000


def ours(table: str, **changes: Any) -> ArmSettings:
    settings = {"first": 10, "batch": 5, **OURS[table], **changes}
    return ArmSettings(strategy="rank-nosh", settings=settings, budget="unlimited")


def uniform(table: str, count: int, **changes: Any) -> ArmSettings:
    """The same ranker, everybody trained in full."""
    alone = {
        "levels": [TOP[table]],
        "ratio": 1.0,
        "candidates": count,
        "first": min(10, count // 2),
    }
    return ours(table, **alone, **changes)


def ratio_arms(table: str) -> dict[str, ArmSettings]:
    arms = {"rank-nosh": ours(table)}
    return {**arms, **{f"uniform-{count}": uniform(table, count) for count in UNIFORM}}


def peer_arms(table: str) -> dict[str, ArmSettings]:
    settings = OURS[table]
    count, levels = settings["candidates"], settings["levels"]
    above = -(-round(1000 * settings["ratio"]) * count // 1000)
    epochs = count * levels[0] + above * (levels[1] - levels[0])
    full = max(2, round(epochs / TOP[table]))

    def peer(name: str, **settings: Any) -> ArmSettings:
        return ArmSettings(strategy=name, settings=settings, budget=f"{epochs}epochs")

    return {
        "rank-nosh": ours(table),
        "paper": ours(table, mode="paper", predictor=LINEAR),
        "no-ranker": ours(table, predictor="none", blend=False),
        "no-pyramid": uniform(table, full),
        "random": peer("random"),
        "regularized-evolution": peer("regularized-evolution", population=10, tournament=5),
        "local-search": peer("local-search"),
        "asha": peer("asha", levels=levels, eta=3),
        "bananas": peer("bananas"),
    }


def ablation_arms(table: str) -> dict[str, ArmSettings]:
    changes: dict[str, dict[str, Any]] = {
        "default": {},
        "pairs=levels": {"pairs": "levels"},
        "pairs=reliability": {"pairs": "reliability"},
        "pairs=within": {"pairs": "within"},
        "no-blend": {"blend": False},
        "not-adaptive": {"adaptive": False},
        "no-probes": {"probes": 0},
        "probes=4": {"probes": 4},
        "no-free-figures": {"free": False},
        "onehot-only": {"encoding": "onehot"},
        "predictor=pairwise-mlp": {"predictor": "pairwise-mlp"},
        "predictor=mlp": {"predictor": "mlp"},
        "predictor=forest": {"predictor": "forest"},
        **{f"ratio={r}": {"ratio": r} for r in (0.05, 0.1, 0.15, 0.3, 0.5)},
    }
    if table == "nb101":
        changes["levels=4+12+36+108"] = {
            "levels": [4, 12, 36, 108],
            "ratio": 0.5,
            "candidates": 100,
        }
        changes["levels=12+108"] = {"levels": [12, 108], "candidates": 90}
    return {name: ours(table, **change) for name, change in changes.items()}


def front_arms(table: str) -> dict[str, ArmSettings]:
    """Several objectives, 20,000 epochs each (100 trainings in full on NAS-Bench-201)."""
    top, low = TOP[table], OURS[table]["levels"][0]
    ratio = 0.15
    count = int(20_000 / (low + ratio * (top - low)))

    def peer(name: str, **settings: Any) -> ArmSettings:
        return ArmSettings(strategy=name, settings=settings, budget="20000epochs")

    return {
        "rank-nosh": ours(table, ratio=ratio, candidates=count),
        "one-objective": ours(table, ratio=ratio, candidates=count, mode="paper", predictor=LINEAR),
        "nsga2": peer("nsga2", population=10),
        "random": peer("random"),
    }


PARTS = {
    "ratio": ratio_arms,
    "peers": peer_arms,
    "ablation": ablation_arms,
    "front-params": front_arms,
    "front-latency": front_arms,
}
OBJECTIVES = {
    "front-params": ("error:min", "params:min"),
    "front-latency": ("error:min", "latency_ms:min"),
}
DEVICE = "pixel3"
LINEAR = "pairwise-linear"


def finals(group: Sequence[Trace]) -> np.ndarray[Any, np.dtype[np.float64]]:
    """Last test errors of the searches in per cent; validation errors where no test is known."""
    tested = all(trace.tests for trace in group)
    values = [(test_error_of(t) if tested else regret_of(t, 0.0))[-1] for t in group]
    return 100 * np.array(values)


def budget_ratio(
    groups: Mapping[str, Sequence[Trace]], charge: str
) -> tuple[float, float, float, float]:
    """Epochs of uniform training for the pyramid's mean, over the pyramid's; interval; censored.

    The uniform means are interpolated over epochs. Where they never get there, the largest
    number of epochs is taken (so the ratio is a lower bound), and counted in the last figure.
    """
    pyramid = groups["rank-nosh"]
    spent = float(np.mean([getattr(t, charge)[-1] for t in pyramid]))
    points = [groups[f"uniform-{count}"] for count in UNIFORM]
    epochs = np.array([np.mean([t.spent[-1] for t in group]) for group in points])
    ladder = np.stack([finals(group) for group in points])
    own = finals(pyramid)
    chance = np.random.default_rng(0)
    ratios, censored = [], 0
    for draw in range(RESAMPLES + 1):
        rows = np.arange(len(own)) if draw == 0 else chance.integers(len(own), size=len(own))
        means = np.minimum.accumulate(ladder[:, rows].mean(axis=1))
        goal = own[rows].mean()
        if goal < means[-1]:
            censored += draw > 0
            ratios.append(epochs[-1] / spent)
        else:
            ratios.append(float(np.interp(-goal, -means, epochs)) / spent)
    low, high = np.quantile(ratios[1:], (0.025, 0.975))
    return ratios[0], float(low), float(high), censored / RESAMPLES


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("folder", type=Path, help="where the tables' folders are")
    parser.add_argument("--table", choices=list(TABLES), default="c100")
    parser.add_argument("--part", choices=list(PARTS), default="peers")
    parser.add_argument("--seeds", type=int, default=50)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--out", type=Path, default=Path("bench"))
    args = parser.parse_args()
    table = TABLES[args.table]
    asked: dict[str, Any] = {
        "space": table["space"],
        "evaluator": f"table:{args.folder / table['folder']}",
        "objectives": OBJECTIVES.get(args.part, ("error:min",)),
    }
    if table["dataset"]:
        asked["evaluator_settings"] = {"dataset": table["dataset"]}
    if args.part == "front-latency":
        asked["evaluator_settings"]["latency_device"] = DEVICE
    arms = make_arms(asked, PARTS[args.part](args.table))
    out = args.out / f"{args.table}-{args.part}"

    def told(trace: Trace, done: int, total: int) -> None:
        if done % 25 == 0 or done == total:
            print(f"{done}/{total}", flush=True)

    traces = run_all(arms, range(args.seeds), out, args.workers, told)
    groups = {arm.name: by_arm(traces)[arm.name] for arm in arms}
    truth = truth_of(arms[0].config, traces)
    lines = account(groups, truth)
    write_comparison(out, groups, lines, truth)
    print(f"\n{args.table} {args.part}, {args.seeds} seeds\n")
    print("| arm | epochs | anew | validation accuracy % | test accuracy % | to the first | p |")
    print("|---|---|---|---|---|---|---|")
    for line in lines:
        test = (
            ""
            if np.isnan(line.test_error)
            else (
                f"{100 - 100 * line.test_error:.2f}"
                f" [{100 - 100 * line.test_high:.2f}, {100 - 100 * line.test_low:.2f}]"
            )
        )
        gap = (
            ""
            if np.isnan(line.difference) or truth.volume
            else (
                f"{-100 * line.difference:+.2f}"
                f" [{-100 * line.difference_high:+.2f}, {-100 * line.difference_low:+.2f}]"
            )
        )
        print(
            f"| {line.arm} | {line.epochs:,.0f} | {line.epochs_anew:,.0f}"
            f" | {100 - 100 * line.error:.2f}"
            f" [{100 - 100 * line.error_high:.2f}, {100 - 100 * line.error_low:.2f}]"
            f" | {test} | {gap} | {'' if np.isnan(line.p) else f'{line.p:.1g}'} |"
        )
    if truth.volume:
        print("\nshare of the exact hypervolume: ", end="")
        print(", ".join(f"{line.arm} {line.hypervolume:.4f}" for line in lines))
        for line in lines[1:]:
            low, high = line.difference_low, line.difference_high
            print(
                f"{line.arm} to the first: {line.difference:+.4f} [{low:+.4f}, {high:+.4f}]",
                end="; ",
            )
        print()
    if args.part == "ratio":
        for charge, name in (("spent", "continued"), ("anew", "paid anew")):
            ratio, low, high, censored = budget_ratio(groups, charge)
            print(
                f"\nbudget ratio, {name}: {ratio:.2f} [{low:.2f}, {high:.2f}];"
                f" uniform training never got there in {100 * censored:.0f}% of the resamples"
            )


if __name__ == "__main__":
    main()
