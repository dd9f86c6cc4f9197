"""When channels are removed, and how many: shares, parts, periods, schedules."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nas.core.errors import ConfigError
from nas.training.pruning import HessoSettings, parts, periods, rate_of_parts, target
from nas.training.recipe import RECIPES, TrainingRecipe
from nas.training.schedules import rate

SHARES = st.lists(
    st.integers(1, 99).map(lambda percent: percent / 100), min_size=1, max_size=4, unique=True
).map(lambda shares: tuple(sorted(shares)))


@given(SHARES, st.integers(4, 700))
def test_parts_divide_the_epochs_and_the_last_is_the_longest(
    shares: tuple[float, ...], epochs: int
) -> None:
    ends = parts(epochs, shares)
    lengths = [end - start for start, end in pairwise((0, *ends))]
    assert ends[-1] == epochs
    assert min(lengths) >= 1
    if len(shares) > 1 and epochs >= 12:
        others = lengths[:-1]
        assert max(others) - min(others) <= 1
        assert 2 * max(others) - 2 <= lengths[-1] <= 2 * min(others) + len(shares) + 1


def test_parts_by_hand() -> None:
    assert parts(20, (0.5,)) == (20,)
    assert parts(20, (0.25, 0.5, 0.75)) == (5, 10, 20)
    assert parts(20, (0.25, 0.5)) == (6, 20)
    assert parts(3, (0.25, 0.5, 0.75)) == (1, 2, 3)
    with pytest.raises(ConfigError, match="2 epochs are too few for 3 shares"):
        parts(2, (0.25, 0.5, 0.75))


@given(
    SHARES,
    st.integers(1, 40),
    st.integers(1, 500),
    st.integers(1, 12),
    st.tuples(st.integers(0, 98), st.integers(1, 100)).filter(lambda pair: pair[0] < pair[1]),
)
def test_periods_reach_every_share_exactly_in_its_part(
    shares: tuple[float, ...], length: int, count: int, number: int, window: tuple[int, int]
) -> None:
    ends = [length * (i + 1) for i in range(len(shares))]
    settings = HessoSettings(periods=number, begin=window[0] / 100, end=window[1] / 100)
    found = periods(shares, ends, count, settings)
    assert all(period.begin < period.end for period in found)
    assert all(a.end <= b.begin and a.count <= b.count for a, b in pairwise(found))
    for share, start, end in zip(shares, [0, *ends], ends, strict=False):
        inside = [period for period in found if start <= period.begin < end]
        assert inside[-1].end <= end
        assert inside[-1].count == target(share, count)
        assert len(inside) <= number


def test_periods_by_hand() -> None:
    settings = HessoSettings(periods=2, begin=0.1, end=0.5)
    found = [(p.begin, p.end, p.count) for p in periods((0.5,), (100,), 11, settings)]
    assert found == [(10, 30, 3), (30, 50, 6)]  # 5.5 is 6
    alone = periods((0.5,), (1,), 10, HessoSettings(periods=4))
    assert [(p.begin, p.end, p.count) for p in alone] == [(0, 1, 5)]


def test_a_part_has_the_schedule_from_its_beginning() -> None:
    for name in ("cosine", "warmup-stable-decay"):
        alone, whole = rate(name, {}, 40, 5), rate_of_parts(name, {}, [40], 5)
        assert [whole(step) for step in range(40)] == [alone(step) for step in range(40)]
        first, second = rate(name, {}, 30, 5), rate(name, {}, 10, 0)
        both = rate_of_parts(name, {}, [30, 40], 5)
        assert [both(step) for step in range(30)] == [first(step) for step in range(30)]
        assert [both(30 + step) for step in range(12)] == [second(step) for step in range(12)]


@pytest.mark.parametrize(
    ("given", "shares"),
    [(0.5, (0.5,)), (0, ()), (0.0, ()), ((), ()), ([0.25, 0.5], (0.25, 0.5))],
)
def test_a_recipe_takes_one_share_or_several(given: Any, shares: tuple[float, ...]) -> None:
    recipe = TrainingRecipe(prune=given)
    assert recipe.prune == shares
    again = TrainingRecipe.from_settings(recipe.to_recipe())
    assert again == recipe
    assert RECIPES.get("digits").prune == ()


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"prune": 1.0}, "between 0 and 1"),
        ({"prune": -0.1}, "between 0 and 1"),
        ({"prune": [0.0, 0.5]}, "between 0 and 1"),
        ({"prune": [0.5, 0.5]}, "ascend"),
        ({"prune": [0.5, 0.25]}, "ascend"),
        ({"prune": "half"}, "'half'"),
        ({"prune": True}, "prune"),
        ({"prune_settings": {"period": 3}}, "did you mean periods"),
        ({"prune_settings": {"periods": 0}}, "greater than or equal to 1"),
        ({"prune_settings": {"begin": 0.5, "end": 0.5}}, "begin to be before end"),
        ({"prune_settings": {"end": 1.5}}, "less than or equal to 1"),
    ],
)
def test_bad_shares_and_settings_are_one_line(settings: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigError, match=words) as error:
        TrainingRecipe.from_settings(settings)
    assert "prune" in str(error.value)
