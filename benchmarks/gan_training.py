"""GANs of cells on digits, 400 steps each: losses side by side, and how many random ones train.

    python benchmarks/gan_training.py [--losses] [--rates 4] [--random 20] [--speed 6]
        [--epochs 16] [--seeds 3]

EAGAN's generator at 12 channels with 24 latent numbers, AutoGAN's discriminator at 12, batches of
32, Adam(0, 0.9) at 4e-3: the networks are trained by the evaluator `gan` as a search trains them,
805 images, 25 steps an epoch. Printed is the Frechet distance of 2,000 images of the averaged
generator by the built-in classifier, against validation and against test images, and beside it
what that extractor says of uniform noise and of real images.

``--losses``: the regularised relativistic loss at three weights of its penalties and hinge with
spectral normalisation at three rates, each also with augmentation. ``--rates N``: four rates, two
seeds each of EAGAN's generator and N - 1 random ones. ``--random N``: N random generators, one seed
each. ``--speed N``: CPU time of a step of N such pairs, against one that scores real and generated
images each in a batch of their own, with and without convolutions in torch's own layout; in turns
of ten steps, the median of ten turns.
"""

from __future__ import annotations

import argparse
import math
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch

from nas.core.architecture import Candidate
from nas.core.config import RunConfig
from nas.core.errors import CandidateError
from nas.core.protocols import Context
from nas.core.work import Evaluate
from nas.evaluators.gan import GanEvaluator, build_pair
from nas.measure.gan.extractors import built
from nas.measure.gan.judge import Judge
from nas.training import load_data
from nas.training.gan.learner import PairLearner
from nas.training.gan.recipe import default_gan_recipe
from nas.training.stream import Placed
from search_spaces import get_space

SCALE = {"generator_channels": 12, "discriminator_channels": 12, "latent": 24}
RECIPE = {"batch_size": 32, "learning_rate": 4e-3, "collapse_factor": 0.0}
LOSSES: list[dict[str, Any]] = [
    {"gamma": 0.5},
    {"gamma": 0.125},
    {"gamma": 2.0},
    {"loss": "hinge"},
    {"loss": "hinge", "learning_rate": 1e-3},
    {"loss": "hinge", "learning_rate": 8e-3},
    {"gamma": 0.5, "augment": ["translation"]},
    {"loss": "hinge", "augment": ["translation"]},
]


def trained(candidate: Candidate, recipe: Mapping[str, Any], epochs: int, seed: int) -> str:
    """Figures of one training, as a line."""
    config = RunConfig(
        space="gan",
        strategy="random",
        evaluator="gan",
        objectives=("fd_classifier:min",),
        network=SCALE,
        recipe={**RECIPE, **recipe},
    )
    evaluator = GanEvaluator(config.model_dump(mode="json"))
    begun = time.process_time()
    try:
        reply = evaluator.evaluate(Evaluate(candidate, epochs, seed, "test"), Context())
    except CandidateError as error:
        FOUND.append(math.inf)
        return f"failed: {error}"
    found = reply.figures
    FOUND.append(found["fd_classifier"])
    return (
        f"FD {found['fd_classifier']:6.2f} +- {found['fd_classifier_se']:.2f}, infinite"
        f" {found['fd_inf_classifier']:6.2f}, test {found['test_fd_classifier']:6.2f}, KID"
        f" {found['kid_classifier']:.3f}, IS {found['is_classifier']:.2f},"
        f" {found['params']:.0f} parameters, {time.process_time() - begun:.0f} CPU s"
    )


RATES = (1e-3, 2e-3, 4e-3, 8e-3)
FOUND: list[float] = []
"""Distances of the trainings so far, infinite of those that failed."""


def rates(candidates: Sequence[Candidate], epochs: int) -> None:
    """Print what each rate makes of the candidates, two seeds of each."""
    for rate in RATES:
        FOUND.clear()
        for candidate in candidates:
            for seed in range(2):
                trained(candidate, {"gamma": 0.5, "learning_rate": rate}, epochs, seed)
        print(
            f"rate {rate}: {' '.join(f'{value:.2f}' for value in FOUND)},"
            f" median {statistics.median(FOUND):.2f}",
            flush=True,
        )


