"""Is what EAGAN finds on digits better than drawing at random, and does its supernet know?

    python benchmarks/eagan.py [--seed 0] [--scale quick] [--set KEY=VALUE ...]
        [--objectives fd_classifier:min ...] [--epochs 40] [--fresh 5] [--random 20]
        [--random-seeds 2] [--best-of] [--baselines] [--classes 10] [--rank 20] [--rank-seeds 2]
        [--save FILE]

The search is that of ``nas search --space gan`` without what follows it. Trainings are those of
the evaluator `gan`: pairs at 12 channels, 40 epochs of 25 steps, as after a search; reported is
the Frechet distance of the test images, by which nothing was chosen. One thread.

``--fresh N``: the pair found, trained on N seeds, against ``--random K`` random pairs on
``--random-seeds`` each: its mean has to be below the median of theirs. What is permuted are
architectures, one mean each, so that p is 1 / (K + 1) at least. Beside it stands the p of permuted
single trainings, which takes those of one architecture for independent: with deviations as on
digits (1.8 between, 2.2 within) it is below 0.05 in a sixth of draws in which nothing was found.
``--best-of``: random search with the multiply-accumulates of the search (trainings of 6 epochs),
its best on the same fresh seeds. ``--baselines``: members made by hand or published, likewise.
``--classes N``: N trainings of the pair found; how many of the ten classes have at least one in a
hundred of its images, as the extractor sees them.
``--rank N``: rank correlation of scores with shared weights, at the end of stage 1, and mean
distances of N random generators trained by themselves on ``--rank-seeds`` seeds each. Beside it
stands how well two seeds agree (the mean over pairs of them), and what scores would reach that
ordered generators as endlessly many seeds do: the root of the mean's reliability.
``--save FILE``: every training goes there as it is made, a line of JSON each, and none that is
there is made again: an interrupted benchmark goes on where it was once it has searched again.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Callable, Sequence
from functools import cache
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import torch
from scipy.stats import spearmanr

from nas.core.architecture import Candidate
from nas.core.canonical import content_id
from nas.core.config import RunConfig
from nas.core.errors import CandidateError
from nas.core.objective import parse_objectives
from nas.core.problem import Problem
from nas.core.protocols import Context
from nas.core.seeds import derive
from nas.core.work import Call, Evaluate, Outcome
from nas.engine.resolve import resolve
from nas.evaluators import WEIGHTS
from nas.evaluators.gan import GanEvaluator, build_pair
from nas.measure.gan.extractors import built
from nas.measure.gan.features import logits_of
from nas.oneshot.gan import open_gan_supernet
from nas.strategies.eagan.strategy import Eagan
from nas.training import load_data, load_weights
from nas.training.gan.images import drawn
from nas.training.gan.recipe import GanRecipe, default_gan_recipe
from search_spaces import get_space

FRESH = 1000
"""First seed of trainings of what was found; no search has it."""
BASELINES = ("EAGAN", "EAGAN_G", "AdversarialNAS", "smallest")
BY_HAND = tuple(
    f"gan-baselines:{name}" for name in ("SNGAN", "R3GAN_tiny", "AutoGAN_A", "AutoGAN_A_simple")
)
Look = Callable[[Any], None]


def search(config: RunConfig, look: Look | None = None) -> tuple[list[Candidate], float, int]:
    """What the strategy finds, its multiply-accumulates and epochs; `look` sees stage 1's end."""
    problem = Problem(get_space(config.space), parse_objectives(config.objectives), announce=told)
    session = open_gan_supernet(config.model_dump(mode="json"), Context(device="cpu"))
    rng = np.random.default_rng(derive(config.seed, "search"))
    generator = Eagan(config.settings).run(problem, rng)
    answer: Any = None
    calls, macs, epochs = 0, 0.0, 0.0
    while True:
        try:
            (call,) = generator.send(answer)
        except StopIteration as end:
            if look is not None and session.generators is not None:  # there was no stage 2
                look(session)
            return end.value, macs, int(epochs)
        assert isinstance(call, Call)
        if call.method == "pair" and look is not None:
            look(session)
        calls += 1
        context = Context(seed=derive(config.seed, "call", calls))
        reply = session.call(call.method, call.arguments, context)
        macs, epochs = macs + reply.spent.macs, epochs + reply.spent.epochs
        answer = [Outcome(call, value=reply.value)]


