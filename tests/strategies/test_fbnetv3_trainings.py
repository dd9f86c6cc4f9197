"""Stage 1 of FBNetV3 on problems whose truth is known: whom it trains, and for how long."""

from __future__ import annotations

import math
import zlib
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
import pytest

from evolution.bands import beyond, parse_bands
from nas.core.architecture import Architecture, Candidate
from nas.core.objective import parse_objectives
from nas.core.problem import Problem
from nas.core.work import Evaluate, Next, Outcome, Start
from nas.strategies.fbnetv3 import surrogate
from nas.strategies.fbnetv3.strategy import FbnetV3
from predictors import Labels
from predictors.labels import Prediction
from search_spaces import get_space

from .driving import drive
from .fbnetv3_task import (
    EPOCHS,
    FAST,
    GP,
    ITS,
    QUICK,
    Mobile,
    announced,
    batch,
    names,
    verified,
)

# -- stage 1, with a predictor that is watched --------------------------------------------------


class Watched:  # of the face of a predictor
    """A predictor whose expectations are given, and which keeps all that it is told and asked.

    What it expects is a sum of hashes of choices: nothing that a search could know by itself.
    """

    ranks, levels = False, True
    told: ClassVar[list[tuple[list[Architecture], Labels, Any]]]
    asked: ClassVar[list[list[Architecture]]]

    def __init__(self, space: Any, settings: Mapping[str, Any], seed: int) -> None:
        self.settings = settings

    @staticmethod
    def expects(member: Architecture) -> float:
        parts = [zlib.crc32(f"{name} {value}".encode()) for name, value in member.choices.items()]
        return sum(parts) / 2**32

    def fit(self, members: Sequence[Architecture], labels: Labels, extra: Any) -> Watched:
        self.told.append((list(members), labels, extra))
        return self

    def predict(self, members: Sequence[Architecture], extra: Any) -> Prediction:
        self.asked.append(list(members))
        means = np.array([self.expects(member) for member in members])
        return Prediction(means, np.full(len(members), 1e-9))


@pytest.fixture
def watched(monkeypatch: pytest.MonkeyPatch) -> type[Watched]:
    Watched.told, Watched.asked = [], []
    monkeypatch.setattr(surrogate, "get_predictor", lambda name: Watched)
    return Watched


def test_the_published_batches_are_the_best_expected_of_the_pool(watched: type[Watched]) -> None:
    mobile = Mobile()
    settings = FbnetV3({**FAST, "mode": "paper", "within": ("3e8<=macs<=6e8",)})
    generator = settings.run(mobile.problem, np.random.default_rng(0))
    works: Any = next(generator).works  # type: ignore[union-attr]
    assert watched.told == watched.asked == []  # the first batch knows no predictor
    assert len(works) == 12
    trained: list[Candidate] = []
    answers: list[Outcome] = []
    for turn in (2, 3):
        told = [Outcome(w, figures=mobile.figures(w)) for w in works]
        trained += [work.candidate for work in works]
        answers += told
        watched.asked.clear()
        works = answered(generator, told)
        # It learnt from everything there is, once, and from nothing else.
        assert len(watched.told) == turn - 1
        members, labels, extra = watched.told[-1]
        assert extra is None
        errors = {o.candidate.id: o.figures["error"] for o in answers}
        assert {m.id: v for m, v in zip(members, labels.values, strict=True)} == {
            c.architecture.id: errors[c.id] for c in trained
        }
        # It was asked for everybody in the pool who was not trained, and the best of them are next.
        crowd = max(watched.asked, key=len)
        ids = {candidate.architecture.id for candidate in trained}
        assert len(crowd) == 200 - len(trained)
        assert not ids & {member.id for member in crowd}
        assert all(3e8 <= mobile.macs(Candidate(member)) <= 6e8 for member in crowd)
        best = sorted(crowd, key=watched.expects)[:8]
        assert [work.candidate.architecture for work in works] == best
        assert {work.tags["round"] for work in works} == {turn}
    watched.asked.clear()
    works = answered(generator, [Outcome(w, figures=mobile.figures(w)) for w in works])
    # Stage 2 expects more of somebody new than of anybody in the pool; it was found and not drawn.
    everybody = [member for members in watched.asked for member in members]
    assert [work.candidate.architecture for work in works] == [min(everybody, key=watched.expects)]
    assert {work.tags["stage"] for work in works} == {"verify"}
    assert watched.expects(works[0].candidate.architecture) < min(map(watched.expects, crowd))


