"""Comparisons: arms, traces, curves, the account, and the command that ties them together."""

from __future__ import annotations

import csv
import json
import math
from pathlib import Path
from uuid import uuid4

import numpy as np
import pytest

from nas.bench.account import Truth, account, cost_note
from nas.bench.arms import ArmSettings, make_arms
from nas.bench.curves import bootstrap, curve, hypervolume_of, regret_of, test_error_of
from nas.bench.files import check_folder
from nas.bench.runner import run_all, search, trace_file
from nas.bench.trace import Trace, read_trace, reading, trace_of, write_trace
from nas.cli.main import run as cli
from nas.core.architecture import Architecture, Candidate
from nas.core.errors import ConfigError, PluginError, StoreError
from nas.core.objective import Objective
from nas.core.work import Evaluate, Spent
from nas.engine.records import Entry

test_error_of.__test__ = False  # type: ignore[attr-defined]

SPACE = """
from nas.testing.toys import ToySpace
from search_spaces import SPACES

SPACES.register("NAME", "a toy")(lambda: ToySpace("NAME"))
"""

FIGURES = """
from nas.testing.toys import toy_figures


def figures(candidate, budget, seed):
    return toy_figures(candidate, budget, seed)
"""


def made(**changes: object) -> Trace:
    values = {
        "arm": "a",
        "key": "k",
        "seed": 0,
        "budgets": [1.0, 1.0, 4.0, 4.0, 1.0],
        "spent": [1.0, 2.0, 5.0, 9.0, 10.0],
        "anew": [1.0, 2.0, 6.0, 10.0, 11.0],
        "ids": ["x", "y", "x", "y", "z"],
        "costs": [[0.3, 0.2, 0.15, 0.25, 0.01]],
        "tests": {reading("x", 4): 0.16, reading("y", 4): 0.26, reading("y", 1): 0.3},
        "seconds": 1.0,
        **changes,
    }
    return Trace(**values)  # type: ignore[arg-type]


def test_the_incumbent_is_the_best_at_the_largest_budget_so_far() -> None:
    trace = made()
    assert trace.incumbents() == [0, 1, 2, 2, 2]
    assert regret_of(trace, 0.1) == pytest.approx([0.2, 0.1, 0.05, 0.05, 0.05])
    # y was best after one epoch and x after four; of x after one epoch nothing was read.
    expected = [math.nan, 0.3, 0.16, 0.16, 0.16]
    assert test_error_of(trace) == pytest.approx(expected, nan_ok=True)
    failed = made(costs=[[None, 0.2, None, 0.25, 0.01]])
    assert failed.incumbents() == [None, 1, 1, 3, 3]


def test_a_trace_of_a_history() -> None:
    def entry(name: str, budget: float, error: float, spent: float, **more: object) -> Entry:
        candidate = Candidate(Architecture("toy", {"name": name}))
        work = Evaluate(candidate, budget, split=more.get("split", "validation"))  # type: ignore[arg-type]
        figures = {"error": error, "params": 5.0, **dict(more.get("figures", {}))}  # type: ignore[call-overload]
        phase = str(more.get("phase", "search"))
        return Entry(work, "ok", figures, None, {}, "", Spent(spent, 1, 0.5), phase, 0)

    history = [
        entry("x", 2, 0.4, 2),
        entry("x", 6, 0.3, 4),
        entry("y", 2, 0.6, 0),  # known from before: nothing was paid
        entry("x", 6, 0.3, 0, phase="account", split="test", figures={"test_error": 0.35}),
        entry("x", 2, 0.4, 0, phase="account", split="test", figures={"test_error": 0.45}),
    ]
    objectives = (Objective.parse("error"), Objective.parse("params:min<=6"))
    trace = trace_of("a", "k", 3, history, objectives, "search")
    assert trace.spent == [2, 6, 6]
    assert trace.anew == [2, 8, 10]
    assert trace.costs == [[0.4, 0.3, 0.6], [5.0, 5.0, 5.0]]
    strict = (objectives[0], Objective.parse("params:min<=4"))
    beyond = trace_of("a", "k", 3, history, strict, "search")
    assert beyond.costs == [[None] * 3, [None] * 3]  # one limit broken, and nothing counts
    assert trace.tests == {reading(trace.ids[0], 6): 0.35, reading(trace.ids[0], 2): 0.45}
    assert test_error_of(trace) == pytest.approx([0.45, 0.35, 0.35])
    assert trace.seconds == 1.5