def told(topic: str, payload: Any) -> None:
    """Decisions, as they are made."""
    if topic == "decision":
        print(f"  {payload['edge']} {payload['kept'][0]}: {payload['reason']}", flush=True)


@cache
def evaluator(text: str) -> GanEvaluator:
    """One for each configuration: the extractor is trained once."""
    return GanEvaluator(RunConfig.model_validate_json(text).model_dump(mode="json"))


class Trainings:
    """Trainings of a configuration, each made once.

    Args:
        config: The run's.
        path: Of a file of JSON lines that is read, and added to; None to keep nothing.
    """

    def __init__(self, config: RunConfig, path: Path | None = None) -> None:
        self.config, self._path = config, path
        usual = default_gan_recipe(load_data(config.data, config.seed))
        recipe = GanRecipe.from_settings(config.recipe, usual).model_dump(mode="json")
        searched = {"settings", "objectives", "recipe"}  # the first two matter to the search alone
        self._about = content_id([config.model_dump(mode="json", exclude=searched), recipe])
        text = path.read_text() if path is not None and path.exists() else ""
        whole = text[: text.rfind("\n") + 1]  # the last line may have been cut off
        self._known: dict[str, dict[str, float]] = {
            json.dumps(row["key"]): row["value"] for row in map(json.loads, whole.splitlines())
        }
        if path is not None and whole != text:
            path.write_text(whole)

    def __call__(
        self, candidate: Candidate, epochs: int, seed: int, split: str = "test"
    ) -> dict[str, float]:
        """Figures of one training, `classes` among them; none of a failed one."""
        key = (self._about, candidate.id, epochs, seed, split)
        if (name := json.dumps(key)) not in self._known:
            self._known[name] = trained(self.config, candidate, epochs, seed, split)
            if self._path is not None:
                with self._path.open("a") as file:
                    file.write(json.dumps({"key": key, "value": self._known[name]}) + "\n")
        return self._known[name]

    def tested(self, candidate: Candidate, epochs: int, seeds: Sequence[int]) -> list[float]:
        """Distances of the test images, by seed."""
        return [self(candidate, epochs, seed)["test_fd_classifier"] for seed in seeds]


def trained(
    config: RunConfig, candidate: Candidate, epochs: int, seed: int, split: str
) -> dict[str, float]:
    """As `Trainings`."""
    with tempfile.TemporaryDirectory() as folder:
        context = Context(device="cpu", scratch=Path(folder))
        work = Evaluate(candidate, epochs, seed, split)  # type: ignore[arg-type]
        try:
            reply = evaluator(config.model_dump_json()).evaluate(work, context)
        except CandidateError as error:
            print(f"  failed: {error}", flush=True)
            return {"fd_classifier": np.inf, "test_fd_classifier": np.inf, "macs spent": 0.0}
        found = {**reply.figures, "macs spent": reply.spent.macs}
        if split == "test":
            found["classes"] = classes(config, candidate, seed, Path(folder) / WEIGHTS)
    return found


def classes(config: RunConfig, candidate: Candidate, seed: int, weights: Path) -> int:
    """Classes that at least one in a hundred of 2,000 images is taken for."""
    data = load_data("digits", config.seed)
    pair: Any = build_pair(candidate, data.input_shape, config.network, "rpgan", seed)
    load_weights(pair.generator, weights)
    z = torch.randn(2000, pair.generator.latent, generator=torch.Generator().manual_seed(seed))
    images = drawn(pair.generator.eval(), z, "cpu")
    logits = logits_of(built("classifier", data, config.seed, "cpu"), images, "cpu")
    assert logits is not None
    counts = np.bincount(logits.argmax(1), minlength=10)
    return int((counts >= 20).sum())


