"""The session "gan-supernet" on real, tiny networks: what each stage moves and what it must not."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from scipy import stats
from torch import Tensor, nn

from nas.core.config import RunConfig, merge
from nas.core.errors import CandidateError, ConfigError, DataError, Interrupted, UnsupportedError
from nas.core.objective import parse_objectives
from nas.core.problem import Problem
from nas.core.protocols import Context
from nas.engine.executors.base import Setup
from nas.measure.gan.features import ModuleExtractor
from nas.oneshot.gan import GanSession, open_gan_supernet
from nas.oneshot.gan_parts import balanced, copied, endless, measured
from nas.strategies.eagan.strategy import Eagan
from nas.testing.replay import Trial, check_replay
from nas.training.data.dataset import DataSet
from search_spaces import get_space
from search_spaces.gan.sharing import copy_weights

NETWORK = {"generator_channels": 3, "discriminator_channels": 3, "latent": 6}
SETTINGS: dict[str, Any] = {
    "samples": 60,
    "groups": 3,
    "chunk": 2,
    "generators": {"warmup": 1, "rounds": 2, "epochs": 1, "population": 4, "paths": 2},
    "discriminators": {
        "rounds": 2,
        "warmup": 1,
        "steps": 2,
        "population": 3,
        "replicates": 1,
        "stop": False,
    },
}
GENERATORS: Any = get_space("gan-generator")
DISCRIMINATORS: Any = get_space("gan-discriminator")
AUTOGAN = DISCRIMINATORS.format(DISCRIMINATORS.members["AutoGAN"])


def halves(data: DataSet, seed: int, device: str) -> ModuleExtractor:
    """Means of eight parts: nothing to be trained."""
    return ModuleExtractor("halves", nn.Sequential(nn.AvgPool2d((4, 2)), nn.Flatten()), 8)


def config(limit: int = 40, recipe: Any = None, **settings: Any) -> RunConfig:
    return RunConfig(
        space="gan",
        strategy="eagan",
        evaluator=f"gan:{__name__}:halves",
        objectives=("fd_halves:min", "params:min"),
        network=NETWORK,
        data_settings={"limit": limit},
        recipe={"batch_size": 12, "learning_rate": 1e-2, "ema_decay": 0.9, **(recipe or {})},
        settings=merge(SETTINGS, settings),
    )


class Driver:
    """Calls a session with seeds that depend on the number of the call."""

    def __init__(self, calls: int = 0, **given: Any) -> None:
        self.given, self.calls = given, calls
        self.session = open_gan_supernet(config(**given).model_dump(mode="json"), Context())

    def __call__(self, method: str, **arguments: Any) -> Any:
        self.calls += 1
        return self.session.call(method, arguments, Context(seed=self.calls)).value

    @property
    def one(self) -> Any:
        return self.session.generators

    @property
    def two(self) -> Any:
        return self.session.pairs

    def reopened(self, path: Path) -> Driver:
        self.session.save(path)
        other = Driver(self.calls, **self.given)
        chance = torch.get_rng_state()
        other.session.load(path)
        assert torch.equal(torch.get_rng_state(), chance)
        return other


def texts(space: Any, count: int, seed: int = 0) -> list[str]:
    rng = np.random.default_rng(seed)
    return [space.format(space.sample(rng)) for _ in range(count)]


def leaves(value: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    if isinstance(value, dict):
        for key, part in value.items():
            if key != "global_chance":  # set anew at the beginning of every epoch
                yield from leaves(part, f"{path}/{key}")
    elif isinstance(value, list | tuple):
        for number, part in enumerate(value):
            yield from leaves(part, f"{path}/{number}")
    else:
        yield path, value.detach().clone() if isinstance(value, Tensor) else value


def state(of: Any) -> dict[str, Any]:
    """A copy of everything: of a module, an optimizer, a learner, a stage, a session."""
    if isinstance(of, GanSession):
        return dict(leaves([p.state() if p else None for p in (of.generators, of.pairs)]))
    read = of.state_dict if hasattr(of, "state_dict") else of.state
    return dict(leaves(read()))


def same(first: dict[str, Any], second: dict[str, Any]) -> bool:
    return first.keys() == second.keys() and all(
        torch.equal(value, second[key]) if isinstance(value, Tensor) else value == second[key]
        for key, value in first.items()
    )


def storages(of: Any) -> set[int]:
    """Where tensors lie that training writes to."""
    tensors = [t for t in of.state_dict().values()] if isinstance(of, nn.Module) else []
    if not tensors:
        tensors = [v for s in of.state.values() for v in s.values() if isinstance(v, Tensor)]
    return {t.untyped_storage().data_ptr() for t in tensors if t.numel()}


def stage_one(**given: Any) -> Driver:
    ask = Driver(**given)
    ask("begin", discriminator=AUTOGAN)
    return ask


def stage_two(**given: Any) -> Driver:
    ask = stage_one(**given)
    generator = texts(GENERATORS, 1)[0]
    ask("train", epochs=1, paths=[generator])
    ask("pair", generator=generator)
    return ask


# -- stage 1 (A5) ---------------------------------------------------------------------------------


def test_stage_1_has_one_discriminator_and_one_optimizer() -> None:
    ask = stage_one()
    discriminator, optimizers = ask.one.discriminator, dict(ask.one.learner.optimizers)
    before, rows = state(discriminator), ask.one.fixed
    paths = texts(GENERATORS, 3)
    ask("train", epochs=1, paths=None)
    ask("train", epochs=2, paths=paths)
    ask("score", paths=paths)
    assert ask.one.discriminator is discriminator is ask.one.learner.discriminator
    assert ask.one.learner.optimizers == optimizers
    assert (
        ask.one.fixed
        == rows
        == DISCRIMINATORS.paths(DISCRIMINATORS.parse(AUTOGAN))["discriminator"]
    )
    assert discriminator.rows == rows
    assert not same(state(discriminator), before)  # one that is trained, though


@pytest.mark.parametrize("count", [1, 2])
def test_only_operations_on_the_paths_of_a_step_have_gradients(count: int) -> None:
    ask = stage_one(recipe={"batch_size": 8})
    learner, supernet = ask.one.learner, ask.one.network.network
    paths = texts(GENERATORS, count, 3)
    rows = [GENERATORS.paths(GENERATORS.parse(text))["generator"] for text in paths]
    allowed: set[str] = set()
    for text in paths:
        own = GENERATORS.network(GENERATORS.parse(text), (1, 8, 8), generator_channels=3, latent=6)
        allowed |= {name for name, _ in own.named_parameters()}
    before = state(supernet)
    ask.one.network.paths = rows
    learner.begin_epoch()
    learner.take_step()
    moved = set()
    for name, parameter in supernet.named_parameters():
        if name not in allowed:
            assert parameter.grad is None, name
            assert torch.equal(parameter, before[f"/{name}"]), name
        elif parameter.grad is not None and parameter.grad.abs().sum() > 0:
            moved.add(name.split(".")[1])
    assert len(moved) >= 3
    for gradient in (p.grad for p in ask.one.discriminator.parameters()):
        assert gradient is not None


def test_every_path_of_a_population_is_drawn_by_as_often() -> None:
    ask = stage_one()
    paths = texts(GENERATORS, 5)
    counts = ask("train", epochs=4, paths=paths)["counts"]
    assert sum(counts) == 4 * ask.one.learner.steps * 2
    assert max(counts) - min(counts) <= 4  # one of an epoch
    rng = np.random.default_rng(0)
    drawn = np.bincount([p for _ in range(300) for p in balanced(5, 7, rng)], minlength=5)
    assert stats.chisquare(drawn).pvalue > 1e-3
    assert max(drawn) - min(drawn) < 60


def test_warm_up_draws_uniformly(monkeypatch: pytest.MonkeyPatch) -> None:
    ask = stage_one(recipe={"batch_size": 4})
    seen: list[Any] = []
    learner = ask.one.learner

    def step(turn: Any) -> None:
        turn()
        seen.extend(ask.one.network.paths)
        learner.step += 1

    monkeypatch.setattr(learner, "take_step", step)
    monkeypatch.setattr(learner, "begin_epoch", lambda: None)
    ask("train", epochs=100, paths=None)
    assert len(set(map(str, seen))) > 0.99 * len(seen)
    for cell in range(3):
        counts = [sum(row[cell][0] == name for row in seen) for name in ("nearest", "bilinear")]
        counts.append(len(seen) - sum(counts))
        assert stats.chisquare(counts).pvalue > 1e-4


def test_a_score_is_of_averaged_weights_with_statistics_of_the_path() -> None:
    ask = stage_one()
    path = texts(GENERATORS, 1)[0]
    ask("train", epochs=2, paths=None)
    before = state(ask.session)
    first = ask.session.call("score", {"paths": [path, path]}, Context(seed=5)).value
    again = ask.session.call("score", {"paths": [path]}, Context(seed=5)).value
    other = ask.session.call("score", {"paths": [path]}, Context(seed=6)).value
    assert first[0] == first[1] == again[0] != other[0]  # common random numbers
    assert {"fd_halves", "fd_halves_se", "params", "macs"} <= first[0].keys()
    assert 0 < first[0]["fd_halves_se"] < first[0]["fd_halves"]
    assert same(state(ask.session), before)
    assert first[0]["params"] == sum(
        p.numel()
        for p in ask.one.taken(GENERATORS.paths(GENERATORS.parse(path))["generator"]).parameters()
    )


@pytest.mark.parametrize(
    ("name", "said"), [("is_halves", "needs logits"), ("is_classifier", "not of the extractor")]
)
def test_a_score_that_the_extractor_does_not_give_is_refused_at_once(name: str, said: str) -> None:
    given = config().model_dump(mode="json") | {"objectives": ["fd_halves:min", f"{name}:max"]}
    with pytest.raises(ConfigError, match=said):
        open_gan_supernet(given, Context())


# -- generators that fail -------------------------------------------------------------------------


def using(operation: str, cell: int, edge: int, count: int, others: int) -> list[str]:
    """Paths that have an operation at an edge, then some that have another there."""
    rng, found, without = np.random.default_rng(5), [], []
    while len(found) < count or len(without) < others:
        architecture = GENERATORS.sample(rng)
        has = GENERATORS.paths(architecture)["generator"][cell][edge] == operation
        (found if has else without).append(GENERATORS.format(architecture))
    return [*found[:count], *without[:others]]


def spoil(ask: Driver, path: str, others: list[str]) -> None:
    """Make a weight that only this path uses no number."""

    def names(text: str) -> set[str]:
        own = GENERATORS.network(GENERATORS.parse(text), (1, 8, 8), generator_channels=3, latent=6)
        return {name for name, _ in own.named_parameters()}

    alone = names(path) - set().union(*map(names, others))
    weights = dict(ask.one.network.network.named_parameters())
    with torch.no_grad():
        weights[min(alone)].view(-1)[0] = torch.nan


@pytest.mark.parametrize("n_critic", [1, 2])
def test_a_generator_that_makes_no_images_is_the_only_one_that_fails(
    tmp_path: Path, n_critic: int
) -> None:
    ask = stage_one(recipe={"n_critic": n_critic})
    paths = using("conv_5x5", 0, 4, 1, 3)
    ask("train", epochs=1, paths=paths[1:])
    spoil(ask, paths[0], paths[1:])
    told: list[str] = []
    context = Context(seed=9, emit=lambda topic, payload: told.append(topic))
    answer = ask.session.call("train", {"epochs": 2, "paths": paths}, context).value
    assert told.count("notice") == 1
    assert [bool(why) for why in answer["dropped"]] == [True, False, False, False]
    assert answer["counts"][0] == 0
    assert min(answer["counts"][1:]) > 0
    ask = ask.reopened(tmp_path / "state")
    scores = ask("score", paths=paths)
    assert scores[0] is None
    assert all(row["fd_halves"] > 0 for row in scores[1:])
    again = ask("train", epochs=1, paths=paths)
    assert again["counts"][0] == 0
    assert all(torch.isfinite(p).all() for p in ask.one.discriminator.parameters())
    ask("pair", generator=paths[1])
    assert all(torch.isfinite(t).all() for t in ask.two.base.state_dict().values())
    # Paths that have that weight are not drawn in warm-up either.
    ask = stage_one()
    spoil(ask, paths[0], paths[1:])
    ask("train", epochs=2, paths=None)
    assert np.isfinite(ask("train", epochs=1, paths=paths[1:])["generator_loss"])


@pytest.mark.parametrize("how", ["gradient", "memory"])
def test_those_of_a_step_that_fails_are_dropped(monkeypatch: pytest.MonkeyPatch, how: str) -> None:
    """A step on one of the paths ends numbers for all, or memory; before it all was well."""
    ask, plain = stage_one(), stage_one()
    paths = texts(GENERATORS, 6, 1)
    rows = [GENERATORS.paths(GENERATORS.parse(text))["generator"] for text in paths]
    learner, step = ask.one.learner, ask.one.learner.take_step

    def fails(*given: Any) -> None:
        step(*given)
        if rows[2] in ask.one.network.paths:
            if how == "memory":
                raise torch.OutOfMemoryError("CUDA out of memory")
            with torch.no_grad():
                next(ask.one.network.parameters()).fill_(torch.nan)

    monkeypatch.setattr(learner, "take_step", fails)
    for driver in (ask, plain):
        driver("train", epochs=1, paths=None)
    before = same(state(ask.session), state(plain.session))
    assert before
    answer = ask("train", epochs=3, paths=paths)
    assert answer["dropped"][2]
    dropped = [place for place, why in enumerate(answer["dropped"]) if why]
    assert len(dropped) <= 2  # of a step of two
    counts = [n for place, n in enumerate(answer["counts"]) if place not in dropped]
    assert max(counts) - min(counts) <= 3
    assert all(torch.isfinite(p).all() for p in ask.one.network.parameters())
    scores = ask("score", paths=paths)
    assert [row is None for row in scores] == [place in dropped for place in range(6)]
    # What is left was trained as if the others had never been there.
    others = [text for place, text in enumerate(paths) if place not in dropped]
    plain("train", epochs=3, paths=others)
    assert same(state(ask.one.network), state(plain.one.network))


def test_where_everything_diverges_that_is_the_end() -> None:
    ask = stage_one()
    with torch.no_grad():
        next(ask.one.discriminator.parameters()).fill_(torch.nan)
    with pytest.raises(CandidateError, match="discriminator are no numbers"):
        ask("train", epochs=1, paths=texts(GENERATORS, 3))
    ask = stage_one()
    with torch.no_grad():
        next(ask.one.network.parameters()).fill_(torch.nan)
    for paths in (texts(GENERATORS, 3), None):
        with pytest.raises(CandidateError, match="diverged"):
            ask("train", epochs=1, paths=paths)


def test_every_path_learns_as_often_where_few_steps_are_of_generators() -> None:
    """Steps of the discriminator do not count: only gradients move a generator."""
    ask = stage_one(recipe={"n_critic": 3, "batch_size": 4})
    paths = texts(GENERATORS, 7)
    learnt: list[Any] = []
    learner = ask.one.learner
    plain = learner._teach_generator

    def teach(number: int) -> None:
        learnt.extend(ask.one.network.paths)
        plain(number)

    learner._teach_generator = teach
    counts = ask("train", epochs=8, paths=paths)["counts"]
    rows = [GENERATORS.paths(GENERATORS.parse(text))["generator"] for text in paths]
    assert [learnt.count(row) for row in rows] == counts
    assert sum(counts) == 2 * (8 * learner.steps // 3)
    assert max(counts) - min(counts) <= 2
    for first in (0, 3, 40):
        drawn = np.bincount(endless(12, first, 100, 1), minlength=12)
        assert max(drawn) - min(drawn) <= 2
    assert endless(5, 0, 40, 1)[7:20] == endless(5, 7, 13, 1) != endless(5, 7, 13, 2)


# -- the hand-over (A7, A8) -----------------------------------------------------------------------


@pytest.mark.parametrize("ema", [0.9, None])
def test_stage_2_begins_with_the_trained_weights_of_stage_1(ema: float | None) -> None:
    ask = stage_one(recipe={"ema_decay": ema})
    path = texts(GENERATORS, 1)[0]
    ask("train", epochs=2, paths=[path])
    rows = GENERATORS.paths(GENERATORS.parse(path))["generator"]
    learner, supernet = ask.one.learner, ask.one.network.network
    wanted = GENERATORS.network(GENERATORS.parse(path), (1, 8, 8), generator_channels=3, latent=6)
    if ema:
        with learner.average.applied():
            copy_weights(supernet, wanted)
    else:
        copy_weights(supernet, wanted)
    held = state(ask.one.discriminator)
    ask("pair", generator=path)
    base = ask.two.base
    assert base.rows == rows
    named = dict(base.named_parameters())
    assert all(torch.equal(value, named[name]) for name, value in wanted.named_parameters())
    assert not storages(base) & storages(supernet)
    found = {name: t for name, t in state(ask.two.supernet).items() if name in held}
    assert same(found, held)  # the path of stage 1's discriminator begins with its weights
    before = state(base)
    ask("warm_up", epochs=1)
    ask("arrange", paths=texts(DISCRIMINATORS, 2), ranking=[])
    for slot in ask.two.slots:
        assert same(state(slot.learner.generator), before)
    for _ in range(2):
        ask("train_pairs", epochs=1)
        ask("arrange", paths=texts(DISCRIMINATORS, 2), ranking=[1, 0])
    assert same(state(base), before)
    assert {slot.learner.generator.rows for slot in ask.two.slots} == {rows}  # A8


def test_warm_up_moves_discriminators_only() -> None:
    ask = stage_two()
    base, supernet = state(ask.two.base), state(ask.two.supernet)
    ask("warm_up", epochs=1)
    assert same(state(ask.two.base), base)
    assert not same(state(ask.two.supernet), supernet)
    assert not ask.two._warm.optimizers["generator"].state


# -- pairs (A6, A7) -------------------------------------------------------------------------------


def whole(slot: Any) -> list[dict[str, Any]]:
    learner = slot.learner
    return [
        state(learner.generator),
        state(learner.optimizers["generator"]),
        dict(leaves(learner.average.state())),
    ]


@pytest.mark.parametrize("weights", ["own", "shared"])
def test_a_step_of_one_pair_moves_no_other_generator(weights: str) -> None:
    ask = stage_two(discriminators={"weights": weights})
    ask("arrange", paths=texts(DISCRIMINATORS, 3), ranking=[])
    ask("train_pairs", epochs=1)
    slots = ask.two.slots
    before, judged = [whole(s) for s in slots], [state(s.learner.discriminator) for s in slots]
    slots[1].learner.begin_epoch()
    slots[1].learner.take_step()
    for number, slot in enumerate(slots):
        now = whole(slot)
        for one, other in zip(now, before[number], strict=True):
            assert same(one, other) == (number != 1)
        moved = not same(state(slot.learner.discriminator), judged[number])
        assert moved == (number == 1 or weights == "shared")
    generators = [slot.learner.generator for slot in slots]
    generators += [slot.learner.optimizers["generator"] for slot in slots]
    if weights == "own":
        generators += [slot.learner.discriminator for slot in slots]
    else:
        (one,) = {id(slot.learner.optimizers["discriminator"]) for slot in slots}
        assert one == id(ask.two._warm.optimizers["discriminator"])
    for number, first in enumerate(generators):
        for second in generators[number + 1 :]:
            assert not storages(first) & storages(second)


def test_what_is_a_pairs_own_follows_its_discriminator() -> None:
    ask = stage_two()
    a, b, c, d = texts(DISCRIMINATORS, 4)
    ask("arrange", paths=[a, b, c], ranking=[])
    for number, slot in enumerate(ask.two.slots):  # tags
        with torch.no_grad():
            next(slot.learner.discriminator.parameters()).fill_(number + 10)
    ask("train_pairs", epochs=1)
    before = {
        slot.path: (state(slot.learner.discriminator), slot.learner.optimizers["discriminator"])
        for slot in ask.two.slots
    }
    ask("arrange", paths=[c, d, a], ranking=[2, 0, 1])
    paths = [DISCRIMINATORS.paths(DISCRIMINATORS.parse(t))["discriminator"] for t in (c, d, a)]
    assert [slot.path for slot in ask.two.slots] == paths
    for slot in ask.two.slots:
        if slot.path == paths[1]:
            inherited = state(ask.two.supernet)  # the new one has what the others leave
            assert all(
                torch.equal(value, inherited[name])
                for name, value in state(slot.learner.discriminator).items()
            )
            continue
        network, optimizer = before[slot.path]
        assert same(state(slot.learner.discriminator), network)
        assert same(state(slot.learner.optimizers["discriminator"]), state(optimizer))
        assert not storages(slot.learner.optimizers["discriminator"]) & storages(optimizer)
    best = before[paths[0]][0]
    assert all(torch.equal(state(ask.two.supernet)[name], value) for name, value in best.items())


@pytest.mark.parametrize(
    ("weights", "moments", "ema"),
    [("own", "reset", 0.9), ("own", "copy", 0.9), ("shared", "reset", 0.9), ("own", "copy", None)],
)
def test_every_round_begins_with_the_very_generator_that_scored_best(
    weights: str, moments: str, ema: float | None
) -> None:
    """The average with its buffers, bit for bit, where there is one (A7)."""
    ask = stage_two(
        discriminators={"moments": moments, "replicates": 2, "weights": weights},
        recipe={"ema_decay": ema},
    )
    paths = texts(DISCRIMINATORS, 3)
    ask("arrange", paths=paths, ranking=[])
    ask("train_pairs", epochs=1)
    best = ask.two.slots[3]
    raw, optimizer = state(best.learner.generator), best.learner.optimizers["generator"]
    with measured(best.learner) as network:
        generator = state(network)
    assert same(raw, generator) == (ema is None)
    assert not same(raw, state(ask.two.slots[0].learner.generator))
    call = ("score_pairs", {}, Context(seed=5))
    scored = ask.session.call(*call).value[1][1]["fd_halves"]
    ask("arrange", paths=paths, ranking=[3, 0, 1, 2, 4, 5])
    again = [pair["fd_halves"] for row in ask.session.call(*call).value for pair in row]
    assert again == [scored] * 6
    slots = ask.two.slots
    for number, slot in enumerate(slots):
        assert same(state(slot.learner.generator), generator)
        mine = slot.learner.optimizers["generator"]
        if moments == "reset":
            assert not mine.state
        else:
            assert same(state(mine), state(optimizer))
            assert not storages(mine) & storages(optimizer)
        for other in [best, *slots[:number]]:
            assert not storages(slot.learner.generator) & storages(other.learner.generator)


def test_the_discriminator_of_stage_1_goes_on_as_it_was(tmp_path: Path) -> None:
    """Warm-up moves operations that its path shares; the one to be beaten has its own."""
    ask = stage_one()
    generator = texts(GENERATORS, 1)[0]
    ask("train", epochs=2, paths=[generator])
    held = state(ask.one.discriminator)
    moments = state(ask.one.learner.optimizers["discriminator"])
    ask("pair", generator=generator)
    ask("warm_up", epochs=2)
    assert not same({n: t for n, t in state(ask.two.supernet).items() if n in held}, held)
    ask = ask.reopened(tmp_path / "state")
    ask("arrange", paths=[*texts(DISCRIMINATORS, 1), AUTOGAN], ranking=[])
    other, mine = ask.two.slots
    assert same(state(mine.learner.discriminator), held)
    assert same(state(mine.learner.optimizers["discriminator"]), moments)
    assert not other.learner.optimizers["discriminator"].state
    supernet = state(ask.two.supernet)
    shared = state(other.learner.discriminator)
    assert all(torch.equal(tensor, supernet[name]) for name, tensor in shared.items())


def test_pairs_are_confirmed_from_the_rounds_beginning_with_other_chance(tmp_path: Path) -> None:
    second = {"replicates": 2, "confirm": 3, "stop": True}
    ask = stage_two(discriminators=second)
    paths = texts(DISCRIMINATORS, 2)
    for ranking in ([], [3, 0, 1, 2]):  # a first round, and one of discriminators of their own
        ask("arrange", paths=paths, ranking=ranking)
        begun = [state(slot.learner) for slot in ask.two.slots]
        ask("train_pairs", epochs=1)
        ended = [state(slot.learner) for slot in ask.two.slots]
        ask("confirm", paths=paths[::-1])
        again = ask.two.slots
        assert len(again) == 6
        for place, slot in enumerate(again):
            source = begun[(2, 3, 2, 0, 1, 0)[place]]
            assert same(state(slot.learner), source)
        ask = ask.reopened(tmp_path / "state")
        reply = ask.session.call("train_pairs", {"epochs": 1}, Context())
        assert reply.spent.epochs == 6
        assert reply.spent.macs > 0
        again = [state(slot.learner.generator) for slot in ask.two.slots]
        before = [state(slot.learner.generator) for slot in ask.two.aside]
        for place, one in enumerate(again):
            assert not any(same(one, other) for other in [*before, *again[:place]])
        assert [len(row) for row in ask("score_pairs")] == [3, 3]
        assert all(same(state(s.learner), end) for s, end in zip(ask.two.aside, ended, strict=True))
    best = ask.two.aside[1]
    with measured(best.learner) as network:
        wanted = state(network)
    ask("arrange", paths=paths, ranking=[1, 0, 2, 3])
    assert not ask.two.aside
    assert [len(row) for row in ask("score_pairs")] == [2, 2]
    assert all(same(state(slot.learner.generator), wanted) for slot in ask.two.slots)


def test_without_resetting_every_pair_goes_on_with_its_own() -> None:
    ask = stage_two(discriminators={"resetting": False})
    a, b, c = texts(DISCRIMINATORS, 3)
    ask("arrange", paths=[a, b], ranking=[])
    ask("train_pairs", epochs=1)
    old = {slot.path: whole(slot) for slot in ask.two.slots}
    ask("arrange", paths=[b, a, c], ranking=[1, 0])
    *kept, fresh = ask.two.slots
    for slot in kept:
        assert all(same(x, y) for x, y in zip(whole(slot), old[slot.path], strict=True))
    assert same(state(fresh.learner.generator), state(ask.two.base))


def test_replicates_have_other_chance_and_discriminators_the_same() -> None:
    """Twice the same discriminator would be trained to the same bits, its replicate to others."""
    ask = stage_two(discriminators={"replicates": 2})
    (path,) = texts(DISCRIMINATORS, 1)
    ask("arrange", paths=[path, path], ranking=[])
    ask("train_pairs", epochs=1)
    first, second, third, fourth = [state(s.learner.generator) for s in ask.two.slots]
    assert same(first, third)
    assert same(second, fourth)
    assert not same(first, second)


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (torch.OutOfMemoryError("CUDA out of memory"), "out of memory on cpu"),
        (MemoryError(), "out of memory on cpu"),
        (CandidateError("too slow"), "too slow"),
        (ValueError("a mistake"), None),
    ],
)
def test_whatever_a_pair_fails_of_the_others_go_on(
    monkeypatch: pytest.MonkeyPatch, error: Exception, said: str | None
) -> None:
    ask = stage_two()
    ask("arrange", paths=texts(DISCRIMINATORS, 3), ranking=[])

    def fails() -> None:
        raise error

    monkeypatch.setattr(ask.two.slots[1].learner, "take_step", fails)
    if said is None:  # ours, which is not to be taken for the candidate's
        with pytest.raises(ValueError, match="a mistake"):
            ask("train_pairs", epochs=1)
        return
    assert ask("train_pairs", epochs=2)["failed"] == ["", said, ""]
    scores = ask("score_pairs")
    assert scores[1] == [None]
    assert scores[0][0]["fd_halves"] > 0
    ask("arrange", paths=texts(DISCRIMINATORS, 3), ranking=[2, 0, 1])
    assert not any(ask("train_pairs", epochs=1)["failed"])


def test_a_pair_that_diverges_is_the_only_one_that_fails() -> None:
    ask = stage_two()
    ask("arrange", paths=texts(DISCRIMINATORS, 3), ranking=[])
    with torch.no_grad():
        next(ask.two.slots[1].learner.discriminator.parameters()).fill_(torch.nan)
    failed = ask("train_pairs", epochs=1)["failed"]
    assert [bool(text) for text in failed] == [False, True, False]
    scores = ask("score_pairs")
    assert scores[1] == [None]
    assert scores[0][0]["fd_halves"] > 0
    supernet = ask.two.supernet
    ask("arrange", paths=texts(DISCRIMINATORS, 3), ranking=[2, 0, 1])
    assert all(torch.isfinite(t).all() for t in supernet.state_dict().values())
    assert all(
        torch.isfinite(t).all()
        for slot in ask.two.slots
        for t in slot.learner.discriminator.state_dict().values()
    )


# -- sessions (A10) -------------------------------------------------------------------------------

CALLS: list[tuple[str, dict[str, Any]]] = [
    ("begin", {"discriminator": AUTOGAN}),
    ("train", {"epochs": 2, "paths": None}),
    ("train", {"epochs": 1, "paths": texts(GENERATORS, 3)}),
    ("score", {"paths": texts(GENERATORS, 3)}),
    ("pair", {"generator": texts(GENERATORS, 1)[0]}),
    ("warm_up", {"epochs": 1}),
    ("arrange", {"paths": texts(DISCRIMINATORS, 2), "ranking": []}),
    ("train_pairs", {"epochs": 1}),
    ("score_pairs", {}),
    ("confirm", {"paths": texts(DISCRIMINATORS, 2)}),
    ("train_pairs", {"epochs": 1}),
    ("score_pairs", {}),
    ("arrange", {"paths": texts(DISCRIMINATORS, 2)[::-1], "ranking": [1, 0]}),
    ("train_pairs", {"epochs": 1}),
    ("score_pairs", {}),
]


@pytest.mark.parametrize(
    ("weights", "loss", "places"),
    [
        ("own", "rpgan", (2, 5, 9, 10, 13)),
        pytest.param("shared", "hinge", (5, 7, 9), marks=pytest.mark.slow),
    ],
    ids=["own", "shared"],
)
def test_going_on_from_any_call_changes_no_bit(
    tmp_path: Path, weights: str, loss: str, places: Any
) -> None:
    own = {"replicates": 2, "confirm": 2, "stop": True} if weights == "own" else {}
    given = {"discriminators": {"weights": weights, **own}, "recipe": {"loss": loss}}
    straight, broken = Driver(**given), Driver(**given)
    calls = CALLS if own else [*CALLS[:9], *CALLS[12:]]
    for place, (method, arguments) in enumerate(calls):
        if method == "arrange" and arguments["ranking"] and own:
            arguments = {**arguments, "ranking": [3, 0, 1, 2]}
        expected = straight(method, **arguments)
        assert broken(method, **arguments) == expected
        if place in places:
            broken = broken.reopened(tmp_path / "state")
        assert same(state(broken.session), state(straight.session)), method
        if method in GanSession.readonly:
            assert all(value for value in expected)


def test_what_only_looks_changes_nothing() -> None:
    ask = Driver(discriminators={"confirm": 1, "replicates": 2, "stop": True})
    for method, arguments in CALLS:
        before = state(ask.session)
        ask(method, **arguments)
        assert same(state(ask.session), before) == (method in GanSession.readonly), method


def test_other_data_and_wrong_order_are_refused(tmp_path: Path) -> None:
    ask = stage_one()
    with pytest.raises(UnsupportedError, match="stage 2 is not under way"):
        ask("score_pairs")
    ask.session.save(tmp_path / "state")
    with pytest.raises(DataError, match="not what this run began with"):
        Driver(limit=30).session.load(tmp_path / "state")
    with pytest.raises(Interrupted):
        ask.session.call("train", {"epochs": 1, "paths": None}, Context(should_stop=lambda: True))


def test_spent_counts_every_network() -> None:
    ask = stage_two(discriminators={"replicates": 2})
    ask("arrange", paths=texts(DISCRIMINATORS, 3), ranking=[])
    session = ask.session
    reply = session.call("train_pairs", {"epochs": 2}, Context())
    assert reply.spent.epochs == 12
    assert reply.spent.macs > 0
    half = session.call("train_pairs", {"epochs": 1}, Context())
    assert reply.spent.macs == pytest.approx(2 * half.spent.macs)
    assert session.call("score_pairs", {}, Context()).spent.macs > 0


@pytest.mark.filterwarnings("ignore:for .* copying from a non-meta parameter")
def test_states_of_chance_stay_on_the_host_wherever_networks_are(tmp_path: Path) -> None:
    """Their generators take them from there only; "meta" stands in for an accelerator."""
    for place in (3, 8):
        ask = Driver()
        for method, arguments in CALLS[:place]:
            ask(method, **arguments)
        ask.session.save(tmp_path / "state")
        other = Driver()
        other.session._parts = replace(other.session._parts, device=torch.device("meta"))
        other.session.load(tmp_path / "state")
        stage, loaded = (ask.one, other.one) if place == 3 else (ask.two, other.two)
        both = [
            [s.learner] if place == 3 else [x.learner for x in s.slots] for s in (stage, loaded)
        ]
        for mine, theirs in zip(*both, strict=True):
            assert {p.device.type for p in theirs.generator.parameters()} == {"meta"}
            moments = theirs.optimizers["generator"].state.values()
            assert {m["exp_avg"].device.type for m in moments} == {"meta"}
            assert torch.equal(theirs._chance.get_state(), mine._chance.get_state())


def test_a_state_that_was_loaded_is_not_written_to() -> None:
    ask = stage_one()
    ask("train", epochs=1, paths=None)
    learner = ask.one.learner
    kept = copied(learner.state())
    before = dict(leaves(kept))
    learner.load_state(kept)
    ask("train", epochs=1, paths=None)
    assert same(dict(leaves(kept)), before)


@pytest.mark.slow
def test_a_search_killed_at_many_events_ends_as_if_it_had_not() -> None:
    """The strategy and the real session, on the engine: at any round, in either stage."""
    second = {"replicates": 2, "stop": True, "steps": 1, "population": 2, "confirm": 2}
    first = {"population": 2, "warmup": 1}
    settings = merge(SETTINGS, {"generators": first, "discriminators": second, "samples": 40})
    run = config(**settings)
    problem = Problem(get_space("gan"), parse_objectives(run.objectives))
    setup = Setup(evaluator=run.evaluator, spec=run.model_dump(mode="json"))
    trial = Trial(Eagan(settings), problem, setup)
    assert check_replay(trial, [(17,), (23, 30)]) == 3
