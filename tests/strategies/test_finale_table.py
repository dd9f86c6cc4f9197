"""The account after a search on a table: one reading, beside many random searches."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from nas.core.architecture import Candidate
from nas.core.config import FinalSettings
from nas.core.work import Evaluate, Outcome, Spent
from nas.engine.baseline import baseline
from nas.engine.records import Entry
from nas.evaluators import Account
from nas.measure.comparison import mean_interval
from nas.strategies.finale import FOUND, RANDOM
from nas.strategies.finale_table import PICK, SEARCH_TAG, Reading, draws_of, table_finale
from nas.testing.toys import toy_evaluator, toy_problem

READING = Reading(8.0, "test")


def converse(
    found: Sequence[Candidate], epochs: float, settings: FinalSettings, *, failing: bool = False
) -> tuple[list[list[Evaluate]], list[Candidate]]:
    """What is asked for, request by request, and what is returned."""
    generator = table_finale(
        toy_problem(), found, epochs, settings, np.random.default_rng(3), READING
    )
    asked: list[list[Evaluate]] = []
    answer: Any = None
    while True:
        try:
            works = generator.send(answer)
        except StopIteration as end:
            return asked, end.value
        asked.append(list(works))  # type: ignore[arg-type]
        answer = [_outcome(work, failing=failing) for work in works]  # type: ignore[union-attr]


def _outcome(work: Any, *, failing: bool) -> Outcome:
    if failing and work.split == "validation":
        return Outcome(work, "failed", error="no figures")
    return Outcome(work, figures=toy_evaluator(work.candidate, work.budget, 0))


def sample(count: int) -> list[Candidate]:
    return toy_problem().sample(count, np.random.default_rng(0))


def test_as_many_random_searches_of_as_many_epochs() -> None:
    found = sample(3)
    asked, returned = converse(found, 50.0, FinalSettings(random_searches=4))
    assert returned == found
    *draws, reads = asked
    assert [len(batch) for batch in draws] == [6] * 4  # 6 times 8 epochs, at most 50
    assert all(len({w.candidate.id for w in batch}) == 6 for batch in draws)
    assert {(w.budget, w.split) for batch in draws for w in batch} == {(8.0, "validation")}
    assert [w.tags[SEARCH_TAG] for w in reads] == [PICK, "", "", "0", "1", "2", "3"]
    assert {w.split for w in reads} == {"test"}
    for number, batch in enumerate(draws):
        best = toy_problem().best([_outcome(w, failing=False) for w in batch])
        assert reads[3 + number].candidate == best.candidate
    assert len({tuple(w.candidate.id for w in batch) for batch in draws}) == 4


def test_without_a_random_arm_only_what_was_found_is_read() -> None:
    asked, _ = converse(sample(2), 50.0, FinalSettings(random_arm=False))
    assert [[w.tags["arm"] for w in batch] for batch in asked] == [[FOUND, FOUND]]


def test_random_searches_that_find_nothing_have_no_pick() -> None:
    asked, _ = converse(sample(1), 8.0, FinalSettings(random_searches=2), failing=True)
    assert [w.tags["arm"] for w in asked[-1]] == [FOUND]


@pytest.mark.parametrize(("epochs", "draws"), [(0, 1), (199, 1), (200, 1), (399, 1), (6000, 30)])
def test_draws(epochs: float, draws: int) -> None:
    assert draws_of(epochs, 200) == draws


def entry(arm: str, search: str, error: float, metric: str = "test_error") -> Entry:
    candidate = sample(1)[0]
    tags = {"stage": "final", "arm": arm, SEARCH_TAG: search}
    work = Evaluate(candidate, 8, split="test", tags=tags)
    return Entry(work, "ok", {"error": error, metric: error}, None, {}, "", Spent(), "final", 0)


@pytest.mark.parametrize(
    ("own", "verdict", "words"),
    [(0.10, "lower", "100% of them (4 of 4)"), (0.40, "higher", "0% of them (0 of 4)")],
)
def test_the_comparison_in_words(own: float, verdict: str, words: str) -> None:
    theirs = [0.20, 0.21, 0.22, 0.23]
    history = [entry(FOUND, PICK, own), entry(FOUND, "", 0.01)]
    history += [entry(RANDOM, str(i), value) for i, value in enumerate(theirs)]
    said = baseline(history)["baseline"]
    assert said["verdict"] == verdict
    assert words in said["sentence"]
    assert "21.50% on average (95% interval 19.45 to 23.55)" in said["sentence"]
    assert said["arms"] == {FOUND: [own], RANDOM: theirs}
    assert said["difference"] == pytest.approx(own - 0.215)


def test_ties_and_equal_picks_are_said() -> None:
    history = [entry(FOUND, PICK, 0.2), entry(RANDOM, "0", 0.2), entry(RANDOM, "1", 0.2)]
    said = baseline(history)["baseline"]
    assert (said["beaten"], said["equal"], said["verdict"]) == (0, 2, "undecided")
    assert "(0 of 2, equals 2)" in said["sentence"]
    assert "low" not in said  # equal values say nothing of their spread


def test_without_test_figures_the_validation_error_is_compared() -> None:
    history = [entry(FOUND, PICK, 0.2, "error")]
    history += [entry(RANDOM, str(i), 0.3 + i / 100, "error") for i in range(3)]
    said = baseline(history)["baseline"]
    assert said["metric"] == "error"
    assert "20.00% validation error" in said["sentence"]


def test_what_is_no_share_is_not_said_in_percent() -> None:
    history = [entry(FOUND, PICK, 2.5, "test_distance")]
    history += [entry(RANDOM, str(i), 3.0 + i, "test_distance") for i in range(3)]
    sentence = baseline(history, Account(goal="distance"))["baseline"]["sentence"]
    assert "the search's pick has 2.5 test distance; 3 random searches" in sentence
    assert "have 4 on average (95% interval 1.516 to 6.484)" in sentence


def test_the_interval_of_a_mean() -> None:
    from scipy import stats

    values = [0.3, 0.1, 0.5, 0.45]
    mean, low, high = mean_interval(values)
    expected = stats.t.interval(0.95, 3, np.mean(values), stats.sem(values))
    assert mean == pytest.approx(0.3375)
    assert (low, high) == pytest.approx(expected)
    assert mean_interval([0.25]) == (0.25, 0.25, 0.25)
    with pytest.raises(ValueError, match="no values"):
        mean_interval([])