def answered(generator: Any, told: Sequence[Outcome]) -> Sequence[Evaluate]:
    """The works that are begun once all outcomes were told, the last ones first."""
    assert isinstance(next(generator), Next)
    for outcome in reversed(told[1:]):
        assert isinstance(generator.send(outcome), Next)
    request = generator.send(told[0])
    assert isinstance(request, Start)
    return request.works  # type: ignore[return-value]


def test_by_default_the_best_expected_are_looked_for_beyond_the_pool(
    watched: type[Watched],
) -> None:
    mobile = Mobile()
    ledger = mobile.search({"pool": 40, "within": ("3e8<=macs<=6e8",)}, curves=lambda work: {})
    _, _, extra = watched.told[0]
    assert extra == pytest.approx(
        np.log([list(mobile.counted(Candidate(m)).values()) for m in watched.told[0][0]])
    )
    expected = [
        [watched.expects(o.candidate.architecture) for o in batch(ledger, n)] for n in (1, 2)
    ]
    # 28 of the pool were left, of whom eight would hardly all be better than those twelve.
    assert max(expected[1]) < min(expected[0])
    assert len(batch(ledger, 3)) == 8  # though the pool alone had few left
    assert all(3e8 <= mobile.macs(o.candidate) <= 6e8 for o in ledger.outcomes)


@pytest.mark.parametrize("mode", ["paper", "default"])
def test_everything_that_was_read_teaches(watched: type[Watched], mode: str) -> None:
    ledger = Mobile().search({"mode": mode, "rounds": 4})
    counts = [len({m.id for m in members}) for members, _, _ in watched.told]
    sizes = [len(set(names(batch(ledger, turn)))) for turn in (1, 2, 3, 4)]
    assert counts == np.cumsum(sizes).tolist()
    assert all(np.isfinite(labels.values).all() for _, labels, _ in watched.told)


# -- whom it trains -----------------------------------------------------------------------------


@pytest.mark.parametrize("mode", ["paper", "default"])
def test_nobody_is_trained_twice_be_it_by_another_name(mode: str) -> None:
    """NAS-Bench-201: of 15,625 cells 6,466 differ in what they compute."""
    space = get_space("nasbench201")
    problem = Problem(space, parse_objectives("error:min"))
    gains = {"none": 0.0, "skip_connect": 1.0, "nor_conv_1x1": 2.0, "nor_conv_3x3": 3.0}

    def figures(work: Evaluate) -> Mapping[str, float]:
        member = space.canonical(work.candidate.architecture)
        return {"error": 20 - sum(gains.get(str(op), 0.5) for op in member.choices.values())}

    settings = {**FAST, "mode": mode, "rounds": 5, "batch": 20, "pool": 600}
    ledger = drive(FbnetV3(settings), problem, figures)
    stage = [o for o in ledger.outcomes if "round" in o.work.tags]  # type: ignore[union-attr]
    assert len(stage) == 12 + 4 * 20
    kinds = [space.identity(o.candidate.architecture) for o in stage]
    assert len(set(kinds)) == len(kinds)
    assert not {space.identity(o.candidate.architecture) for o in verified(ledger)} & set(kinds)
    keys = [o.work.key for o in ledger.outcomes]
    assert len(set(keys)) == len(keys)


SLOW = (pytest.mark.slow, pytest.mark.timeout(900))
LESS: dict[str, Any] = {"pretraining": 400, "pretraining_steps": 100, "members": 1, "steps": 50}


