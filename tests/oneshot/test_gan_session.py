"""The session "gan-supernet" as a whole: going on from any call, refusals, costs."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from nas.core.config import merge
from nas.core.errors import DataError, Interrupted, UnsupportedError
from nas.core.objective import parse_objectives
from nas.core.problem import Problem
from nas.core.protocols import Context
from nas.engine.executors.base import Setup
from nas.oneshot.gan import GanSession
from nas.oneshot.gan_parts import copied
from nas.strategies.eagan.strategy import Eagan
from nas.testing.replay import Trial, check_replay
from search_spaces import get_space

from .gan_driver import (
    AUTOGAN,
    DISCRIMINATORS,
    GENERATORS,
    SETTINGS,
    Driver,
    config,
    leaves,
    same,
    stage_one,
    stage_two,
    state,
    texts,
)

needs_cuda = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")

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


@pytest.mark.parametrize("device", ["cpu", pytest.param("cuda", marks=needs_cuda)])
@pytest.mark.parametrize(
    ("weights", "loss", "places"),
    [
        ("own", "rpgan", (2, 5, 9, 10, 13)),
        pytest.param("shared", "hinge", (5, 7, 9), marks=pytest.mark.slow),
    ],
    ids=["own", "shared"],
)
def test_going_on_from_any_call_changes_no_bit(
    tmp_path: Path, weights: str, loss: str, places: Any, device: str
) -> None:
    own = {"replicates": 2, "confirm": 2, "stop": True} if weights == "own" else {}
    given: dict[str, Any] = {
        "discriminators": {"weights": weights, **own},
        "recipe": {"loss": loss},
        "device": device,
    }
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
