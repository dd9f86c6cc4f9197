"""What every predictor must do, whoever wrote it.

    from nas.testing.predictors import check_predictor

    def test_my_predictor():
        check_predictor(MyPredictor)

The readings are a made-up landscape on NAS-Bench-201: large convolutions are good, better beside a
skip, pools are bad.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cache
from typing import Any, Final, TypeAlias

import numpy as np

from nas.core.architecture import Architecture
from nas.core.space import Space
from predictors import Labels
from predictors.base import Predictor
from predictors.labels import Floats
from search_spaces import get_space

__all__ = ["CHECKS", "Make", "check_predictor", "costs_of", "members"]

Make: TypeAlias = Callable[[Space, int], Predictor]
"""Makes a predictor from space and seed."""

SPACE: Final = "nasbench201"
KNOWN: Final = 100
"""Members that are learnt from, of all that there are."""

WORTH: Final = {
    "none": 0,
    "skip_connect": 1,
    "nor_conv_1x1": 2,
    "nor_conv_3x3": 3,
    "avg_pool_3x3": -1,
}


@cache
def members(count: int = 260) -> tuple[Architecture, ...]:
    """So many functionally different cells that have a convolution."""
    space, rng = get_space(SPACE), np.random.default_rng(0)
    found: dict[str, Architecture] = {}
    while len(found) < count:
        member = space.canonical(space.sample(rng))
        if "nor_conv" in space.format(member):
            found[member.id] = member
    return tuple(found.values())


def costs_of(architectures: Sequence[Architecture]) -> Floats:
    """The landscape: costs ``(n,)``, less is better."""
    costs = []
    for architecture in architectures:
        worth = [WORTH[str(op)] for op in architecture.choices.values()]
        there = {str(op) for op in architecture.choices.values()}
        bonus = 2.0 * ({"skip_connect", "nor_conv_3x3"} <= there)
        place = sum(0.01 * i * value for i, value in enumerate(worth))
        costs.append(-sum(worth) - bonus - place)
    return np.array(costs, dtype=float)


def check_predictor(kind: type[Predictor], settings: Mapping[str, Any] | None = None) -> None:
    """Check a predictor; takes as long as fitting it some twenty times.

    Args:
        kind: Its class.
        settings: Its settings.

    Raises:
        AssertionError: It breaks a promise.
    """
    for check in CHECKS.values():
        check(lambda space, seed: kind(space, settings, seed))


def _require(condition: object, what: str) -> None:
    if not condition:
        raise AssertionError(what)


def learns_an_order(make: Make) -> None:
    """Of cells that it was not told of."""
    cells, costs = members(), costs_of(members())
    predictor = make(get_space(SPACE), 0).fit(cells[:KNOWN], costs[:KNOWN])
    found = predictor.score(cells[KNOWN:], costs[KNOWN:])
    _require(set(found) == {"kendall", "spearman", "top5_regret"}, f"scores are {found}")
    _require(found["kendall"] > 0.6, f"Kendall's tau is {found['kendall']:.2f}")
    _require(found["spearman"] > found["kendall"], "Spearman's rho is not above tau")
    _require(0 <= found["top5_regret"] < np.ptp(costs) / 4, f"regret {found['top5_regret']:.2f}")


def learns_the_opposite_order(make: Make) -> None:
    """From the opposite readings."""
    cells, costs = members(), costs_of(members())
    predictor = make(get_space(SPACE), 0).fit(cells[:KNOWN], -costs[:KNOWN])
    tau = predictor.score(cells[KNOWN:], costs[KNOWN:])["kendall"]
    _require(tau < -0.5, f"opposite labels give tau {tau:.2f}")


def learns_nothing_from_chance(make: Make) -> None:
    """Readings that were shuffled."""
    cells, costs = members(), costs_of(members())
    found = []
    for seed in range(4):
        shuffled = np.random.default_rng(seed).permutation(costs[:60])
        predictor = make(get_space(SPACE), seed).fit(cells[:60], shuffled)
        found.append(predictor.score(cells[60:], costs[60:])["kendall"])
    _require(abs(float(np.mean(found))) < 0.25, f"shuffled labels give tau {found}")


def scores_each_by_itself(make: Make) -> None:
    """Neither order nor company changes a score."""
    cells = members()
    predictor = make(get_space(SPACE), 0).fit(cells[:40], costs_of(cells[:40]))
    together = predictor.rank(cells)
    order = np.random.default_rng(1).permutation(len(cells))
    mixed = predictor.rank([cells[i] for i in order])
    _require(np.allclose(mixed, together[order], atol=1e-5), "order changes scores")
    alone = np.concatenate([predictor.rank([cell]) for cell in cells[:5]])
    _require(np.allclose(alone, together[:5], atol=1e-5), "company changes scores")
    _require(predictor.rank([]).shape == (0,), "no architectures have scores")
    _require(together.dtype == np.float64, f"scores are {together.dtype}")


def says_the_same_again(make: Make) -> None:
    """For the same seed and readings, whatever it was told before."""
    cells, costs = members(), costs_of(members()[:40])
    space = get_space(SPACE)
    first, second = (make(space, 3).fit(cells[:40], costs).rank(cells) for _ in range(2))
    _require(first.tolist() == second.tolist(), "the same seed gives other scores")
    again = make(space, 3).fit(cells[40:80], costs_of(cells[40:80])).fit(cells[:40], costs)
    _require(again.rank(cells).tolist() == first.tolist(), "it remembers what it was told before")


def leaves_failed_readings_out(make: Make) -> None:
    """Those that are not finite."""
    cells, costs = members(), costs_of(members()[:50])
    costs[[3, 7]] = np.nan, np.inf
    kept = [i for i in range(50) if i not in (3, 7)]
    space = get_space(SPACE)
    whole = make(space, 0).fit(cells[:50], costs).rank(cells)
    part = make(space, 0).fit([cells[i] for i in kept], costs[kept]).rank(cells)
    _require(whole.tolist() == part.tolist(), "failed readings change scores")


def ranks_alike_without_an_order(make: Make) -> None:
    """Where no two readings differ; two that do are enough."""
    cells, space = members(), get_space(SPACE)
    for costs in ([], [0.5], [0.5, 0.5, 0.5], [np.nan, np.nan, 0.1]):
        predictor = make(space, 0).fit(cells[: len(costs)], np.array(costs))
        _require(np.ptp(predictor.rank(cells[:9])) == 0, f"readings {costs} give an order")
        tau = predictor.score(cells[:9], costs_of(cells[:9]))["kendall"]
        _require(tau == 0, f"readings {costs} give tau {tau}")
    scores = make(space, 0).fit(cells[:2], [0.2, 0.1]).rank(cells)
    _require(np.isfinite(scores).all(), "two readings give scores that are not finite")


def learns_from_levels(make: Make) -> None:
    """Whose readings are on other scales."""
    cells, costs = members(), costs_of(members())
    levels = np.zeros(KNOWN, int)
    levels[np.argsort(costs[:KNOWN])[:30]] = 1
    readings = np.where(levels == 1, costs[:KNOWN] + 50, costs[:KNOWN])
    told = Labels(readings, levels, np.array([0.5, 1.0]))
    predictor = make(get_space(SPACE), 0).fit(cells[:KNOWN], told)
    tau = predictor.score(cells[KNOWN:], costs[KNOWN:])["kendall"]
    _require(tau > 0.55, f"readings of two levels give tau {tau:.2f}")


def predicts_as_it_ranks(make: Make) -> None:
    """With a spread that is no number below zero."""
    cells = members()
    predictor = make(get_space(SPACE), 0).fit(cells[:60], costs_of(cells[:60]))
    said = predictor.predict(cells)
    _require(said.mean.tolist() == predictor.rank(cells).tolist(), "rank and predict differ")
    _require(said.std.shape == said.mean.shape, f"spreads are {said.std.shape}")
    _require((said.std >= 0).all(), "a spread is below zero")


CHECKS: Final[Mapping[str, Callable[[Make], None]]] = {
    check.__name__: check
    for check in (
        learns_an_order,
        learns_the_opposite_order,
        learns_nothing_from_chance,
        scores_each_by_itself,
        says_the_same_again,
        leaves_failed_readings_out,
        ranks_alike_without_an_order,
        learns_from_levels,
        predicts_as_it_ranks,
    )
}
"""All of them by name, each a function of a `Make` that raises AssertionError."""
