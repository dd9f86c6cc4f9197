"""Stage 2 of the session "gan-supernet": the hand-over, and pairs that are their own."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from nas.core.errors import CandidateError
from nas.core.protocols import Context
from nas.oneshot.gan_parts import measured
from search_spaces.gan.sharing import copy_weights

from .gan_driver import (
    AUTOGAN,
    DISCRIMINATORS,
    GENERATORS,
    leaves,
    same,
    stage_one,
    stage_two,
    state,
    storages,
    texts,
)

# -- the hand-over (A7, A8) -----------------------------------------------------------------------


def test_a_path_of_discriminators_is_shown_real_and_generated_images_at_once() -> None:
    ask = stage_two()
    sizes: list[int] = []
    ask.two.supernet.register_forward_pre_hook(lambda _, given: sizes.append(len(given[0])))
    ask("warm_up", epochs=1)
    assert set(sizes) == {24}


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
