"""How a generator is driven: order, duplicates, budgets, replay, and what it may not do."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from nas.core.architecture import Candidate
from nas.core.problem import Problem
from nas.core.work import Call, Evaluate, Next, Outcome, Start
from nas.engine.budget import Budget
from nas.engine.crew import Clock, Crew
from nas.engine.errors import RunFailed, StrategyError
from nas.engine.events import Bus, Event, Notice, WorkDone
from nas.engine.executors.base import Setup
from nas.engine.executors.serial import SerialExecutor
from nas.engine.failures import FailureWatch
from nas.engine.loop import IDLE, Phase, PhaseResult, Stage
from nas.engine.signals import Stop
from nas.engine.store import MEMORY, Store
from nas.testing.toys import toy_evaluator, toy_problem

Body = Callable[[Problem, np.random.Generator], Generator[Any, Any, Any]]


class Desk:
    """A store and an evaluator that counts; `run` drives one generator."""

    def __init__(self, path: Path | str = MEMORY) -> None:
        self.path = path
        self.evaluated: list[tuple[str, float | None, int]] = []
        self.events: list[Event] = []
        self.store: Store | None = None
        self.clock = Clock()
        self.delay = 0.0
        self.checkpoints = ""

    def evaluate(self, candidate: Candidate, budget: float | None, seed: int) -> dict[str, float]:
        self.evaluated.append((candidate.id, budget, seed))
        time.sleep(self.delay)
        return toy_evaluator(candidate, budget, seed)

    def run(
        self,
        body: Body,
        budget: str = "",
        *,
        name: str = "search",
        before: Mapping[str, PhaseResult] | None = None,
    ) -> PhaseResult:
        if self.path != MEMORY or self.store is None:
            if self.store is not None:
                self.store.close()
            self.store = Store(self.path, create=not Path(self.path).exists())
        executor = SerialExecutor()
        sessions = {"net": "nas.testing.toys:ToySession"}
        setup = Setup(
            evaluator=self.evaluate, sessions=sessions, checkpoints=self.checkpoints, seed=7
        )
        stop = Stop()
        executor.start(setup, lambda: stop.overdue)
        bus = Bus((self.events.append,))
        folder = Path(self.checkpoints) if self.checkpoints else None
        crew = Crew(self.store, executor, bus, stop, seed=7, clock=self.clock, checkpoints=folder)
        stage = Stage(name, lambda p, r, _: body(p, r), Budget.parse(budget))
        return Phase(stage, crew, self.store, bus).run(toy_problem(), 7, before or {})

    def notices(self) -> list[str]:
        return [event.text for event in self.events if isinstance(event, Notice)]


@pytest.fixture
def desk() -> Desk:
    return Desk()


def endless(batch: int = 1, epochs: float | None = 2.0) -> Body:
    def body(problem: Problem, rng: np.random.Generator) -> Generator[Any, Any, Any]:
        told = 0
        try:
            while True:
                works = [Evaluate(c, epochs) for c in problem.sample(batch, rng)]
                told += len((yield works))
        except GeneratorExit:
            return {"told": told}

    return body


def test_outcomes_come_in_the_order_of_the_works(desk: Desk) -> None:
    def body(problem: Problem, rng: np.random.Generator) -> Generator[Any, Any, Any]:
        candidates = problem.sample(5, rng)
        works: list[Any] = [Evaluate(c, 1) for c in candidates]
        works.insert(2, Call("net", "look"))
        outcomes: list[Outcome] = yield works
        assert [o.work for o in outcomes] == works
        assert all(o.ok for o in outcomes)
        nothing = yield []
        assert nothing == []
        return [problem.best(o for o in outcomes if isinstance(o.work, Evaluate)).candidate]

    result = desk.run(body)
    assert result.reason == "finished"
    assert result.found is not None
    assert result.spent.evaluations == 5
    assert len(result.outcomes) == 5


def test_equal_works_are_paid_once_in_and_across_batches(desk: Desk) -> None:
    def body(problem: Problem, rng: np.random.Generator) -> Generator[Any, Any, Any]:
        (candidate,) = problem.sample(1, rng)
        first = yield [Evaluate(candidate, 2), Evaluate(candidate, 2, tags={"again": 1})]
        second = yield [Evaluate(candidate, 2), Evaluate(candidate, 2, seed=1)]
        assert first[0].figures == first[1].figures == second[0].figures
        assert second[1].figures != first[0].figures
        assert [o.spent.evaluations for o in (*first, *second)] == [1, 0, 0, 1]
        assert first[1].work.tags == {"again": 1}

    assert desk.run(body).spent.evaluations == 2
    assert len(desk.evaluated) == 2
    assert desk.evaluated[1][2] == 1


def test_calls_chain_by_state_and_looking_changes_nothing(desk: Desk) -> None:
    def body(problem: Problem, rng: np.random.Generator) -> Generator[Any, Any, Any]:
        look, again = yield [Call("net", "look"), Call("net", "look")]
        assert look.value == again.value
        one, two = yield [Call("net", "train"), Call("net", "train")]
        assert one.figures != two.figures
        (later,) = yield [Call("net", "look")]
        assert later.value != look.value
        return {"looks": [look.value, later.value], "spent": [one.spent.epochs, two.spent.epochs]}

    result = desk.run(body)
    assert result.extra["spent"] == [1.0, 1.0]
    assert result.spent.epochs == 2.0


def test_asynchronous_works_come_one_by_one_and_as_before_on_replay(tmp_path: Path) -> None:
    desk = Desk(tmp_path / "s.sqlite")

    def body(problem: Problem, rng: np.random.Generator) -> Generator[Any, Any, Any]:
        candidates = problem.sample(6, rng)
        order = []
        assert (yield Start([Evaluate(c, 1) for c in candidates[:4]])) is None
        for index in range(4):
            outcome: Outcome = yield Next()
            order.append(outcome.candidate.id)
            if index == 1:
                yield Start([Evaluate(candidates[0], 1), Evaluate(candidates[4], 1)])
        return {"order": order}

    first = desk.run(body)
    replayed = desk.run(body)
    assert first.extra == replayed.extra
    assert len(desk.evaluated) <= 5


@pytest.mark.parametrize("batch", [1, 3, 7, 50])
def test_evaluations_close_the_search_exactly(desk: Desk, batch: int) -> None:
    result = desk.run(endless(batch), "10evaluations")
    assert result.reason == "budget"
    assert result.spent.evaluations == len(desk.evaluated) == 10
    assert result.extra["told"] == 10 // batch * batch


def test_epochs_close_the_search(desk: Desk) -> None:
    def body(problem: Problem, rng: np.random.Generator) -> Generator[Any, Any, Any]:
        while True:
            yield [Call("net", "train", epochs=3)]

    result = desk.run(body, "10epochs")
    assert result.reason == "budget"
    assert result.spent.epochs == 12.0
    assert desk.run(endless(4), "16epochs").spent.epochs == 16.0


def test_a_budget_lets_asynchronous_works_in_flight_be_told(desk: Desk) -> None:
    told = []

    def body(problem: Problem, rng: np.random.Generator) -> Generator[Any, Any, Any]:
        yield Start([Evaluate(c, 1) for c in problem.sample(4, rng)])
        while True:
            told.append((yield Next()))
            yield Start([Evaluate(c, 1, seed=len(told)) for c in problem.sample(1, rng)])

    result = desk.run(body, "9evaluations")
    assert result.reason == "budget"
    assert len(told) == len(desk.evaluated) == 9


def test_a_clock_closes_at_the_same_place_on_replay(tmp_path: Path) -> None:
    desk = Desk(tmp_path / "s.sqlite")
    desk.delay = 0.02
    first = desk.run(endless(3), "0.15s")
    assert first.reason == "time"
    count = len(desk.evaluated)
    desk.clock = Clock()  # a replay has all the time there is, and yet asks for nothing more
    again = desk.run(endless(3), "0.15s")
    assert (again.reason, again.extra) == ("time", first.extra)
    assert len(desk.evaluated) == count


def test_a_generator_that_learns_nothing_new_is_closed(desk: Desk) -> None:
    def body(problem: Problem, rng: np.random.Generator) -> Generator[Any, Any, Any]:
        (candidate,) = problem.sample(1, rng)
        while True:
            yield [Evaluate(candidate, 1)]

    result = desk.run(body, "5evaluations")
    assert result.reason == "exhausted"
    assert result.spent.evaluations == 1
    assert IDLE >= 100


def _bare(problem: Problem, rng: np.random.Generator) -> Generator[Any, Any, Any]:
    yield Evaluate(problem.sample(1, rng)[0])


def _text(problem: Problem, rng: np.random.Generator) -> Generator[Any, Any, Any]:
    yield "work"


def _next(problem: Problem, rng: np.random.Generator) -> Generator[Any, Any, Any]:
    yield Next()


def _returns(problem: Problem, rng: np.random.Generator) -> Generator[Any, Any, Any]:
    yield []
    return 3


def _clings(problem: Problem, rng: np.random.Generator) -> Generator[Any, Any, Any]:
    while True:
        try:
            yield [Evaluate(c, 1) for c in problem.sample(3, rng)]
        except GeneratorExit:
            yield []
            return


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (_bare, "bare Evaluate"),
        (_text, "yields str"),
        (_next, "started nothing"),
        (_returns, "returned int"),
        (_clings, "after it was closed"),
    ],
)
def test_broken_rules_are_one_clear_line(desk: Desk, body: Body, message: str) -> None:
    with pytest.raises(StrategyError, match=message):
        desk.run(body, "5evaluations")


def test_what_a_strategy_raises_is_passed_on(desk: Desk) -> None:
    def body(problem: Problem, rng: np.random.Generator) -> Generator[Any, Any, Any]:
        yield []
        raise KeyError("mine")

    with pytest.raises(KeyError, match="mine"):
        desk.run(body)


def test_remembered_values_are_worked_out_once(tmp_path: Path) -> None:
    desk = Desk(tmp_path / "s.sqlite")
    calls = []

    def fit() -> list[float]:
        calls.append(1)
        return [float(len(calls))]

    def body(problem: Problem, rng: np.random.Generator) -> Generator[Any, Any, Any]:
        yield [Evaluate(c, 1) for c in problem.sample(1, rng)]
        problem.announce("decision", {"edge": "a", "value": problem.remember("fit", fit)})

    desk.run(body)
    desk.run(body)
    assert calls == [1]
    told = [e.to_dict() for e in desk.events if e.name == "announced"]
    assert [e["replayed"] for e in told] == [False, True]
    assert told[0]["event"] == "decision"
    assert desk.store is not None
    assert len(list(desk.store.events())) == 1


def test_a_divergence_is_told_and_loses_nothing(tmp_path: Path) -> None:
    desk = Desk(tmp_path / "s.sqlite")

    def body(order: list[int]) -> Body:
        def run(problem: Problem, rng: np.random.Generator) -> Generator[Any, Any, Any]:
            candidates = problem.sample(6, rng)
            figures = []
            for index in order:
                (outcome,) = yield [Evaluate(candidates[index], 1)]
                figures.append(outcome.figures["error"])
            return {"figures": figures}

        return run

    first = desk.run(body([0, 1, 2, 3])).extra["figures"]
    other = desk.run(body([0, 2, 1, 4])).extra["figures"]
    assert other[:3] == [first[0], first[2], first[1]]
    assert len(desk.evaluated) == 5
    (notice,) = desk.notices()
    assert "something else than last time from work 1 on" in notice
    desk.events.clear()
    assert desk.run(body([0, 2, 1, 4])).extra["figures"] == other
    assert desk.notices() == []
    assert desk.store is not None
    assert len(list(desk.store.history())) == 5
    replayed = [e for e in desk.events if isinstance(e, WorkDone)]
    assert all(event.replayed for event in replayed)
    assert len(replayed) == 4


def test_what_was_remembered_after_a_divergence_is_worked_out_anew(tmp_path: Path) -> None:
    desk = Desk(tmp_path / "s.sqlite")

    def body(second: int) -> Body:
        def run(problem: Problem, rng: np.random.Generator) -> Generator[Any, Any, Any]:
            candidates = problem.sample(4, rng)
            kept = []
            for step, index in enumerate((0, second)):
                (outcome,) = yield [Evaluate(candidates[index], 1)]
                error = outcome.figures["error"]
                kept.append(problem.remember(f"fit/{step}", lambda error=error: error))
            return {"kept": kept}

        return run

    first = desk.run(body(1)).extra["kept"]
    other = desk.run(body(2)).extra["kept"]
    assert other[0] == first[0]
    assert other[1] != first[1]
    assert other == Desk().run(body(2)).extra["kept"]


def test_a_session_goes_another_way_after_a_divergence(tmp_path: Path) -> None:
    desk = Desk(tmp_path / "s.sqlite")
    desk.checkpoints = str(tmp_path)

    def body(epochs: list[int]) -> Body:
        def run(problem: Problem, rng: np.random.Generator) -> Generator[Any, Any, Any]:
            for number in epochs:
                yield [Call("net", "train", epochs=number)]
            (look,) = yield [Call("net", "look")]
            return {"look": look.value}

        return run

    desk.run(body([1, 2, 3]))
    other = desk.run(body([1, 4])).extra
    alone = Desk()
    assert alone.run(body([1, 4])).extra == other
    assert any("calls are made again" in text for text in desk.notices())
    assert len(list(tmp_path.glob("*.session"))) == 1


def test_a_second_phase_shares_what_is_known(desk: Desk) -> None:
    search = desk.run(endless(2), "6evaluations")

    def finale(problem: Problem, rng: np.random.Generator) -> Generator[Any, Any, Any]:
        best = problem.best(search.outcomes)
        known, new = yield [best.work, Evaluate(best.candidate, 9)]
        assert known.figures == best.figures
        return [new.candidate]

    result = desk.run(finale, name="finale", before={"search": search})
    assert len(desk.evaluated) == 7
    assert result.found is not None


def test_failing_candidates_end_a_run_only_beyond_the_stated_rate() -> None:
    with pytest.raises(RunFailed, match="first 5 evaluations all failed, most often: loss is 7"):
        feed(["loss is 7", "loss is 8", "other", "loss is 9", "x"])
    feed(["bad"] * 4 + [""] * 20 + ["bad", ""] * 50)
    with pytest.raises(RunFailed, match="11 of the last 20 evaluations failed"):
        feed([""] * 30 + ["bad"] * 11)


def feed(errors: list[str]) -> None:
    watch = FailureWatch()
    for error in errors:
        watch.saw(error)
