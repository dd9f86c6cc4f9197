"""The order of EAGAN's questions, who survives, and when stage 2 ends; the session is made up."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest

from evolution.member import Member
from nas.core.errors import CandidateError, ConfigError, UnsupportedError
from nas.core.objective import parse_objectives
from nas.core.problem import Problem
from nas.core.work import Call, Outcome
from nas.engine.resolve import SCALES, resolve
from nas.strategies import STRATEGIES
from nas.strategies.eagan.gain import gain_over, pooled_error
from nas.strategies.eagan.population import Population
from nas.strategies.eagan.settings import EaganSettings
from nas.strategies.eagan.strategy import Eagan
from nas.testing.toys import ToySpace
from nas.training.gan import GanRecipe
from search_spaces import get_space

GENERATORS: Any = get_space("gan-generator")
DISCRIMINATORS: Any = get_space("gan-discriminator")
AUTOGAN = DISCRIMINATORS.format(DISCRIMINATORS.members["AutoGAN"])
SMALL: dict[str, Any] = {
    "chunk": 4,
    "generators": {"warmup": 5, "rounds": 3, "epochs": 4, "population": 6},
    "discriminators": {"warmup": 3, "rounds": 2, "population": 4, "stop": False},
}

Distance = Callable[[str, int], float]
"""Genotype and number of the pair to the first figure."""


def by_name(text: str, pair: int) -> float:
    rng = np.random.default_rng([pair, *text.encode()])
    return 5 + 10 * float(rng.random())


@dataclass
class Engine:
    """Answers as the session does; keeps what was asked and announced."""

    settings: Mapping[str, Any] = field(default_factory=lambda: SMALL)
    space: str = "gan"
    distance: Distance = by_name
    params: Callable[[str], float] = lambda text: 1000.0
    objectives: tuple[str, ...] = ("fd_classifier", "params")
    calls: list[Call] = field(default_factory=list)
    announced: list[tuple[str, Mapping[str, Any]]] = field(default_factory=list)
    fails: str = ""
    _paths: list[str] = field(default_factory=list)
    _pairs: range = range(0)

    def problem(self) -> Problem:
        return Problem(
            get_space(self.space),
            parse_objectives(self.objectives),
            announce=lambda topic, payload: self.announced.append((topic, dict(payload))),
        )

    def run(self, seed: int = 0, most: int = 10_000) -> Any:
        """What the strategy finds; the engine closes it after so many calls."""
        generator = Eagan(self.settings).run(self.problem(), np.random.default_rng(seed))
        answer: Any = None
        while True:
            try:
                if len(self.calls) >= most:
                    generator.throw(GeneratorExit)
                (call,) = generator.send(answer)
            except StopIteration as end:
                return end.value
            assert isinstance(call, Call)
            self.calls.append(call)
            if call.method == self.fails:
                answer = [Outcome(call, "failed", error="diverged")]
            else:
                answer = [Outcome(call, value=self.answer(call))]

    def answer(self, call: Call) -> Any:
        given, stage = (
            dict(call.arguments),
            EaganSettings(**self.settings).resolved.discriminators,
        )
        if call.method == "score":
            return [self.figures(text, 0) for text in given["paths"]]
        if call.method == "arrange":
            self._paths, self._pairs = list(given["paths"]), range(1, 1 + (stage.replicates or 0))
            return {"epochs": 6}
        if call.method == "confirm":
            self._paths, self._pairs = list(given["paths"]), range(50, 50 + (stage.confirm or 0))
            return {"epochs": 6}
        if call.method == "score_pairs":
            return [[self.figures(text, pair) for pair in self._pairs] for text in self._paths]
        return {}

    def figures(self, text: str, pair: int) -> Any:
        value = self.distance(text, pair)
        if not math.isfinite(value):
            return None
        size = self.params(text)
        return {
            "fd_classifier": value,
            "fd_classifier_se": 0.1,
            "params": size,
            "discriminator_params": size,
        }

    def methods(self) -> list[str]:
        return [call.method for call in self.calls]

    def told(self, topic: str) -> list[Mapping[str, Any]]:
        return [payload for name, payload in self.announced if name == topic]


def settings(**given: Any) -> dict[str, Any]:
    stage = {**SMALL["discriminators"], **given.pop("discriminators", {})}
    return {**SMALL, "discriminators": stage, **given}


# -- the algorithm --------------------------------------------------------------------------------


def test_it_asks_as_algorithm_1() -> None:
    engine = Engine()
    (found,) = engine.run()
    train, epochs = ["train"], [call.arguments.get("epochs") for call in engine.calls]
    rounds = ["arrange", "train_pairs", "train_pairs", "score_pairs"]
    assert engine.methods() == [
        *("begin", *train, *train),
        *3 * ["train", "score"],
        *("pair", "warm_up"),
        *2 * rounds,
    ]
    assert epochs[:4] == [None, 4, 1, 4]
    assert engine.calls[0].arguments["discriminator"] == AUTOGAN
    assert [call.arguments["paths"] for call in engine.calls[1:3]] == [None, None]
    assert engine.calls[3].arguments["paths"] == engine.calls[4].arguments["paths"]
    first, second = (c.arguments for c in engine.calls if c.method == "arrange")
    assert first["ranking"] == ()
    assert first["paths"][0] == AUTOGAN
    assert second["paths"][0] in first["paths"]
    assert sorted(second["ranking"]) == list(range(8))
    scored = [by_name(text, 1 + r) for text in first["paths"] for r in (0, 1)]
    assert list(second["ranking"]) == sorted(range(8), key=lambda i: scored[i])
    # The generator of the last round with the best figure, the discriminator with the best mean.
    last = [c for c in engine.calls if c.method == "score"][-1].arguments["paths"]
    text = min(last, key=lambda t: by_name(t, 0))
    assert GENERATORS.format(GENERATORS.member(found)) == text
    pair = next(c for c in engine.calls if c.method == "pair").arguments["generator"]
    assert pair == text
    means = {t: by_name(t, 1) + by_name(t, 2) for t in second["paths"]}
    assert DISCRIMINATORS.format(DISCRIMINATORS.member(found)) == min(means, key=means.__getitem__)
    assert found.architecture.space == "gan"


def test_the_same_seed_asks_the_same() -> None:
    engines = [Engine(), Engine(), Engine()]
    found = [engine.run(seed) for engine, seed in zip(engines, (0, 0, 1), strict=True)]
    assert found[0] == found[1] != found[2]
    assert engines[0].calls == engines[1].calls != engines[2].calls
    assert engines[0].announced == engines[1].announced


@pytest.mark.parametrize("space", ["gan-generator", "gan-discriminator"])
def test_a_part_is_searched_with_the_other_held(space: str) -> None:
    engine = Engine(space=space)
    (found,) = engine.run()
    held = get_space(space).held  # type: ignore[attr-defined]
    assert get_space("gan").paths(found.architecture)[next(iter(held))] == next(  # type: ignore[attr-defined]
        iter(held.values())
    )
    methods = set(engine.methods())
    if space == "gan-generator":
        assert methods == {"begin", "train", "score"}
    else:
        assert "score" not in methods
        assert {"train", "pair", "arrange"} <= methods


def test_what_was_found_when_the_budget_ends_it() -> None:
    whole = Engine()
    whole.run()
    for most in range(1, len(whole.calls)):
        engine = Engine()
        if "score" not in whole.methods()[: most - 1]:  # the last one is not answered
            with pytest.raises(GeneratorExit):
                engine.run(most=most)
            continue
        (found,) = engine.run(most=most)
        assert found.architecture.space == "gan"
        if "score_pairs" not in whole.methods()[: most - 1]:
            assert DISCRIMINATORS.format(DISCRIMINATORS.member(found)) == AUTOGAN


def test_several_picks_are_of_the_front_and_have_one_discriminator() -> None:
    engine = Engine(settings(picks=3), params=lambda t: 1e3 * by_name(t, 9))
    found = engine.run()
    assert 1 < len(found) <= 3
    assert len({DISCRIMINATORS.member(pair) for pair in found}) == 1
    texts = [GENERATORS.format(GENERATORS.member(pair)) for pair in found]
    assert len(set(texts)) == len(texts)
    points = [(by_name(t, 0), by_name(t, 9)) for t in texts]
    assert points[0][0] == min(p[0] for p in points)


def test_a_session_that_failed_at_once_ends_it() -> None:
    with pytest.raises(CandidateError, match="the supernet failed: diverged"):
        Engine(fails="train").run()
    with pytest.raises(CandidateError, match="no generator makes images"):
        Engine(distance=lambda text, pair: math.nan).run()


def test_what_stage_1_found_is_not_lost_with_stage_2() -> None:
    for method in ("pair", "warm_up", "arrange", "train_pairs", "score_pairs"):
        engine = Engine(fails=method)
        (found,) = engine.run()
        last = [c for c in engine.calls if c.method == "score"][-1].arguments["paths"]
        best = min(last, key=lambda t: by_name(t, 0))
        assert GENERATORS.format(GENERATORS.member(found)) == best
        assert DISCRIMINATORS.format(DISCRIMINATORS.member(found)) == AUTOGAN
        end = engine.told("decision")[-1]
        assert (end["what"], end["kept"]) == ("discriminator", [AUTOGAN])
        assert "ends early: the supernet failed: diverged" in end["reason"]
        assert [t["what"] for t in engine.told("decision")] == ["generator", "discriminator"]
    engine = Engine(distance=lambda text, pair: math.nan if pair else by_name(text, 0))
    (found,) = engine.run()
    assert "all pairs failed" in engine.told("decision")[-1]["reason"]


def test_rounds_that_were_paid_for_are_not_lost_with_the_next() -> None:
    def distance(text: str, pair: int) -> float:
        if engine.methods().count("score") > 2:
            return math.nan
        return by_name(text, pair)

    engine = Engine(distance=distance)
    (found,) = engine.run()
    second = [c for c in engine.calls if c.method == "score"][1].arguments["paths"]
    best = min(second, key=lambda t: by_name(t, 0))
    assert GENERATORS.format(GENERATORS.member(found)) == best
    assert [t["what"] for t in engine.told("decision")] == ["generator", "discriminator"]
    assert "pair" not in engine.methods()


# -- variation ------------------------------------------------------------------------------------


def population(
    part: str = "generator", most: int = 8, seed: int = 0, **given: Any
) -> tuple[Population, Problem]:
    engine = Engine(space=f"gan-{part}", objectives=given.pop("objectives", ("fd_x", "params")))
    problem = engine.problem()
    made = EaganSettings(**given).resolved
    return Population(problem, made, np.random.default_rng(seed), most), problem


def members(found: Population, values: Any, sizes: Any = None) -> list[Member]:
    rows = [
        None if v is None else {"fd_x": v, "params": 1000.0 if sizes is None else sizes[i]}
        for i, v in enumerate(values)
    ]
    return found.members(rows)


@pytest.mark.parametrize("part", ["generator", "discriminator"])
def test_nobody_comes_twice_and_children_are_near_their_parents(part: str) -> None:
    found, problem = population(part, 10)
    found.begin()
    identity = problem.space.identity
    seen = {identity(problem.member(c)) for c in found.alive}
    assert len(seen) == 10
    near = 0
    for _ in range(15):
        before = found.alive
        kept = found.next_round(members(found, range(10)))
        assert kept == before[:5] == found.alive[:5]
        children = found.alive[5:]
        assert len(children) == 5
        for child in children:
            assert identity(problem.member(child)) not in seen
            seen.add(identity(problem.member(child)))
            space: Any = problem.space
            mine = sum(space.paths(problem.member(child))[part], ())
            others = (sum(space.paths(problem.member(p))[part], ()) for p in kept)
            near += min(sum(a != b for a, b in zip(mine, o, strict=True)) for o in others) <= 4
    assert near > 0.9 * 75


def test_one_parent_alone_has_children_too() -> None:
    """Crossover of equal parents gives the parent; that must not be asked for for ever."""
    found, _ = population(most=6, mutation=0.0, crossover=1.0)
    found.begin()
    first = found.alive[0]
    found.alive = [first] * 6
    found.next_round([*members(found, [1.0] * 6)])
    assert len(set(found.alive[3:])) == 3
    assert first not in found.alive[3:]


def test_crossover_and_mutation_are_as_frequent_as_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    counts = {"crossover": 0, "mutate": 0, "draws": 0}
    for name in ("crossover", "mutate"):
        plain = getattr(Problem, name)

        def counted(self: Problem, *given: Any, name: str = name, plain: Any = plain) -> Any:
            counts[name] += 1
            return plain(self, *given)

        monkeypatch.setattr(Problem, name, counted)
    found, _ = population(most=400)
    monkeypatch.setattr(
        type(found._variation), "propose", lambda self, draw: (count(counts), draw())[1]
    )
    found.alive = [found.problem.candidate(GENERATORS.members["EAGAN"])] * 400
    for _ in range(5):
        found.next_round(members(found, [1.0] * 400))
    assert counts["draws"] == 1000
    assert abs(counts["crossover"] / 1000 - 0.3) < 0.06
    assert abs(counts["mutate"] / 1000 - 0.5) < 0.06


def count(counts: dict[str, int]) -> None:
    counts["draws"] += 1


# -- selection (A9) -------------------------------------------------------------------------------


def test_the_smallest_network_is_not_kept_whatever_its_distance() -> None:
    values = [10.0, 11, 12, 13, 14, 15, 16, 40]
    sizes = [800.0, 700, 600, 500, 900, 900, 900, 100]
    for given, survives in (({}, False), ({"cap": 0.0}, True), ({"mode": "paper"}, True)):
        found, _ = population(**given)  # type: ignore[arg-type]
        found.begin()
        small = found.alive[-1]
        kept = found.next_round(members(found, values, sizes))
        assert (small in kept) == survives, given


@pytest.mark.parametrize("mode", ["default", "paper"])
def test_no_later_front_survives_before_an_earlier_one_is_exhausted(mode: str) -> None:
    from pymoo.util.nds.non_dominated_sorting import NonDominatedSorting

    rng = np.random.default_rng(0)
    found, _ = population(most=12, mode=mode, cap=0.0, confidence=0.0)
    found.begin()
    for _ in range(60):
        costs = rng.integers(1, 6, (12, 2)).astype(float)
        every = members(found, costs[:, 0], costs[:, 1])
        before = list(found.alive)
        fronts = np.empty(12, dtype=int)
        for number, places in enumerate(NonDominatedSorting().do(costs)):
            fronts[places] = number
        kept = found.next_round(every)
        found.alive = before
        mine = [fronts[before.index(c)] for c in kept]
        others = [fronts[before.index(c)] for c in before if c not in kept]
        assert len(kept) == 6
        assert max(mine) <= min(others)


def test_what_failed_never_survives_and_equal_figures_do_not_hide_errors() -> None:
    found, _ = population(most=8)
    found.begin()
    failed = found.alive[0]
    kept = found.next_round(members(found, [None, None, None, None, None, None, 8.0, 9.0]))
    assert failed not in kept
    assert len(kept) == 2
    # With one objective, members within a standard error of the best are of its front.
    found, _ = population(most=4, objectives=("fd_x",))
    found.begin()
    rows = [{"fd_x": v, "fd_x_se": 1.0} for v in (10.0, 10.5, 20.0, 25.0)]
    fronts = [front for _, front in found.graded(found.members(rows))]
    assert fronts[:2] == [0, 0]
    assert fronts[2] > 0


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


# -- settings -------------------------------------------------------------------------------------


def test_mode_paper_is_as_published() -> None:
    s = EaganSettings(mode="paper").resolved
    assert (s.cap, s.confidence, s.crossover, s.mutation) == (0.0, 0.0, 0.3, 0.5)
    assert (s.generators.paths, s.generators.population, s.generators.rounds) == (1, 32, 18)
    last = s.discriminators
    assert (last.replicates, last.weights, last.stop, last.resetting) == (1, "shared", False, True)
    ours = EaganSettings().resolved
    assert (ours.cap, ours.generators.paths, ours.discriminators.replicates) == (2.0, 4, 2)
    assert (last.confirm, ours.discriminators.confirm) == (0, 6)
    assert EaganSettings(mode="paper", cap=3.0).resolved.cap == 3.0
    engine = Engine({**settings(discriminators={"stop": None}), "mode": "paper"})
    (found,) = engine.run()
    assert engine.methods().count("score_pairs") == 2
    assert not engine.told("stage 2 ends")
    assert found


def test_what_cannot_be_searched_is_refused_before_any_work() -> None:
    strategy = STRATEGIES.get("eagan")()
    fine = parse_objectives(["fd_classifier", "params"])
    strategy.check(Problem(get_space("gan"), fine))
    for space in (ToySpace(), get_space("gan-baselines")):
        with pytest.raises(UnsupportedError, match="needs a supernet of GANs"):
            strategy.check(Problem(space, fine))
    for objectives in (
        ["params"],
        ["fd_inf_classifier"],
        ["fd_classifier", "kid_classifier"],
        ["fd_classifier", "is_classifier_se"],
    ):
        with pytest.raises(ConfigError, match=r"objective|cannot score"):
            strategy.check(Problem(get_space("gan"), parse_objectives(objectives)))
    with pytest.raises(ConfigError, match="fd_classifier:max"):
        strategy.check(Problem(get_space("gan"), parse_objectives(["fd_classifier:max"])))
    wrong = STRATEGIES.get("eagan")({"generators": {"discriminator": "AutoGun"}})
    with pytest.raises(ConfigError, match="AutoGun"):
        wrong.check(Problem(get_space("gan"), fine))
    with pytest.raises(ConfigError, match="replicates"):
        EaganSettings(discriminators={"replicates": 1})  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match=r"confirm=3.*shared"):
        EaganSettings(discriminators={"weights": "shared", "confirm": 3})  # type: ignore[arg-type]
    shared = EaganSettings(discriminators={"weights": "shared"})  # type: ignore[arg-type]
    assert shared.resolved.discriminators.confirm == 0
    with pytest.raises(ConfigError, match="groups"):
        EaganSettings(samples=40, groups=30)


@pytest.mark.parametrize("space", ["gan", "gan-generator", "gan-discriminator"])
@pytest.mark.parametrize("scale", SCALES)
def test_presets_are_for_these_spaces_and_it_is_their_strategy(space: str, scale: str) -> None:
    config = resolve({"space": space, "preset": scale, "data": "digits", "device": "cpu"})
    assert (config.strategy, config.evaluator) == ("eagan", "gan")
    assert {"generator_channels", "discriminator_channels", "latent"} <= config.network.keys()
    assert config.objectives[0] == "fd_classifier:min"
    recipe = GanRecipe.from_settings(config.recipe)
    if scale == "paper":
        assert (recipe.loss, recipe.batch_size, recipe.generator_batch) == ("hinge", 80, 40)
        assert config.settings["mode"] == "paper"
        assert config.final.recipe["n_critic"] == 5
    assert EaganSettings(**config.settings).resolved.discriminators.replicates


def test_sessions_judge_as_the_evaluator_gan_only() -> None:
    own = {"space": "gan", "evaluator": "nas.testing.toys:toy_evaluator", "device": "cpu"}
    assert resolve(own).strategy == "regularized-evolution"
    with pytest.raises(UnsupportedError, match="judges as evaluator 'gan' does"):
        resolve({**own, "strategy": "eagan"})
