"""Budgets: reading, extending, and counting in the order of telling."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nas.core.architecture import Architecture, Candidate
from nas.core.errors import ConfigError
from nas.core.work import Call, Evaluate, Spent
from nas.engine.budget import Budget, Meter

WORK = Evaluate(Candidate(Architecture("s", {"a": 1})), 5.0)


@pytest.mark.parametrize(
    ("text", "budget"),
    [
        ("50evaluations", Budget(evaluations=50)),
        ("1evaluation", Budget(evaluations=1)),
        ("300epochs", Budget(epochs=300.0)),
        ("0.5 epochs", Budget(epochs=0.5)),
        ("6h", Budget(seconds=21600.0)),
        ("90m", Budget(seconds=5400.0)),
        ("45s", Budget(seconds=45.0)),
        ("2d", Budget(seconds=172800.0)),
        ("300epochs,6h", Budget(epochs=300.0, seconds=21600.0)),
        ("", Budget()),
        (None, Budget()),
        ("unlimited", Budget()),
    ],
)
def test_parse(text: str | None, budget: Budget) -> None:
    assert Budget.parse(text) == budget
    assert Budget.parse(str(budget)) == budget
    assert bool(budget) == (text not in ("", None, "unlimited"))


@pytest.mark.parametrize(
    "text", ["50", "epochs", "-3epochs", "0epochs", "3weeks", "1.5evaluations", "1h,2h", "nanh"]
)
def test_parse_refuses(text: str) -> None:
    with pytest.raises(ConfigError, match="expected such as"):
        Budget.parse(text)


def test_extending() -> None:
    budget = Budget.parse("300epochs,1h")
    assert budget.changed("+20epochs") == Budget(epochs=320.0, seconds=3600.0)
    assert budget.changed("+1h") == Budget(epochs=300.0, seconds=7200.0)
    assert budget.changed("10evaluations") == Budget(evaluations=10)
    with pytest.raises(ConfigError, match="adds evaluations but the run's budget is 300epochs"):
        budget.changed("+5evaluations")


@given(st.integers(1, 60), st.lists(st.integers(1, 9), min_size=1, max_size=60))
def test_promises_cut_a_batch_at_the_same_work_whatever_was_told(
    limit: int, parts: list[int]
) -> None:
    meter = Meter(Budget(evaluations=limit))
    admitted = 0
    for part in parts:
        promises = []
        for _ in range(part):
            if not meter.admits():
                break
            promises.append(meter.promise(WORK))
        admitted += len(promises)
        for promise in promises:
            meter.settle(promise, Spent(epochs=4.0, evaluations=1))
    assert admitted == min(limit, sum(parts))
    assert meter.spent.evaluations == admitted
    assert meter.reached() == (admitted == limit)
    assert meter.left() == {"evaluations": limit - admitted}


def test_epochs_overshoot_by_less_than_one_work() -> None:
    meter = Meter(Budget(epochs=12.0))
    count = 0
    while meter.admits():
        meter.promise(WORK)
        count += 1
    assert count == 3
    meter = Meter(Budget(epochs=1.0))
    promise = meter.promise(Call("s", "train"))
    assert meter.admits()  # what a call costs is known when it is done
    meter.settle(promise, Spent(epochs=1.0))
    assert meter.reached()
    assert meter.left() == {"epochs": 0.0}


def test_an_epoch_that_costs_two_is_expected_to() -> None:
    """Two gradients a step: after the first work is paid, a batch is cut where it will be."""
    meter = Meter(Budget(epochs=40.0))
    meter.settle(meter.promise(WORK), Spent(epochs=10.0, evaluations=1))
    promises = []
    while meter.admits():
        promises.append(meter.promise(WORK))
    assert [promise.epochs for promise in promises] == [10.0, 10.0, 10.0]
    for promise in promises:
        meter.settle(promise, Spent(epochs=10.0, evaluations=1))
    assert meter.spent.epochs == 40.0


@pytest.mark.parametrize("paid", [0.0, 2.0, 5.0])
def test_what_costs_less_or_goes_on_changes_no_expectation(paid: float) -> None:
    """A training that failed early, one that was known, one that continues at the full price."""
    meter = Meter(Budget(epochs=100.0))
    meter.settle(meter.promise(WORK), Spent(epochs=paid, evaluations=1))
    longer = Evaluate(WORK.candidate, 8.0, since=5.0)
    meter.settle(meter.promise(longer), Spent(epochs=8.0, evaluations=1))
    assert meter.promise(WORK).epochs == 5.0