@pytest.mark.parametrize(
    "own",
    [
        {"mode": "paper", "predictor": "nars", "predictor_settings": {"statistics": False, **LESS}},
        GP,
        pytest.param({"mode": "paper", **ITS}, marks=SLOW),
        pytest.param(ITS, marks=SLOW),
    ],
    ids=["paper-fast", "default-fast", "paper", "default"],
)
def test_later_batches_are_better_than_the_first(own: dict[str, Any]) -> None:
    wins, seeds = 0, 10
    for seed in range(seeds):
        mobile = Mobile(seed)
        settings = {"within": ("macs<=6e8",), "verify": 0, "pool": 120, **own}
        ledger = mobile.search(settings, seed, curves=lambda work: {})
        truth = [np.mean([mobile.error(o.candidate) for o in batch(ledger, n)]) for n in (1, 2, 3)]
        wins += int(max(truth[1:]) < truth[0])
        assert all(mobile.macs(o.candidate) <= 6e8 for o in ledger.outcomes)
    assert wins >= 9


def test_a_narrow_band_is_kept_by_all() -> None:
    mobile = Mobile()
    ledger = mobile.search({"within": ("4.4e8<=macs", "macs<=4.6e8"), "rounds": 2, "pool": 60})
    assert len(ledger.outcomes) >= 12 + 8
    assert all(4.4e8 <= mobile.macs(o.candidate) <= 4.6e8 for o in ledger.outcomes)
    assert 4.4e8 <= mobile.macs(ledger.found[0]) <= 4.6e8


def test_limits_of_objectives_are_kept_too() -> None:
    mobile = Mobile(0, "error:min", "macs:min<=4e8")
    ledger = mobile.search({"rounds": 2})
    assert ledger.found
    assert all(mobile.macs(o.candidate) <= 4e8 for o in ledger.outcomes)


def test_what_is_expected_to_break_a_limit_comes_last() -> None:
    """Latency is only known after training; the pool keeps no limit of it, later batches do."""
    wanted = "latency_ms:min<=65"
    mobile = Mobile(0, "error:min", wanted)
    free = Mobile(0).search({"first": 20})
    for mode in ("paper", "default"):
        ledger = mobile.search({"mode": mode, "first": 20})
        kept, without = (
            [np.mean([o.figures["latency_ms"] <= 65 for o in batch(told, n)]) for n in (1, 2, 3)]
            for told in (ledger, free)
        )
        assert kept[0] == without[0] < 0.6
        assert max(without[1:]) < 0.4
        if mode == "default":
            assert min(kept[1:]) >= 0.6
        assert 20 + 1e-7 * mobile.macs(ledger.found[0]) <= 65 * 1.02


def test_targets_share_the_trainings_and_each_gets_its_own() -> None:
    mobile = Mobile(1)
    targets = ("macs<=3.5e8", "4.4e8<=macs<=4.6e8", "macs>=9e8,params<=9e9")
    ledger = mobile.search({"targets": targets, "rounds": 3})
    inside = [
        [beyond(parse_bands(t), mobile.counted(o.candidate)) == 0 for t in targets]
        for o in ledger.outcomes
    ]
    assert all(any(row) for row in inside)
    assert np.array(inside[:12]).any(axis=0).all()  # the first batch is of all kinds
    assert len(ledger.found) == 3
    for candidate, target in zip(ledger.found, targets, strict=True):
        assert beyond(parse_bands(target), mobile.counted(candidate)) == 0
    assert 1 <= len(verified(ledger)) <= 2 * 3


# -- for how long -------------------------------------------------------------------------------


@pytest.mark.parametrize("epochs", [EPOCHS, None])
def test_the_first_batch_is_full_and_tells_how_long_the_others_are(epochs: float | None) -> None:
    mobile = Mobile()
    mobile.problem, events = announced(mobile.problem)
    ledger = mobile.search({"mode": "paper", "epochs": epochs})
    (told,) = events["early stop"]
    assert (told["full"], told["stop"], told["cheap"]) == (12.0, 6.0, None)
    assert len(told["correlations"]) == 12
    works = [o.work for o in ledger.outcomes]
    seen = {
        (w.tags.get("round"), w.budget, w.horizon, w.since)  # type: ignore[union-attr]
        for w in works
    }
    assert seen == {
        (1, epochs, None, None),
        (2, 6.0, 12.0, None),
        (3, 6.0, 12.0, None),
        (None, 12.0, None, None),  # what is found is somebody new, trained in full
    }
    if epochs:
        assert ledger.epochs() == 12 * 12 + 2 * 8 * 6 + 12
        expected = FbnetV3({**FAST, "mode": "paper", "epochs": epochs}).expected(mobile.task.space)
        assert ledger.epochs() <= expected["epochs"] == 12 * (12 + 16 + 1)