def said(values: Sequence[float]) -> str:
    return " ".join(f"{value:.2f}" for value in values)


def permuted_architectures(found: float, others: Sequence[float]) -> float:
    """One-sided p: how many architectures' means are so far below the median of all others'.

    Exact if architectures are exchangeable; a little large if the one found has a mean of more
    trainings, which is less often the least of all by chance.
    """
    pool = np.array([found, *others])
    below = [pool[i] - np.median(np.delete(pool, i)) for i in range(len(pool))]
    return float(np.mean(np.array(below) <= below[0]))


def permuted_trainings(
    found: Sequence[float], others: Sequence[float], draws: int = 20_000
) -> float:
    """One-sided p: how often relabelled trainings have a mean so far below the others' median.

    It takes all trainings for independent, as if those of one architecture were no more alike than
    any: where architectures differ, it is too small.
    """
    rng = np.random.default_rng(0)
    pool, count = np.array([*found, *others]), len(found)

    def statistic(values: Any) -> float:
        return float(values[:count].mean() - np.median(values[count:]))

    seen = statistic(pool)
    hits = sum(statistic(rng.permutation(pool)) <= seen for _ in range(draws))
    return (hits + 1) / (draws + 1)


def random_search(trainings: Trainings, macs: float, rng: np.random.Generator) -> Candidate:
    """The best of as many random pairs as the search's cost pays for."""
    space = get_space("gan")
    number, spent, best = 0, 0.0, (np.inf, Candidate(space.members["EAGAN"]))
    while spent < macs:
        candidate = space.candidate(space.sample(rng))
        found = trainings(candidate, 6, 0, "validation")
        spent += found["macs spent"] or macs / 40
        best = min(best, (found["fd_classifier"], candidate), key=lambda item: item[0])
        number += 1
    print(f"random search: {number} pairs, best short training {best[0]:.2f}", flush=True)
    return best[1]


def rank(trainings: Trainings, asked: Any, session: Any) -> None:
    """How scores at the end of stage 1 order generators, against trainings of their own."""
    space: Any = get_space("gan-generator")
    rng = np.random.default_rng(77)
    members = [space.sample(rng) for _ in range(asked.rank)]
    texts = [space.format(member) for member in members]
    rows = session.call("score", {"paths": texts}, Context(seed=5)).value
    scores = [np.inf if row is None else row["fd_classifier"] for row in rows]
    alone = np.array(
        [
            [trainings(space.candidate(m), asked.epochs, s)["fd_classifier"] for m in members]
            for s in range(asked.rank_seeds)
        ]
    )
    keep = np.isfinite(alone).all(0) & np.isfinite(scores)
    shared, alone = np.array(scores)[keep], alone[:, keep]
    print(f"shared {said(shared)}")
    for seed, row in enumerate(alone):
        print(f"alone {seed} {said(row)}")
    count = len(alone)
    mean = alone.mean(0)
    for name, of in (
        (f"supernet and mean of {count} trainings", lambda at: orders(shared[at], mean[at])),
        ("two trainings", lambda at: agreement(alone[:, at])),
        (f"ceiling of a mean of {count}", lambda at: ceiling(agreement(alone[:, at]), count)),
    ):
        value, low, high = resampled(of, len(shared))
        print(
            f"rank correlation, {name}: {value:.3f} (95% {low:.3f} to {high:.3f}),"
            f" {len(shared)} generators",
            flush=True,
        )


def orders(first: Any, second: Any) -> float:
    """Spearman's correlation."""
    return float(spearmanr(first, second).statistic)


def agreement(alone: Any) -> float:
    """Mean correlation of two rows."""
    return float(np.mean([orders(*pair) for pair in combinations(alone, 2)]))


def ceiling(two: float, count: int) -> float:
    """Root of the reliability of a mean of rows (Spearman and Brown), from that of one."""
    return float(np.sqrt(count * two / (1 + (count - 1) * two))) if two > 0 else 0.0


