"""How proxies order networks, against their accuracy in published tables.

    python benchmarks/proxies.py --tables DIR [--networks 100] [--full] [--device cuda]

DIR holds nasbench201/ and nasbench101_sample/. Our proxies are worked out on untrained networks
of cells drawn from the tables, smaller than the benchmarks' own to be affordable on a CPU, or, with
``--full``, of the benchmarks' size; and on one batch of CIFAR-10 images (``--images FILE.npz``,
else noise). The tables' own columns of proxies are compared on all their rows. Printed: Spearman's
rank correlation with validation accuracy and with the table's column of the same name, seconds a
network (of the processor, or on a GPU that others may share, on the clock), and how many networks
had no figure.
"""

from __future__ import annotations

import argparse
import csv
import gzip
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.multiprocessing as processes
from scipy.stats import spearmanr

from nas.core.architecture import Architecture
from predictors.proxies import list_proxies, measure
from search_spaces import get_space

Row = dict[str, str]
SMALL: dict[str, dict[str, int]] = {
    "nasbench201": {"channels": 16, "layers": 1},
    "nasbench101": {"channels": 16, "layers": 1},
}
FULL: dict[str, dict[str, int]] = {
    "nasbench201": {"channels": 16, "layers": 5},
    "nasbench101": {"channels": 128, "layers": 3},
}
COLUMNS = {"grad-norm": "grad_norm", "macs": "flops", "naswot": "nwot"}
"""The tables' names of what we name otherwise."""


def rows_of(path: Path) -> list[Row]:
    with gzip.open(path, "rt", newline="") as file:
        return list(csv.DictReader(file))


def tables(folder: Path) -> dict[str, tuple[list[Architecture], np.ndarray, list[Row]]]:
    cells = {row["index"]: row for row in rows_of(folder / "nasbench201" / "nb201_cifar.csv.gz")}
    proxies = [
        row
        for row in rows_of(folder / "nasbench201" / "nb201_zero_cost_725.csv.gz")
        if row["dataset"] == "c10"
    ]
    space = get_space("nasbench201")
    found = {
        "nasbench201": (
            [space.parse(cells[row["index"]]["arch_str"]) for row in proxies],
            np.array([float(cells[row["index"]]["c10_val_e200"]) for row in proxies]),
            proxies,
        )
    }
    rows = rows_of(folder / "nasbench101_sample" / "nb101_zero_cost_500.csv.gz")
    space = get_space("nasbench101")
    found["nasbench101"] = (
        [space.parse(f"{row['adjacency']}:{row['ops']}") for row in rows],
        np.array([float(row["val_e108_pct"]) for row in rows]),
        rows,
    )
    return found


def batch(file: Path | None, size: int) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    if file is None:
        return torch.randn(size, 3, 32, 32, generator=generator), torch.arange(size) % 10
    arrays = np.load(file, allow_pickle=False)
    rows = np.random.default_rng(0).permutation(len(arrays["x_train"]))[:size]
    images = torch.from_numpy(arrays["x_train"][rows]).permute(0, 3, 1, 2).float() / 255
    images = (images - images.mean((0, 2, 3), keepdim=True)) / images.std((0, 2, 3), keepdim=True)
    return images, torch.from_numpy(arrays["y_train"][rows].astype(np.int64))


def correlation(figures: np.ndarray, accuracy: np.ndarray) -> float:
    known = np.isfinite(figures) & np.isfinite(accuracy)
    return float(spearmanr(figures[known], accuracy[known]).statistic)


def column(rows: list[Row], name: str) -> np.ndarray:
    return np.array([float(row[name]) if row[name] else np.nan for row in rows])


def figures_of(job: tuple[str, Architecture, int, argparse.Namespace]) -> dict[str, list[float]]:
    """Of one network: by proxy, the figure and the seconds that it took."""
    name, architecture, seed, args = job
    torch.set_num_threads(1)
    images, labels = (tensor.to(args.device) for tensor in batch(args.images, args.batch))
    torch.manual_seed(seed)
    network = get_space(name).network(architecture, **scales(args)[name]).to(args.device)
    clock = time.process_time if args.device == "cpu" else time.perf_counter
    found = {}
    for proxy in list_proxies():
        began = clock()
        found[proxy] = [measure(network, images, labels, [proxy])[proxy], clock() - began]
    return found


def scales(args: argparse.Namespace) -> dict[str, dict[str, int]]:
    return FULL if args.full else SMALL


def ours(name: str, table: Any, args: argparse.Namespace) -> None:
    architectures, accuracy, rows = table
    drawn = np.random.default_rng(0).permutation(len(architectures))[: args.networks]
    jobs = [(name, architectures[row], int(row), args) for row in drawn]
    found = []
    ends = time.monotonic() + 60 * args.minutes
    with processes.get_context("spawn").Pool(args.workers) as pool:
        for figures in pool.imap(figures_of, jobs):
            found.append(figures)
            if time.monotonic() > ends:
                break
    drawn = drawn[: len(found)]
    for proxy in list_proxies():
        known, seconds = np.array([figures[proxy] for figures in found]).T
        twin = COLUMNS.get(proxy, proxy)
        agrees = f"{correlation(known, column(rows, twin)[drawn]):+.2f}" if twin in rows[0] else ""
        print(
            f"| {name} | {proxy} | {correlation(known, accuracy[drawn]):+.2f} | {agrees}"
            f" | {seconds.mean():.2f} | {np.isnan(known).sum()} of {len(known)} |",
            flush=True,
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--tables", type=Path, required=True)
    parser.add_argument("--networks", type=int, default=100)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--images", type=Path)
    parser.add_argument("--only", nargs="+", default=list(SMALL), choices=list(SMALL))
    parser.add_argument("--full", action="store_true", help="networks of the benchmarks' size")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--workers", type=int, default=1, help="processes that share the device")
    parser.add_argument("--minutes", type=float, default=1e9, help="a table at most")
    args = parser.parse_args()
    found = tables(args.tables)
    print("| table's own column | proxy | Spearman |\n|---|---|---|")
    skipped = ("index", "dataset", "hash", "n", "adjacency", "ops")
    for name, (_, accuracy, rows) in found.items():
        for proxy in rows[0]:
            if proxy not in skipped and not proxy.startswith(("t_", "val_")):
                print(f"| {name} | {proxy} | {correlation(column(rows, proxy), accuracy):+.2f} |")
    print(f"\nours: {args.networks} networks, {args.batch} images, {scales(args)}\n")
    print(
        "| table | proxy | accuracy | column | s | no figure |\n|---|---|---|---|---|---|",
        flush=True,
    )
    for name in args.only:
        ours(name, found[name], args)


if __name__ == "__main__":
    main()