def test_many_are_trained_shortly_and_the_best_go_on_at_the_same_cost() -> None:
    """From the second epoch the order is rough, from the sixth it is that of the end."""

    class Rough(Mobile):
        def curve(self, work: Evaluate) -> Mapping[str, Sequence[float]]:
            rng = np.random.default_rng(zlib.crc32(work.candidate.id.encode()))
            wide = [3.0, *[0.35] * 7, *[0.02] * 4]
            errors = [
                self.error(work.candidate) + 30 * math.exp(-e / 2) + wide[e] * float(rng.normal())
                for e in range(int(work.budget or 0))
            ]
            return {"error": errors}

    mobile = Rough()
    mobile.problem, events = announced(mobile.problem)
    settings = {"epochs": 12, "first": 16, "batch": 8}
    ledger = mobile.search(settings)
    (told,) = events["early stop"]
    assert (told["full"], told["stop"], told["cheap"]) == (12.0, 8.0, 2.0)
    for turn in (2, 3):
        short = [o for o in batch(ledger, turn) if o.budget == 2]
        longer = [o for o in batch(ledger, turn) if o.budget == 8]
        assert len(short) + len(longer) == len(batch(ledger, turn))
        assert len(short) == math.floor(8 * 8 / (2 + 6 / 3)) == 16
        assert len(longer) == math.ceil(16 / 3)
        order = sorted(short, key=lambda o: o.figures["error"])
        assert set(names(longer)) == set(names(order[: len(longer)]))
        assert {(o.work.since, o.work.horizon) for o in longer} == {(2.0, 12.0)}  # type: ignore[union-attr]
        spent = sum(o.budget - (o.work.since or 0) for o in batch(ledger, turn))  # type: ignore[union-attr, operator]
        assert spent <= 8 * 8 + 6  # rounding up lets one more go on
    for outcome in verified(ledger):
        before = [o.budget for o in ledger.outcomes if o.candidate == outcome.candidate][:-1]
        assert outcome.work.since == max(before, default=None)  # type: ignore[union-attr, type-var]
    # What is expected is an error after eight epochs, though most were trained for two.
    found = FbnetV3({**FAST, **settings}).find(
        mobile.problem, ledger.outcomes, ["macs<=5e8"], np.random.default_rng(0)
    )
    expected = mobile.error(found[0].candidate) + 30 * math.exp(-7 / 2)
    assert found[0].expected["error"] == pytest.approx(expected, abs=2.5)
    whole = mobile.search({**settings, "cheap": 1})
    assert {o.budget for o in whole.outcomes} == {8.0, 12.0}


def test_what_was_found_is_trained_on_from_where_it_is() -> None:
    """A space so small that everybody was trained up to the early end."""
    mobile = Mobile()
    settings = {"mode": "paper", "epochs": 12, "pool": 14, "first": 6, "batch": 30}
    quiet = {**QUICK, "generations": 1, "children": 1, "random": 0, "mutation": 0.0}
    ledger = mobile.search({**settings, "search": quiet, "first": 8})
    last = verified(ledger)
    for outcome in last:
        work: Any = outcome.work
        earlier = [o.budget for o in ledger.outcomes if o.candidate == outcome.candidate][:-1]
        assert work.since == max(earlier, default=None)
        assert (work.budget, work.horizon) == (12.0, 12.0 if earlier else None)
    assert len(names(ledger.outcomes)) - len(set(names(ledger.outcomes))) <= len(last)


def test_without_curves_everybody_is_trained_in_full() -> None:
    mobile = Mobile()
    for mode in ("paper", "default"):
        ledger = mobile.search({"mode": mode, "epochs": 12}, curves=lambda work: {})
        assert {o.budget for o in ledger.outcomes} == {12.0}