def resampled(
    statistic: Callable[[Any], float], count: int, draws: int = 2000
) -> tuple[float, float, float]:
    """A statistic of places, and its percentiles over resampled ones."""
    rng = np.random.default_rng(0)
    found = [statistic(rng.integers(count, size=count)) for _ in range(draws)]
    low, high = np.nanpercentile(found, [2.5, 97.5])
    return statistic(np.arange(count)), float(low), float(high)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--scale", default="quick")
    parser.add_argument("--objectives", nargs="+", help="of the search; the preset's by default")
    parser.add_argument("--set", action="append", default=[])
    parser.add_argument("--epochs", type=int, default=40, help="of a full training")
    parser.add_argument("--fresh", type=int, default=5)
    parser.add_argument("--random", type=int, default=20)
    parser.add_argument("--random-seeds", type=int, default=2)
    parser.add_argument("--best-of", action="store_true")
    parser.add_argument("--baselines", action="store_true")
    parser.add_argument("--classes", type=int, default=0)
    parser.add_argument("--rank", type=int, default=0)
    parser.add_argument("--rank-seeds", type=int, default=2)
    parser.add_argument("--save", type=Path, help="file to keep trainings in, and to go on from")
    asked = parser.parse_args()
    if asked.rank_seeds < 2:
        parser.error("--rank-seeds is at least 2: one training says nothing of chance")
    torch.set_num_threads(1)
    given = {"space": "gan", "preset": asked.scale, "seed": asked.seed, "device": "cpu"}
    if asked.objectives:
        given["objectives"] = tuple(asked.objectives)
    config = resolve({**given, "data": "digits"}, assignments=asked.set)
    began = time.process_time()
    trainings = Trainings(config, asked.save)
    look = (lambda session: rank(trainings, asked, session)) if asked.rank else None
    (found, *_), macs, epochs = search(config, look)
    space: Any = get_space("gan")
    print(
        f"search, seed {asked.seed}: {space.format(found.architecture)}, {epochs} epochs,"
        f" {macs / 1e9:.0f} G multiply-adds, {time.process_time() - began:.0f} CPU s",
        flush=True,
    )
    seeds = range(FRESH, FRESH + max(asked.fresh, asked.classes))
    tested = trainings.tested(found, asked.epochs, seeds)
    if tested:
        print(f"found: {said(tested)}, mean {np.mean(tested):.2f}", flush=True)
    if asked.classes:
        counts = [int(trainings(found, asked.epochs, s).get("classes", 0)) for s in seeds]
        print(f"classes of ten: {counts}, {sum(c >= 9 for c in counts)} of {len(counts)} with 9")
    rng = np.random.default_rng(1234)
    drawn_pairs = [space.candidate(space.sample(rng)) for _ in range(asked.random)]
    others = []
    for pair in drawn_pairs:
        others.append(trainings.tested(pair, asked.epochs, range(asked.random_seeds)))
        print(f"random: {said(others[-1])}", flush=True)
    means = [float(np.mean(row)) for row in others]
    flat = [value for row in others for value in row]
    if tested and flat:
        print(
            f"found mean {np.mean(tested):.2f}; means of {len(means)} random pairs: median"
            f" {np.median(means):.2f}, best {min(means):.2f}; one-sided p over architectures"
            f" {permuted_architectures(float(np.mean(tested)), means):.4f}, over single trainings"
            f" {permuted_trainings(tested, flat):.4f}",
            flush=True,
        )
    fresh = range(FRESH, FRESH + asked.fresh)
    if asked.best_of:
        rival = random_search(trainings, macs, np.random.default_rng(asked.seed + 1))
        values = trainings.tested(rival, asked.epochs, fresh)
        print(f"best of random search: {said(values)}, mean {np.mean(values):.2f}", flush=True)
    if asked.baselines:
        named = {name: space.members[name] for name in BASELINES}
        for name in BY_HAND:
            where, _, member = name.partition(":")
            named[name] = get_space(where).members[member]
        for name, member in named.items():
            values = trainings.tested(Candidate(member), asked.epochs, fresh)
            print(f"{name}: {said(values)}, mean {np.mean(values):.2f}", flush=True)


if __name__ == "__main__":
    main()
