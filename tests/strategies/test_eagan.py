"""EAGAN: the order of its calls, what is kept when something fails, its settings."""

from __future__ import annotations

import math

import pytest

from nas.core.errors import CandidateError, ConfigError, UnsupportedError
from nas.core.objective import parse_objectives
from nas.core.problem import Problem
from nas.engine.resolve import SCALES, resolve
from nas.strategies import STRATEGIES
from nas.strategies.eagan.settings import EaganSettings
from nas.testing.toys import ToySpace
from nas.training.gan import GanRecipe
from search_spaces import get_space

from .eagan_task import AUTOGAN, DISCRIMINATORS, GENERATORS, Engine, by_name, settings

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


# -- settings -------------------------------------------------------------------------------------


def test_mode_paper_is_as_published() -> None:
    s = EaganSettings(mode="paper").resolved
    assert (s.cap, s.confidence, s.crossover, s.mutation) == (0.0, 0.0, 0.3, 0.5)
    assert (s.generators.paths, s.generators.population, s.generators.rounds) == (1, 32, 18)
    last = s.discriminators
    assert (last.replicates, last.weights, last.stop, last.resetting) == (1, "shared", False, True)
    ours = EaganSettings().resolved
    assert (ours.cap, ours.discriminators.replicates) == (2.0, 2)
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
