"""What is shown while a run lasts: the state, the panel, the plain lines."""

from __future__ import annotations

import io
from collections.abc import Mapping
from typing import Any

import pytest
from rich.console import Console

from nas.cli.panel import LivePanel, draw, settled
from nas.cli.plain import PlainLines
from nas.cli.streams import Streams
from nas.cli.watching import Watch, decision
from nas.core.architecture import Architecture, Candidate
from nas.core.work import Call, Evaluate, Outcome, Spent
from nas.engine.events import (
    Announced,
    BudgetChanged,
    Event,
    Notice,
    PhaseStarted,
    Progress,
    RunStarted,
    Stopping,
    WorkDone,
    WorkStarted,
)
from nas.engine.story import announced

MIXTURE = {"normal": [[0.5, 0.5], [1.0, 0.0]], "reduce": [[0.0, 0.0], [0.9, 0.1]]}
DECISION = {
    "what": "operation",
    "group": "normal",
    "edge": "normal/0<-1",
    "kept": ["sep_conv_3x3"],
    "images": 512,
    "confidence": 0.97,
}


def evaluation(number: int) -> Evaluate:
    return Evaluate(Candidate(Architecture("toy", {"width": number})), 4.0)


def done(number: int, error: float, params: float, replayed: bool = False) -> WorkDone:
    outcome = Outcome(evaluation(number), figures={"error": error, "params": params})
    return WorkDone(phase="search", ordinal=number, outcome=outcome, replayed=replayed)


def spent(epochs: float, evaluations: int = 0) -> BudgetChanged:
    total = {"epochs": epochs, "evaluations": evaluations}
    return BudgetChanged(phase="search", spent=total, left={}, seconds=epochs)


def a_run() -> list[Event]:
    config = {
        "space": "darts",
        "strategy": "darts",
        "data": "digits",
        "device": "cpu",
        "objectives": ("error:min", "params:min"),
    }
    call = Call("supernet", "train")
    trained = Outcome(
        call, figures={"loss": 1.25}, value={"mixture": MIXTURE}, spent=Spent(epochs=1)
    )
    payload = {"phase": "search", "step": 3, "scalars": {"train_loss": 0.5, "error": 0.125}}
    return [
        RunStarted(run="runs/x", resumed=False, evaluations=0, config=config),
        PhaseStarted(phase="search", budget="20epochs"),
        WorkStarted(phase="search", work=call),
        WorkDone(phase="search", ordinal=0, outcome=trained),
        spent(1),
        Announced(phase="search", topic="decision", payload=DECISION),
        Announced(phase="search", topic="watch", payload={"reasons": ["3 of 8 are skips"]}),
        done(1, 0.5, 1000.0),
        done(2, 0.25, 2000.0),
        done(3, 0.75, 3000.0),
        spent(13, 3),
        WorkStarted(phase="search", work=evaluation(4)),
        Progress(topic="progress", payload=payload, work=evaluation(4)),
        Notice(text="a worker was restarted"),
    ]


@pytest.fixture
def watch() -> Watch:
    found = Watch()
    for event in a_run():
        found.take(event.to_dict())
    found.phase_began -= 60  # it took a while
    return found


def test_the_state(watch: Watch) -> None:
    assert watch.run == "runs/x"
    assert watch.phase == "search"
    assert watch.share == pytest.approx(13 / 20)
    assert watch.seconds_left is not None
    assert watch.done == {"ok": 3}
    assert watch.best is not None
    assert watch.best[0]["error"] == 0.25
    assert watch.front is not None
    assert len(watch.front) == 2
    assert watch.mixture == MIXTURE
    assert list(watch.decisions) == [decision(DECISION)]
    assert watch.step == 3


def test_the_random_arm_is_not_what_was_found(watch: Watch) -> None:
    better = done(9, 0.01, 10.0).to_dict()
    watch.take({**better, "tags": {"stage": "draw", "arm": "random"}})
    assert watch.best is not None
    assert watch.best[0]["error"] == 0.25
    assert watch.done == {"ok": 4}


def test_a_new_phase_begins_anew(watch: Watch) -> None:
    watch.take(PhaseStarted(phase="final", budget="unlimited").to_dict())
    assert watch.share is None
    assert watch.best is None
    assert watch.done == {}


def test_what_was_done_before_does_not_make_the_rest_look_quick() -> None:
    watch = Watch()
    start, phase = a_run()[:2]
    watch.take(start.to_dict())
    watch.take(phase.to_dict())
    watch.take(done(1, 0.5, 10.0, replayed=True).to_dict())
    watch.take(spent(10).to_dict())
    assert watch.share == pytest.approx(0.5)
    assert watch.seconds_left is None
    watch.phase_began -= 100
    watch.take(done(2, 0.5, 10.0).to_dict())
    watch.take(spent(15).to_dict())
    assert watch.seconds_left == pytest.approx(100, rel=0.1)


