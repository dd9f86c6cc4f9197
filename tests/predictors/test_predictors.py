"""What every predictor must do, and what rankers must."""

from __future__ import annotations

import numpy as np
import pytest

from nas.core.architecture import Architecture
from nas.core.errors import ConfigError, PluginError
from nas.core.space import Space
from nas.testing import predictors as kit
from nas.testing.predictors import CHECKS, costs_of
from predictors import Labels, get_predictor, list_predictors
from predictors.base import Predictor
from predictors.encodings import encoder
from search_spaces import get_space

FAST = {
    "nars": {"pretraining": 500, "pretraining_steps": 100},
    "stacked": {
        "settings": {
            "nars": {"pretraining": 500, "pretraining_steps": 100},
            "forest": {"trees": 30},
        }
    },
    "pairwise-gin": {"hidden": 16, "hops": 3, "steps": 40, "learning_rate": 0.01},
}
RANKERS = [name for name in list_predictors() if name.startswith("pairwise-")]
REGRESSORS = ["mlp", "gradient-boosting", "forest", "gp", "nars"]


@pytest.fixture(scope="module")
def space() -> Space:
    return get_space("nasbench201")


@pytest.fixture(scope="module")
def members() -> list[Architecture]:
    return list(kit.members())


def make(name: str, space: Space, seed: int = 0, **settings: object) -> Predictor:
    return get_predictor(name)(space, {**FAST.get(name, {}), **settings}, seed)


@pytest.mark.parametrize("name", list_predictors())
@pytest.mark.parametrize("check", CHECKS)
def test_it_does_what_every_predictor_must(name: str, check: str) -> None:
    CHECKS[check](lambda space, seed: make(name, space, seed))


@pytest.mark.parametrize("name", list_predictors())
def test_statistics_are_used_and_may_be_unknown(
    name: str, space: Space, members: list[Architecture]
) -> None:
    rng = np.random.default_rng(0)
    costs = rng.standard_normal(len(members))  # nothing of it is in the architectures
    extra = np.stack([costs, np.full(len(costs), np.nan), np.ones(len(costs))], 1)
    settings: dict[str, object] = {"vectors": True} if name == "pairwise-gin" else {}
    predictor = make(name, space, **settings).fit(members[:100], costs[:100], extra[:100])
    assert predictor.score(members[100:], costs[100:], extra[100:])["kendall"] > 0.25
    extra[::3, 0] = np.nan
    assert np.isfinite(predictor.fit(members, costs, extra).rank(members, extra)).all()
    with pytest.raises(ValueError, match="0 statistics, 3 when fit"):
        predictor.rank(members)


@pytest.mark.parametrize("name", REGRESSORS)
@pytest.mark.parametrize("target", ["value", "rank"])
def test_regressions_answer_in_units_of_the_readings(
    name: str, target: str, space: Space, members: list[Architecture]
) -> None:
    costs = 0.2 + costs_of(members) / 100
    predictor = make(name, space, target=target).fit(members[:150], costs[:150])
    off = predictor.predict(members[150:]).mean - costs[150:]
    assert np.abs(off).mean() < costs.std() / 2
    assert not predictor.ranks


@pytest.mark.parametrize("name", RANKERS)
def test_twenty_are_learnt_by_heart(name: str, space: Space, members: list[Architecture]) -> None:
    seen = {
        tuple(code): m for code, m in zip(encoder(space, "path")(members), members, strict=True)
    }
    some = list(seen.values())[:20]  # what differs in dead edges alone cannot be told apart
    costs = np.random.default_rng(0).permutation(20.0 * np.arange(20))
    settings: dict[str, object] = {
        "pairwise-linear": {"l2": 1e-6},
        "pairwise-mlp": {"steps": 500},
        "pairwise-gin": {"steps": 500, "weight_decay": 0.0, "hidden": 32},
    }[name]
    predictor = make(name, space, **settings).fit(some, costs)
    assert predictor.score(some, costs)["kendall"] == pytest.approx(1)


@pytest.mark.parametrize("name", RANKERS)
@pytest.mark.parametrize("mode", ["levels", "within", "reliability"])
def test_modes_are_obeyed(name: str, mode: str, space: Space, members: list[Architecture]) -> None:
    costs = costs_of(members[:60])
    levels = (np.argsort(np.argsort(costs)) >= 30).astype(int)  # the worse half was promoted
    found = make(name, space, mode=mode).fit(members[:60], Labels(costs, levels))
    tau = found.score(members[60:], costs_of(members[60:]))["kendall"]
    assert tau > 0.35 if mode == "within" else tau < 0.1


@pytest.mark.parametrize("name", RANKERS)
def test_a_level_of_no_worth_does_not_count(
    name: str, space: Space, members: list[Architecture]
) -> None:
    costs = costs_of(members[:100])
    levels = np.repeat([0, 1], 50)
    readings = np.where(levels == 0, -costs, costs)  # the low level is the wrong way round
    worthless = Labels(readings, levels, np.array([0.02, 1.0]))
    told = make(name, space).fit(members[:100], worthless)
    assert told.score(members[100:], costs_of(members[100:]))["kendall"] > 0.5


def test_the_ensemble_mixes_units_or_keeps_them(space: Space, members: list[Architecture]) -> None:
    costs = 0.3 + costs_of(members) / 100
    same = make("ensemble", space, members=("mlp", "mlp", "gp"), settings={"mlp": {"members": 1}})
    said = same.fit(members[:100], costs[:100]).predict(members[100:])
    assert np.abs(said.mean - costs[100:]).mean() < costs.std() / 2
    assert said.std.min() > 0
    drawn = make("ensemble", space, bootstrap=True).fit(members[:100], costs[:100])
    assert drawn.score(members[100:], costs[100:])["kendall"] > 0.6


def test_mistakes_are_said(space: Space, members: list[Architecture]) -> None:
    with pytest.raises(PluginError, match="did you mean pairwise-linear"):
        get_predictor("pairwise-liner")
    with pytest.raises(ConfigError, match="unknown predictor setting 'l3'"):
        make("pairwise-linear", space, l3=1.0)
    with pytest.raises(ConfigError, match="'l2' is 0"):
        make("pairwise-linear", space, l2=0.0)
    with pytest.raises(PluginError, match="unknown encoding 'feature'"):
        make("mlp", space, encoding="feature")
    with pytest.raises(ConfigError, match="members"):
        make("ensemble", space, members=("ensemble",))
    with pytest.raises(ValueError, match="call fit"):
        make("gp", space).rank(members)
    with pytest.raises(ValueError, match="2 labels for 3"):
        make("gp", space).fit(members[:3], [0.1, 0.2])
    with pytest.raises(ValueError, match=r"shape \(2,\) for 2"):
        make("gp", space).fit(members[:2], [0.1, 0.2], [1, 2])


@pytest.mark.parametrize("name", list_predictors())
@pytest.mark.parametrize("other", ["darts", "nasbench101", "darts-s1"])
def test_other_spaces(name: str, other: str) -> None:
    there = get_space(other)
    rng = np.random.default_rng(0)
    some = [there.sample(rng) for _ in range(30)]
    scores = make(name, there).fit(some[:20], rng.random(20)).rank(some)
    assert np.isfinite(scores).all()
    assert np.ptp(scores) > 0