def stepper(candidate: Candidate, *, together: bool, channels_last: bool) -> Callable[[], float]:
    """Takes ten steps of a pair, and tells the CPU seconds."""
    data = load_data("digits")
    recipe = default_gan_recipe(data).but(channels_last=channels_last)
    pair: Any = build_pair(candidate, data.input_shape, SCALE, recipe.loss, 0)
    pair.discriminator.scores_apart = together
    placed = Placed(data.train, "cpu")
    learner = PairLearner(pair.generator, pair.discriminator, SCALE["latent"], placed, recipe, 9, 0)
    learner.begin_epoch()

    def go() -> float:
        begun = time.process_time()
        for _ in range(10):
            learner.take_step()
        return time.process_time() - begun

    return go


def speed(candidates: Sequence[Candidate]) -> None:
    """Print the time of a step, and of steps that are taken otherwise."""
    ways = {
        "together, channels last": {"together": True, "channels_last": True},
        "together": {"together": True, "channels_last": False},
        "apart": {"together": False, "channels_last": False},
    }
    totals = dict.fromkeys(ways, 0.0)
    for candidate in candidates:
        steppers = {name: stepper(candidate, **way) for name, way in ways.items()}
        times: dict[str, list[float]] = {name: [] for name in ways}
        for turn in range(11):
            for name, go in steppers.items():
                seconds = go()
                if turn:  # the first one warms up
                    times[name].append(seconds / 10)
        for name, found in times.items():
            totals[name] += statistics.median(found)
    for name, total in totals.items():
        print(
            f"{name}: {1e3 * total / len(candidates):.1f} ms a step,"
            f" {total / totals['apart']:.2f} of apart",
            flush=True,
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--losses", action="store_true", help="compare losses")
    parser.add_argument("--rates", type=int, default=0, help="generators to compare rates on")
    parser.add_argument("--random", type=int, default=0, help="random generators to train")
    parser.add_argument("--speed", type=int, default=0, help="random generators to time")
    parser.add_argument("--epochs", type=int, default=16)
    parser.add_argument("--seeds", type=int, default=3)
    asked = parser.parse_args()
    if (asked.speed or asked.rates) and (asked.losses or asked.random):
        parser.error("--speed and --rates go without --losses and --random")
    torch.set_num_threads(1)
    space, generators = get_space("gan"), get_space("gan-generator")
    rng = np.random.default_rng(0)
    eagan = Candidate(space.members["EAGAN_G"])
    drawn = [
        generators.candidate(generators.sample(rng))
        for _ in range(max(asked.speed, asked.random, asked.rates))
    ]
    if asked.speed:
        speed(drawn[: asked.speed])
    if asked.rates:
        rates([eagan, *drawn[: asked.rates - 1]], asked.epochs)
    if asked.speed or asked.rates:
        return
    data = load_data("digits")
    extractor = built("classifier", data, 0, "cpu")
    judge = Judge(extractor, data, "validation", "cpu", resamples=0)
    noise = torch.randint(0, 256, (2000, *data.input_shape), dtype=torch.uint8)
    print(
        f"extractor {extractor.identity}: uniform noise {judge.distance(noise):.1f},"
        f" test images {judge.distance(data.test_split().images):.2f}",
        flush=True,
    )
    for recipe in LOSSES if asked.losses else LOSSES[:1] if not asked.random else []:
        FOUND.clear()
        for seed in range(asked.seeds):
            line = trained(eagan, recipe, asked.epochs, seed)
            print(f"{recipe}, seed {seed}: {line}", flush=True)
        if FOUND:
            print(f"{recipe}: median {statistics.median(FOUND):.2f}", flush=True)
    FOUND.clear()
    for number, candidate in enumerate(drawn[: asked.random]):
        print(f"random {number}: {trained(candidate, LOSSES[0], asked.epochs, 0)}", flush=True)
    if FOUND:
        print(
            f"{sum(map(math.isfinite, FOUND))} of {asked.random} finite; worst {max(FOUND):.2f},"
            f" median {statistics.median(FOUND):.2f}"
        )


if __name__ == "__main__":
    main()