def test_time_left_is_counted_down_between_two_accounts() -> None:
    """It grew without end while networks were trained whose turn to be told had not come."""
    watch = Watch()
    start, phase = a_run()[:2]
    watch.take(start.to_dict())
    watch.take(phase.to_dict())
    watch.phase_began -= 100
    watch.take(done(1, 0.5, 5.0).to_dict())
    watch.take(spent(5).to_dict())
    assert watch.share == pytest.approx(0.25)
    assert watch.seconds_left == pytest.approx(300, rel=0.05)
    watch.phase_began -= 200
    watch.counted -= 200
    assert watch.seconds_left == pytest.approx(100, rel=0.1)
    watch.phase_began -= 200
    watch.counted -= 200
    assert watch.seconds_left is None


def test_a_decision_in_words() -> None:
    assert decision(DECISION) == "normal/0<-1 becomes sep_conv_3x3 (512 pictures, 97.0% sure)"
    topology = {"what": "topology", "group": "reduce", "node": 2, "kept": ["a", "b"]}
    assert decision(topology) == "reduce/2 keeps a, b"


def test_how_settled_a_mixture_is() -> None:
    assert settled([[0.5, 0.5], [0.25, 0.75]]) == pytest.approx(0.0943609, abs=1e-6)
    assert settled([[1.0, 0.0]]) == 1.0
    assert settled([]) == 1.0


def drawn(watch: Watch, width: int = 100) -> str:
    console = Console(file=io.StringIO(), width=width, color_system=None, legacy_windows=False)
    console.print(draw(watch))
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def test_the_panel(watch: Watch) -> None:
    text = drawn(watch)
    for words in (
        "darts on darts",
        "runs/x",
        "65 %",
        "left",
        "error 25.00 %",
        "2 networks of 3 tried",
        "3 of 8 are skips",
        "becomes sep_conv_3x3",
        "13 epochs",
        "a worker was restarted",
        "train loss 0.5",
        "(cpu)",
    ):
        assert words in text, words
    watch.take(Stopping(signal=2, grace=30).to_dict())
    assert "Ctrl-C again" in drawn(watch)


def test_the_panel_fits_a_narrow_terminal(watch: Watch) -> None:
    assert max(map(len, drawn(watch, width=40).splitlines())) <= 40


def test_an_empty_panel_can_be_drawn() -> None:
    assert "starting" in drawn(Watch())


def test_the_live_panel_leaves_stdout_alone(capsys: pytest.CaptureFixture[str]) -> None:
    console = Console(file=io.StringIO(), force_terminal=True, width=80)
    with LivePanel(console) as panel:
        for event in a_run():
            panel(event)
        print("a result")
    assert capsys.readouterr().out == "a result\n"
    assert isinstance(console.file, io.StringIO)
    assert "darts on darts" in console.file.getvalue()


def test_plain_lines(capsys: pytest.CaptureFixture[str]) -> None:
    now = iter(range(0, 1000, 20))
    lines = PlainLines(Streams(), interval=10, clock=lambda: float(next(now)))
    for event in a_run():
        lines(event)
    said = capsys.readouterr()
    assert said.out == ""
    text = said.err
    assert "search begins" in text
    assert "decided: normal/0<-1 becomes sep_conv_3x3" in text
    assert "alarm: 3 of 8 are skips" in text
    assert "a worker was restarted" in text
    assert "search 65 %" in text
    assert "best error 25.00 %, params 2 k" in text


def test_a_strategys_notice_is_shown_once(capsys: pytest.CaptureFixture[str]) -> None:
    lines = PlainLines(Streams(), interval=10, clock=lambda: 0.0)
    payload = {"text": "no recipe to begin from"}
    for replayed in (False, True):
        lines(Announced(phase="search", topic="notice", payload=payload, replayed=replayed))
    assert capsys.readouterr().err == "no recipe to begin from\n"
    told = announced("notice", payload, 0)  # for monitors
    assert told == {"event": "notice", **payload}


def test_plain_lines_do_not_flood(capsys: pytest.CaptureFixture[str]) -> None:
    lines = PlainLines(Streams(), interval=10, clock=lambda: 0.0)
    for _ in range(1000):
        lines(done(1, 0.5, 10.0))
    assert capsys.readouterr().err == ""


def test_unknown_events_are_ignored(watch: Watch) -> None:
    before = drawn(watch)
    strange: Mapping[str, Any] = {"event": "strange", "x": 1}
    watch.take(strange)
    assert len(drawn(watch)) == len(before)


def test_plain_lines_do_not_repeat_themselves(capsys: pytest.CaptureFixture[str]) -> None:
    now = [0.0]
    lines = PlainLines(Streams(), interval=10, clock=lambda: now[0])
    lines(PhaseStarted(phase="search", budget="unlimited"))
    for second in range(200):
        now[0] = float(second)
        lines(WorkDone(phase="search", ordinal=0, outcome=Outcome(Call("supernet", "look"))))
    told = capsys.readouterr().err.splitlines()
    assert told == ["search begins", *4 * ["search"]]  # after 10 s, then once a minute
