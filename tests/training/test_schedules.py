"""Schedules against closed forms, and torch's own."""

from __future__ import annotations

import math

import pytest
import torch

from nas.core.errors import ConfigError, PluginError
from nas.training.schedules import SCHEDULES, rate


def test_cosine_is_torchs() -> None:
    weight = torch.nn.Parameter(torch.zeros(1))
    optimizer = torch.optim.SGD([weight], lr=0.025)
    theirs = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 50, eta_min=0.001)
    ours = rate("cosine", {"final": 0.001 / 0.025}, 50)
    for step in range(50):
        assert 0.025 * ours(step) == pytest.approx(theirs.get_last_lr()[0], rel=1e-9)
        optimizer.step()
        theirs.step()


def test_warmup_rises_to_one_and_the_rest_is_the_schedules() -> None:
    ours = rate("cosine", {}, total=25, warmup=5)
    assert [ours(step) for step in range(5)] == pytest.approx([0.2, 0.4, 0.6, 0.8, 1.0])
    for step in range(5, 25):
        assert ours(step) == pytest.approx((1 + math.cos(math.pi * (step - 5) / 20)) / 2)
    assert rate("constant", {}, total=3, warmup=9)(2) == 1.0


def test_exponential_is_a_factor_an_epoch() -> None:
    ours = rate("exponential", {"final": 0.97**250}, total=2500)
    for epoch in (0, 1, 17, 249):
        assert ours(10 * epoch) == pytest.approx(0.97**epoch, rel=1e-9)


@pytest.mark.parametrize("shape", ["linear", "sqrt", "cosine"])
def test_warmup_stable_decay(shape: str) -> None:
    ours = rate(
        "warmup-stable-decay", {"decay": 0.25, "final": 0.1, "shape": shape}, total=110, warmup=10
    )
    assert {ours(step) for step in range(9, 85)} == {1.0}
    for step in range(85, 110):
        into = (step - 10 - 75) / 25
        left = {
            "linear": 1 - into,
            "sqrt": 1 - math.sqrt(into),
            "cosine": (1 + math.cos(math.pi * into)) / 2,
        }[shape]
        assert ours(step) == pytest.approx(0.1 + 0.9 * left)
    assert ours(110) == pytest.approx(0.1)


@pytest.mark.parametrize("name", SCHEDULES.names())
def test_every_schedule_stays_within_its_bounds(name: str) -> None:
    for total in (1, 2, 3, 50):
        for warmup in (0, 1, total):
            factors = [rate(name, {}, total, warmup)(step) for step in range(total)]
            assert all(0 <= factor <= 1 for factor in factors)
            top = factors.index(max(factors[warmup:]), warmup) if warmup < total else total
            assert name == "one-cycle" or top in (warmup, total)
            assert factors[top:] == sorted(factors[top:], reverse=True)
            assert factors[0] > 0
    assert name == "one-cycle" or rate(name, {}, 10)(0) == 1.0


@pytest.mark.parametrize(("phi", "half"), [(0.5, 0.8), (1, 2 / 3), (2, 0.5), (5, 2 / 7)])
def test_uba_at_half_time(phi: float, half: float) -> None:
    ours = rate("uba", {"phi": phi, "final": 0.1}, 100)
    assert ours(50) == pytest.approx(0.1 + 0.9 * half, rel=1e-12)
    assert (ours(0), ours(100)) == (1.0, pytest.approx(0.1))


def test_uba_of_two_is_cosine() -> None:
    ours, cosine = rate("uba", {"phi": 2.0}, 37), rate("cosine", {}, 37)
    assert [ours(step) for step in range(38)] == pytest.approx([cosine(step) for step in range(38)])


def test_power_knows_no_horizon_before_its_last_part() -> None:
    settings = {"flat": 10, "exponent": -0.5, "decay": 0.1}
    short, long = rate("power", settings, 200), rate("power", settings, 1000)
    assert [short(step) for step in range(180)] == [long(step) for step in range(180)]
    assert [short(step) for step in (0, 10, 40, 160)] == pytest.approx([1, 1, 0.5, 0.25])
    assert short(180) == pytest.approx(18**-0.5)  # continuous where it begins to go down
    assert short(190) == pytest.approx(19**-0.5 / 2)
    assert rate("power", {**settings, "decay": 0.0}, 200)(199) == pytest.approx(19.9**-0.5)


def test_one_cycle_is_torchs() -> None:
    weight = torch.nn.Parameter(torch.zeros(1))
    optimizer = torch.optim.SGD([weight], lr=1.0)
    theirs = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, 1.0, total_steps=101, pct_start=0.3, cycle_momentum=False, final_div_factor=400
    )
    ours = rate("one-cycle", {"start": 1 / 25, "final": 1 / 25 / 400, "rise": 0.3}, 100)
    # torch's turning point lies a step before a third: compare away from it
    assert ours(0) == pytest.approx(theirs.get_last_lr()[0])
    assert ours(30) == 1.0
    assert ours(100) == pytest.approx(1e-4)
    middle = [ours(step) for step in (15, 65)]
    assert middle == pytest.approx([(1 / 25 + 1) / 2, (1 + 1e-4) / 2])


def test_wrong_settings() -> None:
    with pytest.raises(PluginError, match="did you mean cosine"):
        rate("cosin", {}, 10)
    with pytest.raises(ConfigError, match="'final' is 2"):
        rate("cosine", {"final": 2}, 10)
    with pytest.raises(ConfigError, match="unknown constant setting 'final'"):
        rate("constant", {"final": 0.5}, 10)
    with pytest.raises(ConfigError, match="'shape'"):
        rate("warmup-stable-decay", {"shape": "step"}, 10)