def test_traces_are_read_back_and_damaged_ones_are_not(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "t.json"
    write_trace(path, made())
    assert read_trace(path) == made()
    whole = path.read_text()
    for broken in (
        "",
        whole[:50],
        "{}",
        '{"format": 1}',
        whole.replace('"format":2', '"format":1'),
    ):
        path.write_text(broken)
        assert read_trace(path) is None
    assert read_trace(tmp_path / "none") is None


def test_curves_are_steps_that_end_where_the_search_ends() -> None:
    short = made(
        spent=[1.0, 2.0], anew=[1.0, 2.0], budgets=[1.0] * 2, ids=["x", "y"], costs=[[0.5, 0.1]]
    )
    long = made()
    grid = np.array([0.5, 1.0, 2.0, 5.0, 10.0])
    found = curve("a", [short, long], lambda t: regret_of(t, 0.0), "spent", grid)
    assert math.isnan(found.mean[0])
    assert found.mean[1:] == pytest.approx([0.4, 0.15, 0.125, 0.125])
    assert (found.low[1:] <= found.mean[1:]).all()
    assert (found.high[1:] >= found.mean[1:]).all()


def test_the_bootstrap_interval_covers_as_often_as_it_says() -> None:
    chance = np.random.default_rng(0)
    hits = 0
    for seed in range(300):
        low, high = bootstrap(chance.normal(1.0, 1.0, (30, 1)), seed)
        hits += bool(low[0] <= 1.0 <= high[0])
    assert 0.89 <= hits / 300 <= 0.98


def test_the_share_of_the_hypervolume() -> None:
    trace = made(
        costs=[[0.5, 0.5, 0.5, 0.2, 0.1], [0.5, 0.6, 0.5, 0.8, 0.1]],
        budgets=[1.0, 1.0, 4.0, 4.0, 1.0],
    )
    shares = hypervolume_of(trace, (1.0, 1.0), 0.5)
    # One point cuts 0.25 out of the unit square; the other one adds 0.3 by 0.2.
    assert shares == pytest.approx([0.5, 0.5, 0.5, (0.25 + 0.06) / 0.5, (0.25 + 0.06) / 0.5])


def test_the_account_pairs_by_seed_and_says_what_reaching_costs() -> None:
    chance = np.random.default_rng(1)
    slow, quick = [], []
    for seed in range(20):
        noise = float(chance.normal(0, 0.05))
        costs = [0.5 + noise, 0.4 + noise, 0.3 + noise, 0.2 + noise]
        common = {"seed": seed, "budgets": [1.0] * 4, "ids": list("abcd"), "tests": {}}
        spent = [1.0, 2.0, 3.0, 4.0]
        slow.append(made(arm="slow", costs=[costs], spent=spent, anew=spent, **common))
        better = [costs[3], *[c - 0.1 + float(chance.normal(0, 0.001)) for c in costs[1:]]]
        quick.append(made(arm="quick", costs=[better], spent=spent, anew=spent, **common))
    reference, line = account({"slow": slow, "quick": quick}, Truth(0.0, exact=True))
    assert math.isnan(reference.p)
    # The noise of a seed is shared, so the pairs tell what the means of 20 seeds could not.
    assert -0.102 < line.difference_low < line.difference < line.difference_high < -0.098
    assert line.p < 1e-4
    assert line.ratio == pytest.approx(1 / 4, rel=0.05)
    assert line.error_low < line.error < line.error_high
    assert json.loads(json.dumps(line.to_dict()))["test_error"] is None


def test_arms_of_different_cost_are_not_tested() -> None:
    def arm(name: str, cost: float) -> list[Trace]:
        spent = [cost * share for share in (0.2, 0.4, 0.6, 0.8, 1.0)]
        chance = np.random.default_rng(int(cost))
        costs = [chance.uniform(0.1, 0.3, 5).tolist() for _ in range(6)]
        return [
            made(arm=name, seed=seed, spent=spent, anew=spent, costs=[costs[seed]], tests={})
            for seed in range(6)
        ]

    groups = {"first": arm("first", 100), "near": arm("near", 105), "far": arm("far", 120)}
    lines = account(groups, Truth(0.0, exact=True))
    _, near, far = lines
    assert all(map(math.isfinite, (near.p, near.difference, near.difference_low)))
    blank = ("p", "difference", "difference_low", "difference_high")
    assert [far.to_dict()[name] for name in blank] == [None] * 4
    assert math.isfinite(far.error_low)
    note = cost_note(lines)
    assert note.startswith("COSTS DIFFER, from 100 to 120")
    assert "first is compared by no test with far;" in note
    assert cost_note([lines[0], near]) == cost_note([lines[0]]) == ""


def test_folders_that_a_comparison_takes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    check_folder(tmp_path / "new" / "one")
    check_folder(tmp_path)
    (tmp_path / "searches").mkdir()  # stopped before the first trace was there
    check_folder(tmp_path)
    (tmp_path / "notes.txt").touch()
    with pytest.raises(StoreError, match="something else than a comparison"):
        check_folder(tmp_path)
    (tmp_path / "traces").mkdir()
    check_folder(tmp_path)
    with pytest.raises(StoreError, match="is a file"):
        check_folder(tmp_path / "notes.txt")
    monkeypatch.setattr("os.access", lambda path, mode: False)
    with pytest.raises(StoreError, match="Permission denied"):
        check_folder(tmp_path)


@pytest.fixture
def toys(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    name = f"toy{uuid4().hex[:8]}"  # of a space and a module that no other test has
    plugin = tmp_path / f"{name}.py"
    plugin.write_text(SPACE.replace("NAME", name))
    (tmp_path / f"{name}_figures.py").write_text(FIGURES)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.chdir(tmp_path)
    return plugin


def asked(plugin: Path) -> dict[str, object]:
    return {
        "space": plugin.stem,
        "evaluator": f"{plugin.stem}_figures:figures",
        "objectives": ("error:min",),
        "plugins": (str(plugin),),
        "budget": "12evaluations",
    }


ARMS = {
    "random": ArmSettings(),
    "evolution": ArmSettings(
        strategy="regularized-evolution", settings={"population": 4, "tournament": 2, "epochs": 2.0}
    ),
}


def test_what_is_done_is_not_done_again(toys: Path, tmp_path: Path) -> None:
    arms = make_arms(asked(toys), ARMS)
    told: list[str] = []
    first = run_all(arms, [0, 1], tmp_path / "out", 1, lambda t, *_: told.append(t.arm))
    assert told == ["random", "evolution"] * 2
    stamps = {path: path.stat().st_mtime_ns for path in (tmp_path / "out").rglob("seed-*.json")}
    again = run_all(arms, [0, 1, 2], tmp_path / "out", 1, lambda *_: None)
    assert {path: path.stat().st_mtime_ns for path in stamps} == stamps
    assert len(again) == 6
    assert sorted(first, key=repr) == sorted((t for t in again if t.seed < 2), key=repr)
    changed = make_arms({**asked(toys), "budget": "6evaluations"}, {"random": ARMS["random"]})
    (redone,) = run_all(changed, [0], tmp_path / "other", 1, lambda *_: None)
    assert len(redone.ids) == 6


def test_a_search_that_was_killed_is_taken_up(toys: Path, tmp_path: Path) -> None:
    (arm,) = make_arms(asked(toys), {"random": ARMS["random"]})
    whole = search(arm.name, arm.id, arm.config.model_dump(mode="json"), tmp_path / "one")
    out = tmp_path / "two"
    search(arm.name, arm.id, arm.config.model_dump(mode="json"), out)
    trace_file(out, arm.name, 0).unlink()  # killed after the last evaluation, before it was written
    again = search(arm.name, arm.id, arm.config.model_dump(mode="json"), out)
    assert (again.ids, again.costs, again.spent) == (whole.ids, whole.costs, whole.spent)


def test_the_same_in_parallel(toys: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    arms = make_arms(asked(toys), ARMS)
    serial = run_all(arms, [0, 1], tmp_path / "serial", 1, lambda *_: None)
    parallel = run_all(arms, [0, 1], tmp_path / "parallel", 2, lambda *_: None)

    def content(traces: list[Trace]) -> list[tuple[object, ...]]:
        return sorted((t.arm, t.seed, tuple(t.ids), tuple(t.costs[0])) for t in traces)  # type: ignore[arg-type]

    assert content(serial) == content(parallel)


def test_the_command(toys: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "arms.yaml").write_text(
        "seeds: 3\narms:\n  random: {}\n  evolution:\n    strategy: regularized-evolution\n"
        "    settings: {population: 4, tournament: 2, epochs: 2.0}\n"
    )
    command = [
        "bench",
        toys.stem,
        "--arms",
        "arms.yaml",
        "--evaluator",
        f"{toys.stem}_figures:figures",
    ]
    command += ["--budget", "12evaluations", "--plugin", str(toys), "--out", "out"]
    assert cli(command) == 0
    printed = capsys.readouterr()
    assert "6/6" in printed.err
    assert printed.out.splitlines()[0].startswith("arm")
    assert {line.split()[0] for line in printed.out.splitlines()[1:3]} == {"random", "evolution"}
    assert cli([*command, "--json", "--quiet"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert [arm["arm"] for arm in document["arms"]] == ["random", "evolution"]
    with (tmp_path / "out" / "searches.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 6
    assert {row["evaluations"] for row in rows} == {"12"}
    assert (tmp_path / "out" / "curves.png").read_bytes().startswith(b"\x89PNG")
    assert json.loads((tmp_path / "out" / "account.json").read_text())["best_is_exact"] is False


def test_what_costs_differ_for_is_said_everywhere(
    toys: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("arms.yaml").write_text(
        "seeds: 4\narms:\n  short: {strategy: random, budget: 4evaluations}\n"
        "  long: {strategy: random, budget: 12evaluations}\n"
    )
    command = ["bench", toys.stem, "--arms", "arms.yaml", "--plugin", str(toys), "--out", "out"]
    command += ["--evaluator", f"{toys.stem}_figures:figures", "--quiet"]
    assert cli(command) == 0
    said = capsys.readouterr().out
    note = "COSTS DIFFER, from "
    assert note in said
    (row,) = [line for line in said.splitlines() if line.startswith("long")]
    assert row.count("[") == 1  # the interval of the error, none of a difference
    assert cli([*command, "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    for told in (document, json.loads((tmp_path / "out" / "account.json").read_text())):
        assert told["note"].startswith(note)
        assert {told["arms"][1][name] for name in ("p", "difference", "difference_low")} == {None}


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        (["toybench", "--strategies", "random", "--out", "taken.txt"], "is a file"),
        (["toybench", "--strategies", "random", "--out", "taken.txt/x"], "is a file"),
        (["toybench", "--strategies", "random", "--out", "."], "something else"),
        (["nasbench201", "--strategies", "bananas", "--set", "encoding=x"], "unknown encoding"),
        (["toybench", "--strategies", "randm"], "random"),
        (["toybench"], "nothing to compare"),
        (["toybench", "--strategies", "random", "--objective", "eror"], "error"),
        (["nasbench201", "--strategies", "darts"], "no candidates"),
        (["toybench", "--strategies", "random", "--arms", "none.yaml"], "does not exist"),
        (["toybench", "--strategies", "random", "--set", "btach=3"], "batch"),
    ],
)
def test_bad_input_is_one_line(
    toys: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], word: str
) -> None:
    Path("taken.txt").touch()
    named = [toys.stem if argument == "toybench" else argument for argument in arguments]
    assert cli(["bench", *named, "--plugin", str(toys)]) == 2
    printed = capsys.readouterr()
    assert word in printed.err
    assert len(printed.err.strip().splitlines()) == 1
    assert not Path("bench").exists()


def test_arms_must_be_comparable(toys: Path) -> None:
    with pytest.raises(ConfigError, match="named"):
        make_arms(asked(toys), {"../x": ArmSettings(strategy="random")})
    with pytest.raises(PluginError, match="unknown strategy"):
        make_arms(asked(toys), {"x": ArmSettings()})
