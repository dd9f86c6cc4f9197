"""Predictors against published tables: Kendall's tau and top-5 regret over training sizes.

    python benchmarks/ranking.py --tables DIR [--splits 20] [--csv FILE]

DIR holds nasbench201/ and nasbench101_sample/. For each split some architectures are drawn,
their validation accuracies are told, and all others of the table are ranked. Regret: how much the
best of the five that are ranked first is behind the best of the rest, in points of accuracy.
NAS-Bench-201 counts the 9,445 cells without dead edges. ``+proxies`` appends statistics: for
``c10+zen`` the table's Zen-score, parameters and multiply-accumulates; ``c10+12`` knows 725 cells
with twelve proxies, of which those that are not drawn are ranked.
"""

from __future__ import annotations

import argparse
import csv
import gzip
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from nas.core.architecture import Architecture
from nas.core.space import Space
from predictors import get_predictor, list_predictors
from predictors.encodings.graphs import Reader
from search_spaces import get_space

Row = dict[str, str]
PROXIES = [
    "epe_nas",
    "fisher",
    "flops",
    "grad_norm",
    "grasp",
    "jacov",
    "l2_norm",
    "nwot",
    "params",
    "plain",
    "snip",
    "synflow",
]
TABLES = ("c10", "c100", "c10+zen", "c10+12", "nb101")
SLOW = {"pairwise-gin": 4}
"""Most splits of what takes seconds to fit."""


@dataclass(frozen=True)
class Table:
    """What is known of one table; costs are in points of accuracy."""

    space: Space
    architectures: list[Architecture]
    costs: np.ndarray
    extra: np.ndarray | None
    sizes: tuple[int, ...]


def rows_of(path: Path) -> list[Row]:
    with gzip.open(path, "rt", newline="") as file:
        return list(csv.DictReader(file))


def number(text: str) -> float:
    return float(text) if text else np.nan


def nasbench201(folder: Path, name: str) -> Table:
    space = get_space("nasbench201")
    rows = rows_of(folder / "nb201_cifar.csv.gz")
    column = "c100_val_e200_1seed" if name == "c100" else "c10_val_e200"
    sizes: tuple[int, ...] = (32, 64, 100, 200)
    if name == "c10+12":
        by_index = {row["index"]: row for row in rows}
        known = [r for r in rows_of(folder / "nb201_zero_cost_725.csv.gz") if r["dataset"] == "c10"]
        rows = [by_index[row["index"]] for row in known]
        extra = np.array([[number(row[proxy]) for proxy in PROXIES] for row in known])
        extra = np.sign(extra) * np.log1p(np.abs(extra))  # some span ten powers of ten
        sizes = (32, 64, 100)
    else:
        columns = ("zen_c10", "params_c10", "flops_c10_M")
        extra = np.array([[float(row[c]) for c in columns] for row in rows])
        extra[:, 1:] = np.log1p(extra[:, 1:])  # the Zen-score is a logarithm
    architectures = [space.parse(row["arch_str"]) for row in rows]
    costs = 100 - np.array([float(row[column]) for row in rows])
    if name != "c10+12":
        used = (Reader(space)(architectures)["cell"].operations >= 0).sum(1)
        (live,) = np.nonzero(used == [6 - row["ops"].count("0") for row in rows])
        architectures, costs, extra = [architectures[i] for i in live], costs[live], extra[live]
    return Table(space, architectures, costs, extra if "+" in name else None, sizes)


def nasbench101(folder: Path) -> Table:
    space = get_space("nasbench101")
    rows = rows_of(folder / "nb101_20k.csv.gz")
    architectures = [space.parse(f"{row['adjacency']}:{row['ops']}") for row in rows]
    costs = 100 * (1 - np.array([float(row["val_e108"]) for row in rows]))
    return Table(space, architectures, costs, None, (25, 50, 100, 200))


def split(table: Table, name: str, size: int, seed: int) -> tuple[float, float, float]:
    order = np.random.default_rng(seed).permutation(len(table.costs))
    known, rest = order[:size], order[size:]

    def part(rows: Sequence[int]) -> tuple[list[Architecture], np.ndarray, np.ndarray | None]:
        extra = None if table.extra is None else table.extra[rows]
        return [table.architectures[i] for i in rows], table.costs[rows], extra

    settings = {"vectors": table.extra is not None} if name == "pairwise-gin" else {}
    predictor = get_predictor(name)(table.space, settings, seed)
    began = time.process_time()
    predictor.fit(*part(known))
    seconds = time.process_time() - began
    found = predictor.score(*part(rest))
    return found["kendall"], found["top5_regret"], seconds


def interval(values: np.ndarray) -> str:
    """Mean, and its 95 % bootstrap interval."""
    rng = np.random.default_rng(0)
    means = values[rng.integers(len(values), size=(4000, len(values)))].mean(1)
    low, high = np.quantile(means, (0.025, 0.975))
    return f"{values.mean():.3f} [{low:.3f}, {high:.3f}]"


def bench(table_name: str, table: Table, args: argparse.Namespace) -> list[tuple[object, ...]]:
    rows: list[tuple[object, ...]] = []
    get_predictor("mlp")(table.space).fit(table.architectures[:9], table.costs[:9]).rank(
        table.architectures  # encodes all
    )
    for size in table.sizes:
        taus: dict[str, np.ndarray] = {}
        for name in args.predictors:
            splits = min(args.splits, SLOW.get(name, args.splits))
            found = np.array([split(table, name, size, seed) for seed in range(splits)])
            taus[name] = found[:, 0]
            rows += [(table_name, size, name, seed, *row) for seed, row in enumerate(found)]
            print(
                f"| {table_name} | {size} | {name} | {interval(found[:, 0])}"
                f" | {interval(found[:, 1])} | {1000 * found[:, 2].mean():.0f} |",
                flush=True,
            )
        if "mlp" in taus and "pairwise-mlp" in taus:
            print(
                f"| {table_name} | {size} | pairwise-mlp - mlp |"
                f" {interval(taus['pairwise-mlp'] - taus['mlp'])} | | |"
            )
    members = table.architectures[:15_625]
    for name in args.predictors:
        predictor = get_predictor(name)(table.space).fit(members[:100], table.costs[:100])
        predictor.rank(members)
        began = time.process_time()
        predictor.rank(members)
        seconds = time.process_time() - began
        print(f"| {table_name} | ranks {len(members)} | {name} | | | {1000 * seconds:.0f} |")
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--tables", type=Path, required=True)
    parser.add_argument("--splits", type=int, default=20)
    parser.add_argument("--predictors", nargs="+", default=list_predictors())
    parser.add_argument("--only", nargs="+", default=list(TABLES), choices=TABLES)
    parser.add_argument("--csv", type=Path, help="every split's figures")
    args = parser.parse_args()
    rows: list[tuple[object, ...]] = []
    print("| table | N | predictor | tau | regret, points | CPU ms to fit |")
    print("|---|---|---|---|---|---|")
    for name in args.only:
        if name == "nb101":
            table = nasbench101(args.tables / "nasbench101_sample")
        else:
            table = nasbench201(args.tables / "nasbench201", name)
        rows += bench(name, table, args)
    if args.csv:
        with args.csv.open("w", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(["table", "n", "predictor", "split", "tau", "regret", "seconds"])
            writer.writerows(rows)


if __name__ == "__main__":
    main()
