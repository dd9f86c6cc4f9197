"""Does a network that loses channels in training do as well as a small one trained from scratch?

    python benchmarks/pruning.py                     # a few minutes on one core
    python benchmarks/pruning.py --share 0.75

On digits, with a network of NAS-Bench-201 and five seeds, each arm with the same epochs:

- `whole`: the network as it is;
- `hesso`: half of its groups of channels are removed in training;
- `scratch`: the shape that `hesso` found with that seed, initialised anew and trained;
- `magnitude`: as `hesso`, groups chosen by the two criteria that need no gradient;
- `random`: as `hesso`, groups chosen at random;
- `several`: as `hesso`, but with 25 and 75 % as well, all in one training of these epochs.

The error is that of all images that no arm sees in training: validation and test, of which none was
used to choose anything. Differences are paired by seed.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from statistics import fmean
from typing import Any

import numpy as np
import torch
from torch import nn

import nas
from nas.core.architecture import Candidate
from nas.evaluators.train import build_network
from nas.layers.adapt import Adaptation, adapt_like, adaptations
from nas.measure.comparison import paired
from nas.measure.counts import count_parameters
from nas.training import default_recipe, fit, hesso, load_data
from search_spaces import get_space

DATA = load_data("digits")
UNSEEN = len(DATA.validation), len(DATA.test_split())
Trained = tuple[float, nn.Module]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--channels", type=int, default=8)
    parser.add_argument("--share", type=float, default=0.5)
    parser.add_argument("--cell", default="resnet", help="published member of nasbench201")
    options = parser.parse_args()
    torch.set_num_threads(1)
    seeds = range(options.seeds)

    def trained(seed: int, like: list[Adaptation] = (), **recipe: Any) -> Trained:  # type: ignore[assignment]
        member = get_space("nasbench201").members[options.cell]
        scale = {"channels": options.channels, "layers": 1}
        network = build_network(Candidate(member), DATA, scale, seed)
        if like:
            adapt_like(network, like)
            torch.manual_seed(seed)
            for module in network.modules():
                if hasattr(module, "reset_parameters"):
                    module.reset_parameters()
        plan = default_recipe(DATA).but(epochs=options.epochs, **recipe)
        result = fit(network, DATA, plan, seed=seed, split="test")
        return unseen(result.figures), network

    began = time.process_time()
    arms = {"whole": [trained(seed) for seed in seeds]}
    arms["hesso"] = [trained(seed, prune=options.share) for seed in seeds]
    shapes = [adaptations(network) for _, network in arms["hesso"]]
    arms["scratch"] = [trained(seed, shapes[seed]) for seed in seeds]
    with scored(lambda weights, count: hesso_scores(without_gradients(weights), count)):
        arms["magnitude"] = [trained(seed, prune=options.share) for seed in seeds]
    chance = np.random.default_rng(0)
    with scored(lambda weights, count: chance.random(count)):
        arms["random"] = [trained(seed, prune=options.share) for seed in seeds]
    print(f"{options.epochs} epochs, seeds 0 to {options.seeds - 1}, share {options.share:g}\n")
    print("| arm | parameters | error | `hesso` minus it, 95 % interval |\n|---|---|---|---|")
    ours = [error for error, _ in arms["hesso"]]
    for name, runs in arms.items():
        errors = [error for error, _ in runs]
        size = fmean(count_parameters(network) for _, network in runs)
        print(f"| `{name}` | {size:,.0f} | {100 * fmean(errors):.2f} % | {told(ours, errors)} |")
    several(options, seeds, ours)
    print(f"\n{time.process_time() - began:.0f} s of one core")


def several(options: argparse.Namespace, seeds: range, alone: list[float]) -> None:
    """One training with three shares, beside one with a share alone."""
    shares = sorted({0.25, options.share, 0.75})
    member = get_space("nasbench201").members[options.cell]
    runs = [
        nas.prune(
            member,
            shares,
            epochs=options.epochs,
            seed=seed,
            scale={"channels": options.channels, "layers": 1},
            device="cpu",
        )
        for seed in seeds
    ]
    print("\n| share, of one training | epochs | parameters | error |\n|---|---|---|---|")
    for place, share in enumerate(shares):
        entries = [run[place] for run in runs]
        errors = [unseen(entry.figures) for entry in entries]
        size = fmean(entry.figures["params"] for entry in entries)
        epochs = entries[0].figures["epochs"]
        print(f"| {share:g} | {epochs:g} | {size:,.0f} | {100 * fmean(errors):.2f} % |")
        if share == options.share:
            note = f"share {share:g}: alone minus one of several {told(alone, errors)}"
    print(f"\n{note}")


def unseen(figures: Mapping[str, float]) -> float:
    """Error on validation and test images together."""
    wrong = figures["error"] * UNSEEN[0] + figures["test_error"] * UNSEEN[1]
    return wrong / sum(UNSEEN)


def told(first: list[float], second: list[float]) -> str:
    """A paired difference in points."""
    found = paired(first, second)
    low, high = 100 * found.low, 100 * found.high
    return f"{100 * found.difference:+.2f} ({low:+.2f} to {high:+.2f})"


hesso_scores = hesso.scores


@contextmanager
def scored(by: Callable[..., Any]) -> Iterator[None]:
    """Groups are chosen by other scores for a while."""
    hesso.scores = by
    try:
        yield
    finally:
        hesso.scores = hesso_scores


def without_gradients(weights: Any) -> Any:
    """The same weights, none with a gradient."""
    return [(weight.detach(), groups) for weight, groups in weights]


if __name__ == "__main__":
    main()
