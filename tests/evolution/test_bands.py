"""Limits as people write them, and how far figures are from them."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evolution.bands import Band, beyond, parse_bands
from nas.core.errors import ConfigError
from nas.core.objective import Objective

numbers = st.floats(allow_nan=False, allow_infinity=False)


@pytest.mark.parametrize(
    ("text", "band"),
    [
        ("macs<=4e8", Band("macs", high=4e8)),
        ("macs >= 1.5e6", Band("macs", 1.5e6)),
        (" 4.4e8 <= macs <= 4.6e8 ", Band("macs", 4.4e8, 4.6e8)),
        ("4e8<=macs", Band("macs", 4e8)),
        ("naswot>=-3", Band("naswot", -3.0)),
        ("5<=params<=5", Band("params", 5.0, 5.0)),
    ],
)
def test_forms(text: str, band: Band) -> None:
    assert Band.parse(text) == band
    assert parse_bands(text) == (band,)


@pytest.mark.parametrize(
    "text",
    [
        *("", "macs", "<=4e8", "macs<=", "macs<4e8", "macs=4e8", "4e8>=macs", "1<=macs>=2"),
        *("macs<=4e8e1", "macs<=1.2.3", "macs<=.", "macs<=nan", "macs<=inf", "macs<=much"),
        *("macs<=1e999", "macs>=1e999", "1<=macs<=1e999", "-1e999<=macs", "mäcs<=4", "2 macs<=4"),
        *("macs<=4e8;params<=1", "macs<=4\u0668"),
    ],
)
def test_what_is_no_limit_is_refused_with_its_text(text: str) -> None:
    with pytest.raises(ConfigError, match="limit") as raised:
        Band.parse(text)
    assert repr(text) in raised.value.message
    assert "LOW<=METRIC<=HIGH" in str(raised.value)


def test_a_band_that_holds_nothing_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"nothing lies in '2<=macs<=1'.*swap"):
        Band.parse("2<=macs<=1")


def test_commas_join_and_nothing_is_no_limit() -> None:
    assert parse_bands("macs<=4e8,params>=1e6") == (Band("macs", high=4e8), Band("params", 1e6))
    assert parse_bands("") == parse_bands("  ") == ()
    for text in ("macs<=1,", ",macs<=1", "macs<=1,,params<=2", ","):
        with pytest.raises(ConfigError, match="limit"):
            parse_bands(text)


@given(numbers, numbers, st.sampled_from("<>=b"))
def test_what_is_printed_is_read_back(one: float, other: float, kind: str) -> None:
    low, high = sorted((one, other))
    band = {"<": Band("macs", high=high), ">": Band("macs", low)}.get(kind, Band("macs", low, high))
    assert Band.parse(str(band)) == band


@given(numbers, numbers, numbers)
def test_the_distance_is_0_inside_alone_and_always_a_number(
    a: float, b: float, value: float
) -> None:
    band = Band("macs", *sorted((a, b)))
    distance = band.distance({"macs": value})
    assert distance >= 0
    assert (distance == 0) == (band.low <= value <= band.high)


@given(st.floats(1e-9, 1e12), st.floats(1.01, 100), st.floats(1.01, 100))
def test_the_distance_grows_with_what_is_off_and_ratios_count_alike(
    limit: float, ratio: float, more: float
) -> None:
    high, low = Band("macs", high=limit), Band("macs", limit)
    assert high.distance({"macs": limit * ratio}) == pytest.approx(math.log(ratio))
    assert low.distance({"macs": limit / ratio}) == pytest.approx(math.log(ratio))
    for band, sign in ((high, 1), (low, -1)):
        near = band.distance({"macs": limit * ratio**sign})
        assert band.distance({"macs": limit * (ratio * more) ** sign}) > near


def test_where_there_is_no_ratio_the_distance_is_a_share_of_the_limit() -> None:
    assert Band("score", -2.0).distance({"score": -3.0}) == pytest.approx(0.5)
    assert Band("score", 0.0).distance({"score": -3.0}) == pytest.approx(3.0)
    assert Band("score", high=-4.0).distance({"score": 2.0}) == pytest.approx(1.5)


def test_a_figure_that_is_not_there_is_infinitely_far() -> None:
    band = Band("macs", high=4e8)
    assert band.distance({}) == band.distance({"macs": math.nan}) == math.inf
    assert Band("macs", high=4e8).distance({"macs": math.inf}) == math.inf


def test_distances_add_up() -> None:
    bands = parse_bands("macs<=1,params<=1")
    assert beyond(bands, {"macs": math.e, "params": math.e}) == pytest.approx(2)
    assert beyond(bands, {"macs": 0.5, "params": math.e}) == pytest.approx(1)
    assert beyond((), {}) == 0


@pytest.mark.parametrize(
    ("objective", "band"),
    [
        ("params:min<=2e6", Band("params", high=2e6)),
        ("naswot:max>=3", Band("naswot", 3.0)),
        ("params:min", None),
    ],
)
def test_the_band_of_an_objective(objective: str, band: Band | None) -> None:
    assert Band.of(Objective.parse(objective)) == band
