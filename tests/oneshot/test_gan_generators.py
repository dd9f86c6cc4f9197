"""Stage 1 of the session "gan-supernet": what it moves, what it must not, and who fails."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from scipy import stats

from nas.core.errors import CandidateError, ConfigError
from nas.core.protocols import Context
from nas.oneshot.gan import open_gan_supernet
from nas.oneshot.gan_parts import balanced, endless

from .gan_driver import (
    AUTOGAN,
    DISCRIMINATORS,
    GENERATORS,
    Driver,
    config,
    same,
    stage_one,
    state,
    texts,
)

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
