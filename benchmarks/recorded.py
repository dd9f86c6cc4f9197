"""What a step of a training costs on a GPU: its passes recorded and replayed, and each time called.

    python benchmarks/recorded.py [--rounds 5] [--steps 20] [--only nasbench201 pair]

Random images of 3x32x32 (digits' size for the smallest pair of networks), the recipe that is the
default for such with flips, shifts, cutout, an average of the weights and clipped gradients; pairs
by the default recipe of GANs. Each row is one network, built twice, in one process and in turns of
`--steps` steps: wall milliseconds between synchronisations, the median of the turns, and the median
of the ratios of neighbouring turns. `ready` is what it took until all was recorded, in steps of the
called form. Both forms end with the same weights, to the bit, or the row says so.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch import nn

from nas.core.architecture import Candidate
from nas.evaluators.gan import build_pair
from nas.training import TrainingRecipe
from nas.training.augment import Augmentation, Pipeline
from nas.training.data.dataset import Split
from nas.training.device import deterministic
from nas.training.evaluation import place
from nas.training.gan import GanRecipe
from nas.training.gan.learner import PairLearner
from nas.training.randomness import seeded
from nas.training.stepper import Stepper
from nas.training.stream import Placed
from search_spaces import get_space

DEVICE = torch.device("cuda")
EPOCH_STEPS = 1000
READY_STEPS = 8
NETWORKS: list[tuple[str, dict[str, Any], int]] = [
    ("nasbench201", {"channels": 16, "layers": 5}, 256),
    ("nasbench101", {}, 256),
    ("darts", {"channels": 16, "layers": 8}, 96),
    ("darts", {"channels": 36, "layers": 20}, 96),
    ("fbnetv3-small", {}, 256),
]
PAIRS: list[tuple[tuple[int, int, int], int, int, dict[str, Any]]] = [
    ((1, 8, 8), 12, 32, {}),
    ((3, 32, 32), 64, 64, {}),
    ((3, 32, 32), 128, 64, {"loss": "hinge", "n_critic": 5}),
]
Made = tuple[Callable[[], object], Callable[[], list[torch.Tensor]]]


def few(count: int, shape: tuple[int, int, int]) -> Placed:
    chance = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, (count, *shape), dtype=torch.uint8, generator=chance)
    return Placed(Split(images, torch.randint(0, 10, (count,), generator=chance)), DEVICE)


def weights(*networks: nn.Module) -> Callable[[], list[torch.Tensor]]:
    return lambda: [tensor.clone() for n in networks for tensor in n.state_dict().values()]


def of_network(name: str, scale: dict[str, Any], batch: int, recordable: bool) -> Made:
    space: Any = get_space(name)
    recipe = TrainingRecipe(
        batch_size=batch, flip=True, crop_padding=4, cutout=8, ema_decay=0.999, clip_norm=5.0
    )
    with seeded(0, "network"):
        member = space.sample(np.random.default_rng(0))
        network = space.network(member, (3, 32, 32), 10, **scale)
    network.recordable = recordable
    place(network, DEVICE, recipe)
    pipeline = Pipeline((0.5,) * 3, (0.25,) * 3, Augmentation(True, 4, 8), DEVICE)
    stepper = Stepper(network, few(batch * 20, (3, 32, 32)), pipeline, recipe, EPOCH_STEPS, 0)
    taken = 0

    def step() -> None:
        nonlocal taken
        if taken % stepper.steps == 0:
            stepper.end_epoch()
            stepper.begin_epoch(taken // stepper.steps)
        stepper.take_step()
        taken += 1

    return step, weights(network)


def of_pair(
    shape: tuple[int, int, int], width: int, batch: int, more: dict[str, Any], recordable: bool
) -> Made:
    space: Any = get_space("gan")
    recipe = GanRecipe(batch_size=batch, **more)
    scale = {"generator_channels": width, "discriminator_channels": width, "latent": 2 * width}
    scale["latent"] -= scale["latent"] % 3
    pair: Any = build_pair(Candidate(space.members["EAGAN"]), shape, scale, recipe.loss, 0)
    pair.to(DEVICE)
    for network in (pair.generator, pair.discriminator):
        network.recordable = recordable
    images = few(batch * EPOCH_STEPS // 10, shape)
    learner = PairLearner(
        pair.generator, pair.discriminator, scale["latent"], images, recipe, EPOCH_STEPS, 0
    )
    learner.begin_epoch()
    return learner.take_step, weights(pair)


def seconds(step: Callable[[], object], count: int) -> float:
    torch.cuda.synchronize()
    began = time.perf_counter()
    for _ in range(count):
        step()
    torch.cuda.synchronize()
    return time.perf_counter() - began


def compare(title: str, make: Callable[[bool], Made], rounds: int, steps: int) -> str:
    forms = {recordable: make(recordable) for recordable in (False, True)}
    first = {recordable: seconds(step, READY_STEPS) for recordable, (step, _) in forms.items()}
    times: dict[bool, list[float]] = {False: [], True: []}
    for _ in range(rounds):
        for recordable, (step, _) in forms.items():
            times[recordable].append(1000 * seconds(step, steps) / steps)
    called, recorded = (statistics.median(times[r]) for r in (False, True))
    ratio = statistics.median(a / b for a, b in zip(times[False], times[True], strict=True))
    ready = (1000 * first[True] - READY_STEPS * recorded) / called
    ends = zip(forms[False][1](), forms[True][1](), strict=True)
    same = "" if all(torch.equal(a, b) for a, b in ends) else ", other weights"
    return f"| {title}{same} | {recorded:.2f} | {called:.2f} | {ratio:.1f} | {ready:.0f} |"


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--only", nargs="+", default=[""], help="rows whose title begins so")
    args = parser.parse_args(arguments)
    torch.set_num_threads(1)
    rows: list[tuple[str, Callable[[bool], Made]]] = []
    for name, scale, batch in NETWORKS:
        said = ", ".join(f"{value} {key}" for key, value in scale.items())
        title = f"{name} {said}, batch {batch}".replace(" ,", ",")
        rows.append((title, lambda r, a=(name, scale, batch): of_network(*a, r)))
    for shape, width, batch, more in PAIRS:
        loss = more.get("loss", "rpgan")
        title = f"pair, {width} channels, {loss}, {'x'.join(map(str, shape))}, batch {batch}"
        rows.append((title, lambda r, a=(shape, width, batch, more): of_pair(*a, r)))
    print("| | recorded, ms | called, ms | ratio | ready |\n|---|---|---|---|---|")
    with deterministic():
        for title, make in rows:
            if title.startswith(tuple(args.only)):
                print(compare(title, make, args.rounds, args.steps), flush=True)


if __name__ == "__main__":
    main()
