"""EAGAN: when stage 2 ends, and what it takes for a gain."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from nas.core.work import Call
from nas.strategies.eagan.gain import gain_over, pooled_error

from .eagan_task import AUTOGAN, DISCRIMINATORS, Engine, by_name, settings

# -- when stage 2 ends ----------------------------------------------------------------------------


def test_pooled_error_is_that_of_an_analysis_of_variance() -> None:
    rng = np.random.default_rng(0)
    values = rng.normal(0, 0.3, (2000, 3)) + rng.normal(0, 9, (2000, 1)) + [[1.0, 5.0, -2.0]]
    error, freedom = pooled_error(values.tolist())
    assert freedom == 1999 * 2
    assert error == pytest.approx(0.3, rel=0.05)
    assert math.isnan(pooled_error([[1.0], [2.0]])[0])


@pytest.mark.parametrize(("count", "blocks"), [(4, 2), (8, 2), (8, 3)])
def test_luck_alone_is_taken_for_a_gain_once_in_forty(count: int, blocks: int) -> None:
    """The interval is two-sided, and of all challengers at once: the best of seven is lucky."""
    rng = np.random.default_rng(1)
    trials, hits, found = 1500, 0, 0
    for _ in range(trials):
        logs = rng.normal(2, 0.25, (count, blocks)) + rng.normal(0, 0.2, (1, blocks))
        gain = gain_over(np.exp(logs).tolist(), 0)
        assert gain is not None
        hits += gain.sure
        logs[3] -= 1.5
        gain = gain_over(np.exp(logs).tolist(), 0)
        assert gain is not None
        found += gain.sure and gain.challenger == 3
    assert hits / trials < 0.025 + 3 * math.sqrt(0.025 * 0.975 / trials)
    assert found / trials > (0.5 if count == 4 else 0.95)


def test_a_gain_is_a_share_of_the_distance() -> None:
    gain = gain_over([[10.0, 12.0], [5.0, 6.0], [math.inf, 4.0], [8.0, 9.6]], 0)
    assert gain is not None
    assert (gain.challenger, gain.freedom) == (1, 2)
    assert gain.share == pytest.approx(0.5)
    assert gain.low == pytest.approx(0.5)  # nothing is left to chance
    assert gain_over([[math.inf, 1.0], [1.0, 1.0]], 0) is None
    assert gain_over([[1.0, 1.0], [math.nan, 1.0]], 0) is None
    single = gain_over([[10.0], [5.0]], 0)
    assert single is not None
    assert not single.sure


def test_stage_2_ends_where_the_gain_may_be_chance_and_says_so() -> None:
    engine = Engine(settings(discriminators={"stop": True, "rounds": 5}))
    (found,) = engine.run()
    assert engine.methods().count("arrange") == 1
    assert DISCRIMINATORS.format(DISCRIMINATORS.member(found)) == AUTOGAN
    (end,) = engine.told("stage 2 ends")
    assert end["held"] == AUTOGAN
    assert end["low"] <= 0
    last = engine.told("decision")[-1]
    assert last["kept"] == [AUTOGAN]
    assert "no sure gain over it" in last["reason"]


def test_a_sure_gain_is_taken_and_stage_2_goes_on_against_it() -> None:
    def distance(text: str, pair: int) -> float:
        if pair == 0:
            return by_name(text, 0)
        value = 10.0 if text == AUTOGAN else 5 + by_name(text, 0) / 100
        return value + 0.001 * by_name(text, pair) / 10

    engine = Engine(
        settings(discriminators={"stop": True, "rounds": 5, "population": 8}), distance=distance
    )
    (found,) = engine.run()
    rounds = engine.methods().count("score_pairs")
    assert rounds >= 2
    text = DISCRIMINATORS.format(DISCRIMINATORS.member(found))
    assert text != AUTOGAN
    first, second = [c.arguments["paths"] for c in engine.calls if c.method == "arrange"][:2]
    assert second[0] == min(first, key=lambda t: distance(t, 1))  # the new one stays, and leads


@pytest.mark.parametrize(
    ("confirm", "gain", "least"), [(0, 0.3, 0.0), (6, 0.3, 0.8), (6, 0.0, 0.0), (6, 0.5, 0.97)]
)
def test_fresh_pairs_tell_a_third_from_chance(confirm: int, gain: float, least: float) -> None:
    """One of eight is better by `gain`; noise is that of real pairs of digits, 0.143 in the log."""
    trials, taken, wrong = 60, 0, 0
    texts: dict[str, int] = {}

    def distance(text: str, pair: int) -> float:
        if not pair:
            return 5.0
        good = text in texts and texts[text] == 3
        noise = rng.normal(0, 0.143)
        return 10 * (1 - gain * good) * math.exp(noise + 0.1 * math.sin(pair))

    for trial in range(trials):
        rng = np.random.default_rng(trial)
        given = settings(
            discriminators={"stop": True, "rounds": 1, "population": 8, "confirm": confirm}
        )
        engine = Engine(given, distance=distance)
        plain = engine.answer
        texts.clear()

        def answer(call: Call, plain: Any = plain) -> Any:
            if call.method == "arrange":
                texts.update({text: i for i, text in enumerate(call.arguments["paths"])})
            return plain(call)

        engine.answer = answer  # type: ignore[method-assign]
        (found,) = engine.run(trial)
        place = texts[DISCRIMINATORS.format(DISCRIMINATORS.member(found))]
        taken += place == 3
        wrong += place not in (0, 3)
        if gain == 0.0:
            wrong += place == 3
    assert taken / trials >= least
    assert wrong / trials <= 0.09
    if not confirm:
        assert taken / trials < 0.45


def test_a_gain_is_confirmed_by_pairs_of_two() -> None:
    engine = Engine(settings(discriminators=STOPS), distance=sure)
    engine.run()
    at = engine.methods().index("confirm")
    asked = engine.methods()[at - 1 : at + 4]
    assert asked == ["score_pairs", "confirm", "train_pairs", "train_pairs", "score_pairs"]
    held, best = engine.calls[at].arguments["paths"]
    first = next(c for c in engine.calls if c.method == "arrange").arguments["paths"]
    assert held == AUTOGAN
    assert best == min(first, key=lambda t: by_name(t, 0) if t != AUTOGAN else 99)
    told = next(t for t in engine.told("decision") if t["kept"] == [best])
    assert "could not have been told from chance" in told["reason"]

    # Chosen by luck, which does not come twice: the interval is of fresh pairs alone.
    def lucky(text: str, pair: int) -> float:
        return by_name(text, 9) * (1 if pair < 50 or text == AUTOGAN else 4) * (1 + pair * 1e-4)

    engine = Engine(settings(discriminators=STOPS), distance=lucky)
    engine.run()
    (end,) = engine.told("stage 2 ends")
    assert end["held"] == AUTOGAN
    assert end["gain"] < 0
    assert 0 < end["least"] < 1
    # Nobody is better: there is nothing to confirm.
    engine = Engine(settings(discriminators=STOPS), distance=lambda t, p: 5 + (t != AUTOGAN))
    engine.run()
    assert "confirm" not in engine.methods()


def test_one_that_is_held_and_fails_makes_way() -> None:
    def distance(text: str, pair: int) -> float:
        return math.nan if pair and text == AUTOGAN else by_name(text, pair)

    engine = Engine(settings(discriminators={"stop": True, "rounds": 1}), distance=distance)
    (found,) = engine.run()
    assert DISCRIMINATORS.format(DISCRIMINATORS.member(found)) != AUTOGAN


def sure(text: str, pair: int) -> float:
    """AutoGAN is the worst by far, and there is next to no chance."""
    if pair == 0:
        return by_name(text, 0)
    return (20.0 if text == AUTOGAN else by_name(text, 0)) * (1 + 1e-4 * by_name(text, pair))


LIMITED = ("fd_classifier", "discriminator_params:min<=1000")
STOPS = {"stop": True, "rounds": 3, "population": 8}


def test_no_discriminator_beyond_the_limits_takes_the_place_of_one_within() -> None:
    engine = Engine(
        settings(discriminators=STOPS),
        distance=sure,
        objectives=LIMITED,
        params=lambda text: 100.0 if text == AUTOGAN else 1e6,
    )
    (found,) = engine.run()
    assert DISCRIMINATORS.format(DISCRIMINATORS.member(found)) == AUTOGAN
    assert engine.told("stage 2 ends")[0]["held"] == AUTOGAN
    # A gain of one that is within the limits is found beside better ones that are not.
    engine = Engine(
        settings(discriminators=STOPS),
        distance=sure,
        objectives=LIMITED,
        params=lambda text: 100.0 if text == AUTOGAN or by_name(text, 7) > 10 else 1e6,
    )
    (found,) = engine.run()
    text = DISCRIMINATORS.format(DISCRIMINATORS.member(found))
    assert text != AUTOGAN
    assert by_name(text, 7) > 10


def test_one_that_is_held_and_beyond_the_limits_makes_way() -> None:
    """Without proof of a gain: it is no answer at all."""

    def distance(text: str, pair: int) -> float:
        return 5.0 if text == AUTOGAN and pair else by_name(text, pair)

    engine = Engine(
        settings(discriminators={"stop": True, "rounds": 1, "population": 8}),
        distance=distance,
        objectives=LIMITED,
        params=lambda text: 100.0 if by_name(text, 7) > 10 else 1e6,
    )
    assert by_name(AUTOGAN, 7) < 10
    (found,) = engine.run()
    assert by_name(DISCRIMINATORS.format(DISCRIMINATORS.member(found)), 7) > 10
    assert "beyond the limits" in engine.told("decision")[-2]["reason"]
    # A limit that all are beyond, as one of the generator's is, puts nobody out.
    engine = Engine(
        settings(discriminators=STOPS), distance=sure, objectives=("fd_classifier", "params<=1")
    )
    (found,) = engine.run()
    assert DISCRIMINATORS.format(DISCRIMINATORS.member(found)) != AUTOGAN