def test_levels_of_a_table_are_read_in_place_of_curves() -> None:
    mobile = Mobile(settled=9)
    mobile.problem, events = announced(mobile.problem)
    levels = (3, 9, 12)
    ledger = mobile.search({"mode": "paper", "levels": levels}, curves=lambda work: {})
    first = batch(ledger, 1)
    assert [(o.budget, o.work.since) for o in first] == [  # type: ignore[union-attr]
        *[(3.0, None)] * 12,
        *[(9.0, 3.0)] * 12,
        *[(12.0, 9.0)] * 12,
    ]
    assert names(first)[:12] == names(first)[12:24] == names(first)[24:]
    (told,) = events["early stop"]
    assert (told["full"], told["stop"]) == (12.0, 9.0)
    assert {o.budget for o in batch(ledger, 2)} == {9.0}
    (last,) = verified(ledger)
    assert ledger.epochs() == 12 * 12 + 2 * 8 * 9 + 12 - (last.work.since or 0)  # type: ignore[union-attr]
    assert FbnetV3({**FAST, "levels": levels}).levels() == (3.0, 9.0, 12.0)
    assert FbnetV3({**FAST, "levels": (3,), "epochs": 12}).levels() == (3.0, 12.0)
    assert FbnetV3(FAST).levels() == ()


def test_a_training_that_fails_at_a_level_does_not_go_on() -> None:
    mobile = Mobile()
    broken: list[str] = []

    def figures(work: Evaluate) -> Mapping[str, float] | None:
        if zlib.crc32(work.candidate.id.encode()) % 4 == 0 and work.budget == 3:
            broken.append(work.candidate.id)
            return None
        return mobile.figures(work)

    settings = {"levels": (3, 9, 12), "first": 20}
    ledger = mobile.search(settings, figures=figures, curves=lambda work: {})
    assert broken
    longer = names([o for o in ledger.outcomes if o.budget != 3])
    assert not set(broken) & set(longer)


# -- failures -----------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", ["paper", "default"])
def test_what_fails_is_avoided(mode: str) -> None:
    """Trainings at the largest resolution fail, all others end as ever."""
    mobile = Mobile()

    def fails(candidate: Candidate) -> bool:
        return candidate.architecture.choices["resolution"] == 288

    def figures(work: Evaluate) -> Mapping[str, float] | None:
        return None if fails(work.candidate) else mobile.figures(work)

    def curve(work: Evaluate) -> Mapping[str, Sequence[float]]:
        return {} if fails(work.candidate) else mobile.curve(work)

    settings = {"mode": mode, "first": 24, "rounds": 4}
    ledger = mobile.search(settings, figures=figures, curves=curve)
    assert sum(not o.ok for o in batch(ledger, 1)) >= 4
    shares = [np.mean([not o.ok for o in batch(ledger, n)]) for n in (1, 4)]
    assert shares[1] < shares[0]
    assert ledger.found
    assert not any(fails(candidate) for candidate in ledger.found)


@pytest.mark.parametrize("settings", [{}, {"mode": "paper"}, {"predictor": "stacked"}])
def test_a_search_of_which_everything_fails_comes_to_its_end(settings: dict[str, Any]) -> None:
    own = {"predictor_settings": {"members": ["gp", "forest"]}} if "predictor" in settings else {}
    ledger = Mobile().search({**settings, **own}, figures=lambda w: None, curves=lambda w: {})
    assert len(batch(ledger, 1)) == 12
    assert len(batch(ledger, 3)) == 8
    assert not any(o.ok for o in ledger.outcomes)


def test_one_that_succeeds_is_found() -> None:
    mobile, seen = Mobile(), list[Candidate]()

    def figures(work: Evaluate) -> Mapping[str, float] | None:
        seen.append(work.candidate)
        return mobile.figures(work) if len(seen) == 5 else None

    ledger = mobile.search({"rounds": 2}, figures=figures, curves=lambda w: {})
    assert ledger.found == [seen[4]]
    assert len(batch(ledger, 2)) == 8
