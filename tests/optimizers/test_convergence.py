"""Every member trains a network on digits, and sharpness-aware steps end in flatter places.

Rates are those that `benchmarks/zoo.py` found; bars leave room for other machines.
"""

from __future__ import annotations

import statistics
from functools import cache
from typing import Any

import pytest

from nas.optimizers import OPTIMIZERS, PLAIN, STEPS
from nas.testing.digits import Trained, train
from tests.optimizers.members import marked

RATES = {
    "sgd": 0.13,
    "adam": 0.01,
    "adamw": 0.01,
    "nadamw": 0.01,
    "lion": 0.0013,
    "rmsprop": 0.003,
    "adafactor": 0.03,
    "muon": 0.02,
    "adamp": 0.01,
    "sgdp": 0.13,
    "sm3": 0.1,
    "sophia-g": 0.003,
    "sophia-h": 0.38,
    "m-fac": 0.0055,
    "schedule-free-adamw": 0.01,
    "schedule-free-sgd": 1.0,
    "prodigy": 1.0,
    "soap": 0.003,
    "ademamix": 0.003,
}
STEPPED: dict[str, dict[str, Any]] = {
    "sam": {"rho": 0.1},
    "sam-k": {"k": 5},
    "looksam": {"k": 5, "alpha": 0.2},
    "conadv": {},
}


@cache
def trained(
    name: str, lr: float, step: str = PLAIN, given: tuple[Any, ...] = (), seed: int = 0
) -> Trained:
    return train(name, lr, step=step, step_settings=dict(given), seed=seed)


def test_every_member_has_a_rate_here_or_a_warning() -> None:
    warned = {name for name in OPTIMIZERS.names() if OPTIMIZERS.get(name).traits.warning}
    ours = {name for name in OPTIMIZERS.names() if not name.startswith(("visiting", "wrong"))}
    assert ours - set(RATES) <= warned
    assert set(STEPPED) <= set(STEPS.names())


@pytest.mark.parametrize("name", marked(RATES))
def test_it_learns_digits(name: str) -> None:
    assert trained(name, RATES[name]).accuracy >= 95


def test_what_does_not_train_from_scratch_says_so() -> None:
    """The figure of its warning: near chance."""
    assert trained("mezo", 1e-3).accuracy < 30
    assert "11 %" in OPTIMIZERS.get("mezo").traits.warning


@pytest.mark.parametrize("step", STEPPED)
def test_steps_learn_digits(step: str) -> None:
    plain = trained("sgd", 0.13).accuracy
    found = trained("sgd", 0.13, step, tuple(STEPPED[step].items())).accuracy
    assert found >= max(95, plain - 1.5)


@pytest.mark.slow
def test_sharpness_aware_steps_end_in_flatter_places() -> None:
    """At the same rate and epochs; of networks that have all learnt their training set."""
    medians = []
    for rho in (0.0, 0.05, 0.1, 0.2):
        step, given = (PLAIN, ()) if rho == 0 else ("sam", (("rho", rho),))
        runs = [trained("sgd", 0.1, step, given, seed) for seed in range(3)]
        assert all(run.loss < 0.02 for run in runs)
        medians.append(statistics.median(run.sharpness for run in runs))
    assert medians[1] / medians[0] <= 0.75
    assert medians[2] / medians[0] <= 0.6
    assert medians == sorted(medians, reverse=True)
    moved = [trained("sgd", 0.1, "conadv", (("epsilon", 0.03),), seed) for seed in range(3)]
    assert all(run.loss < 0.02 for run in moved)
    assert statistics.median(run.sharpness for run in moved) / medians[0] <= 0.75
