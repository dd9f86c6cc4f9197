"""FBNetV3's predictor: its networks, what pretraining is worth, and where it is worth nothing."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from nas.core.errors import ConfigError
from nas.core.space import Space
from nas.testing.mobile import MobileSpace, MobileTask
from nas.testing.toys import ToySpace
from predictors import Labels, get_predictor
from predictors.encodings import encoder
from predictors.nars import Nars, _pretrained
from predictors.networks import Array
from predictors.quality import kendall
from predictors.stacked import Stacked
from predictors.statistics import sizes
from predictors.two_heads import Embedding, Phase, TwoHeads, huber
from search_spaces import get_space

RNG = np.random.default_rng(0)
INPUTS, REST, WANTED = RNG.random((9, 5)), RNG.random((9, 3)), 2 * RNG.standard_normal(9)
CHEAP = {"pretraining": 500, "pretraining_steps": 100}


def networks() -> TwoHeads:
    """Of double precision, so that slopes can be compared with differences."""
    rng = np.random.default_rng(0)
    embedding = Embedding(2, (5, 6, 4), 2, rng, np.float64)
    embedding.pretrain(INPUTS, RNG.standard_normal((9, 2)), Phase(3, 0.01, 0.1), rng)
    return TwoHeads(embedding, 3, (6,), rng)


def loss(outputs: Array) -> float:
    """The Huber loss, delta 1, by its definition."""
    off = np.abs(outputs - WANTED)
    return float(np.where(off <= 1, off**2 / 2, off - 0.5).mean(1).sum())


def test_slopes_are_those_of_the_loss() -> None:
    both = networks()
    embedded, tape = both.embedding.forward(INPUTS)
    joined = np.concatenate([embedded, np.broadcast_to(REST, (2, *REST.shape))], 2)
    above = both.head.forward(joined)
    slopes, slope = both.head.backward(above, huber(above[-1][0], WANTED[:, None]))
    slopes += both.embedding.backward(tape, slope[:, :, : both.embedding.width])
    parameters = [*both.head.parameters, *both.embedding.layers.parameters]
    for parameter, found in zip(parameters, slopes, strict=True):
        assert found.shape == parameter.shape
        for place in np.ndindex(parameter.shape):
            kept = parameter[place]
            parameter[place] = kept + 1e-6
            ahead = loss(both(INPUTS, REST))
            parameter[place] = kept - 1e-6
            behind = loss(both(INPUTS, REST))
            parameter[place] = kept
            assert found[place] == pytest.approx((ahead - behind) / 2e-6, abs=1e-7)


def test_a_frozen_embedding_stays_and_the_head_learns() -> None:
    both = networks()
    before = [parameter.copy() for parameter in both.embedding.layers.parameters]
    first = loss(both(INPUTS, REST))
    both.train(INPUTS, REST, WANTED, Phase(50, 0.01, 0.0, frozen=True))
    for old, new in zip(before, both.embedding.layers.parameters, strict=True):
        assert np.array_equal(old, new)
    assert loss(both(INPUTS, REST)) < first
    both.train(INPUTS, REST, WANTED, Phase(5, 0.01, 0.0))
    assert not np.array_equal(before[0], both.embedding.layers.parameters[0])


def test_networks_do_not_know_each_other() -> None:
    def trained(count: int) -> Array:
        both = TwoHeads(Embedding(2, (5, 6), 0, np.random.default_rng(1)), 3, (4,), RNG)
        for part in (both.embedding.layers, both.head):
            part.matrices = [np.full_like(m, 0.1)[:count] for m in part.matrices]
            part.biases = [b[:count] for b in part.biases]
        both.embedding._centre = both.embedding._centre[:count]
        both.embedding._scale = both.embedding._scale[:count]
        both.train(INPUTS, REST, WANTED, Phase(30, 0.01, 0.1))
        return both(INPUTS, REST)

    assert trained(2)[0] == pytest.approx(trained(1)[0], abs=1e-6)


# -- what pretraining is worth ------------------------------------------------------------------


@pytest.fixture(scope="module")
def mobile() -> tuple[MobileTask, list[Any], list[Any]]:
    """The task, members to learn from and members to be tested on."""
    task, rng = MobileTask(), np.random.default_rng(7)
    members = [task.space.sample(rng) for _ in range(1400)]
    return task, members[:400], members[400:]


def test_the_pretrained_embedding_knows_sizes(mobile: Any) -> None:
    task, _, test = mobile
    space = task.space
    predictor = Nars(space)
    embedding = _pretrained(predictor._encoder, (4, (47, 128, 24)), 5000, 1000, 0)
    assert embedding is not None
    vectors = predictor._inputs.learn(test, np.empty((len(test), 0)))
    said = embedding.expected_statistics(vectors).mean(0).astype(float)
    true = sizes(space, test)
    band = (true[:, 1] > np.log(4e8)) & (true[:, 1] < np.log(8e8))
    assert 0.4 < band.mean() < 0.8
    for column in range(2):
        assert kendall(said[:, column], true[:, column]) >= 0.96
        assert kendall(said[band, column], true[band, column]) >= 0.93


def gain(mobile: Any, count: int) -> tuple[float, float, float]:
    """Mean tau of the published predictor over ten seeds: pretrained, not, and MACs alone."""
    _, train, test = mobile
    settings = {"statistics": False}
    found: list[tuple[float, float, float]] = []
    for seed in range(10):
        task = MobileTask(seed)
        chosen = np.random.default_rng(seed).permutation(len(train))[:count]
        known = [train[int(row)] for row in chosen]
        noise = np.random.default_rng(100 + seed).normal(0, task.noise, count)
        costs, truth = noise - task.accuracies(known), -task.accuracies(test)
        taus = [
            kendall(Nars(task.space, {**settings, **own}).fit(known, costs).rank(test), truth)
            for own in ({}, {"pretraining": 0})
        ]
        found.append((taus[0], taus[1], kendall(-sizes(task.space, test)[:, 1], truth)))
    pretrained, scratch, macs = np.mean(found, axis=0)
    return float(pretrained), float(scratch), float(macs)


@pytest.mark.parametrize(("count", "least"), [(20, 0.15), (50, 0.10), (100, 0.03)])
def test_pretraining_pays_where_sizes_matter(mobile: Any, count: int, least: float) -> None:
    pretrained, scratch, macs = gain(mobile, count)
    assert pretrained - scratch >= least
    assert pretrained >= macs - 0.01


def test_and_does_no_harm_where_the_recipe_decides() -> None:
    space = get_space("nasbench201+recipe-fbnetv3")
    rng = np.random.default_rng(0)
    members = [space.sample(rng) for _ in range(400)]
    code, size = encoder(space, "onehot")(members), sizes(space, members)
    worth = np.random.default_rng(1).normal(0, 1, code.shape[1])
    recipe = np.array([name.startswith("recipe/") for name in columns(space)])
    costs = code[:, recipe] @ worth[recipe] + 0.1 * size[:, 1]
    taus = []
    for own in ({}, {"pretraining": 0}):
        predictor = Nars(space, {**CHEAP, **own}).fit(members[:60], costs[:60])
        taus.append(predictor.score(members[60:], costs[60:])["kendall"])
    assert taus[0] >= taus[1] - 0.05
    assert taus[0] > 0.5


def columns(space: Space) -> list[str]:
    return [c.name for c, conditional in space.tree.slots for _ in range(c.width(conditional))]


def test_the_recipe_joins_after_the_embedding() -> None:
    space = get_space("nasbench201+recipe-fbnetv3")
    rng = np.random.default_rng(0)
    members = [space.sample(rng) for _ in range(30)]
    own = {k: v for k, v in members[0].choices.items() if not k.startswith("recipe/")}
    twins = [space.architecture({**member.choices, **own}) for member in members]
    for encoding in ("onehot", "features"):
        predictor = Nars(space, {**CHEAP, "encoding": encoding})
        predictor.fit(members, rng.random(30))
        vectors = predictor._inputs(twins, np.empty((30, 0)))
        (network, recipe) = (len(predictor._encoder.encodings[0].encode(twins[:1])[0]), 9)
        assert vectors.shape[1] == network + recipe
        assert np.ptp(vectors[:, :network], axis=0).max() == 0
        assert np.ptp(vectors[:, network:], axis=0).min() > 0
        assert len(set(predictor.rank(twins).tolist())) == 30


def test_without_sizes_nothing_is_pretrained() -> None:
    for space in (ToySpace(), get_space("recipe-fbnetv3")):
        predictor = Nars(space, CHEAP)
        rng = np.random.default_rng(0)
        members = [space.sample(rng) for _ in range(40)]
        predictor.fit(members, rng.random(40))
        assert _pretrained(predictor._encoder, (4, (5, 128, 24)), 500, 100, 0) is None
        assert np.isfinite(predictor.rank(members)).all()


# -- several levels, and the stack --------------------------------------------------------------


@pytest.mark.parametrize("kind", [Nars, pytest.param(Stacked, marks=pytest.mark.slow)])
def test_cheap_trainings_of_many_help_few_full_ones(mobile: Any, kind: Any) -> None:
    _, train, test = mobile
    settings = CHEAP if kind is Nars else {"settings": {"nars": CHEAP, "forest": {"trees": 30}}}
    gains = []
    for seed in range(3):
        task, rng = MobileTask(seed), np.random.default_rng(seed)
        some = train[60 * seed : 60 * seed + 150]
        truth, costs = -task.accuracies(some), -task.accuracies(test)
        table = np.stack([3 * truth + rng.normal(0, 1, 150), np.full(150, np.nan)], 1)
        table[:20, 1] = truth[:20] + rng.normal(0, 0.1, 20)
        levels = (np.arange(150) < 20).astype(int)
        values = np.where(levels == 1, table[:, 1], table[:, 0])
        alone = kind(task.space, settings).fit(some[:20], table[:20, 1])
        both = kind(task.space, settings).fit(some, Labels(values, levels, None, table))
        gains.append(both.score(test, costs)["kendall"] - alone.score(test, costs)["kendall"])
        off = both.predict(test).mean - costs
        assert np.abs(off).mean() < 2 * costs.std()  # in units of the highest level
    assert np.mean(gains) > 0.03


def test_weights_follow_who_orders_what_was_left_out(mobile: Any) -> None:
    task, train, test = mobile
    costs = -task.accuracies(train[:60])
    extra = sizes(task.space, train[:60])
    blind = {"settings": {"forest": {"trees": 1, "leaf": 40}, "gp": {"encoding": "onehot"}}}
    stack = Stacked(task.space, {"members": ("gp", "forest"), **blind}).fit(
        train[:60], costs, extra
    )
    weights = stack.weights
    assert sum(weights.values()) == pytest.approx(1)
    assert min(weights.values()) >= 0
    assert weights["gp"] > 0.8
    said = stack.predict(test, sizes(task.space, test))
    off = said.mean + task.accuracies(test)
    assert 0.5 < np.sqrt(np.mean(off**2) / np.mean(said.std**2)) < 2  # the deviation is honest
    alike = Stacked(task.space, {"members": ("gp", "gp"), "sharpness": 0})
    assert alike.fit(train[:60], costs, extra).weights == {"gp": pytest.approx(1)}


@pytest.mark.slow
def test_a_stack_of_few_readings_is_no_worse_than_its_members_on_the_whole(mobile: Any) -> None:
    _, train, test = mobile
    found: dict[str, list[float]] = {}
    for seed in range(4):
        task = MobileTask(seed)
        known = train[60 * seed : 60 * seed + 30]
        costs, truth = -task.accuracies(known), -task.accuracies(test)
        extra, more = sizes(task.space, known), sizes(task.space, test)
        for name in ("stacked", "gp", "forest", "nars"):
            predictor = get_predictor(name)(task.space, {"encoding": "onehot"})
            tau = predictor.fit(known, costs, extra).score(test, truth, more)["kendall"]
            found.setdefault(name, []).append(tau)
    means = {name: float(np.mean(taus)) for name, taus in found.items()}
    assert means["stacked"] > max(means["gp"], means["forest"], means["nars"]) - 0.01
    assert means["stacked"] > np.mean([means["gp"], means["forest"], means["nars"]])


def test_what_cannot_be_stacked_is_refused() -> None:
    space = ToySpace()
    for members, words in ((("pairwise-mlp",), "only ranks"), (("ensemble",), "ensembles")):
        with pytest.raises(ConfigError, match=words):
            Stacked(space, {"members": members})


def test_the_mobile_space_counts_what_it_says() -> None:
    space = MobileSpace()
    low = {c.name: min(c.values()) for c, _ in space.tree.slots}
    high = {c.name: max(c.values()) for c, _ in space.tree.slots}
    assert space.size == 3_636_634_708_869_120_000
    assert space.cost(space.architecture(low)).macs == 105_735_040
    assert space.cost(space.architecture(high)).macs == 2_372_324_272
