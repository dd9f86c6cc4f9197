"""`nas search`, `resume`, `status` and `show RUN` on a toy, by the real engine."""

from __future__ import annotations

import json
import re
from pathlib import Path
from types import ModuleType

import pytest
import yaml

from nas.cli.result import next_commands
from nas.core.errors import NasError

CONTROL = re.compile(r"[\x00-\x09\x0b-\x1f\x7f]")


def search(program, toy_config: Path, *more: str):
    return program("search", "--config", str(toy_config), "--out", "run", *more)


def test_results_go_to_stdout_and_the_rest_to_stderr(program, engine, toy_config: Path) -> None:
    said = search(program, toy_config)
    assert said.code == 0
    assert said.out.startswith("found ")
    assert "op0" not in said.err
    assert "front: " in said.out
    assert "12 evaluations" in said.out
    assert "searching toy by random on digits" in said.err
    assert "nas export run --to onnx" in said.err
    assert not CONTROL.search(said.out + said.err)


def test_quiet_leaves_only_the_result(program, engine, toy_config: Path) -> None:
    said = search(program, toy_config, "--quiet")
    assert said.code == 0
    assert said.err == ""
    assert said.out.startswith("found ")


def test_json_lines(program, engine, toy_config: Path) -> None:
    said = search(program, toy_config, "--json", "--quiet")
    assert said.err == ""
    lines = [json.loads(line) for line in said.out.splitlines()]
    assert {line["schema"] for line in lines} == {1}
    assert lines[0]["event"] == "start"
    assert [line["event"] for line in lines].count("result") == 1
    assert sum(line["event"] == "outcome" for line in lines) == 12
    result = lines[-1]
    assert result["event"] == "result"
    assert result["status"] == "done"
    assert result["run"] == "run"
    assert {"architecture", "recipe", "figures"} <= result["best"].keys()
    assert result["best"]["architecture"]["space"] == "toy"
    assert {"epochs", "evaluations", "seconds"} <= result["spent"].keys()
    assert result["hypervolume"] > 0
    assert all({"architecture", "figures"} <= point.keys() for point in result["front"])


def test_nothing_feasible(program, engine, toy_config: Path) -> None:
    limit = ("--objective", "error:min<=0.001")
    said = search(program, toy_config, *limit)
    assert said.code == 3
    assert "nothing feasible" in said.out


def test_more_budget_is_advised_where_there_is_one(program, engine, toy_config: Path) -> None:
    said = search(program, toy_config, "--objective", "error:min<=0.001")
    (advice,) = re.findall(r"next:  (nas resume run --budget \S+)", said.err)
    assert advice.endswith("+12evaluations")
    said = program(*advice.split()[1:])
    assert said.code == 3
    assert "24 evaluations" in said.out


@pytest.mark.parametrize("budget", [None, "unlimited"])
def test_without_a_budget_none_is_advised(budget: str | None) -> None:
    done = {"status": "done", "front": [], "budget": budget}
    assert next_commands("run", done) == ["open run/report.html"]
    for status in ("stopped", "interrupted", "failed"):
        left = {"status": status, "front": [], "budget": budget}
        assert next_commands("run", left) == ["nas resume run"]


def test_the_same_seed_gives_the_same_result(program, engine, toy_config: Path) -> None:
    first = program("search", "--config", str(toy_config), "--out", "a", "--json", "--seed", "5")
    again = program("search", "--config", str(toy_config), "--out", "b", "--json", "--seed", "5")
    one, two = (json.loads(said.out.splitlines()[-1]) for said in (first, again))
    assert one["best"] == two["best"]
    assert one["front"] == two["front"]


def test_a_second_run_does_not_touch_the_first(program, engine, toy_config: Path) -> None:
    assert search(program, toy_config).code == 0
    before = {p: p.read_bytes() for p in Path("run").rglob("*") if p.is_file()}
    said = search(program, toy_config)
    assert said.code == 2
    assert "holds a run" in said.err
    assert before == {p: p.read_bytes() for p in Path("run").rglob("*") if p.is_file()}


def test_status_show_and_resume(program, engine, toy_config: Path) -> None:
    program("search", "--config", str(toy_config), "--out", "runs/one")
    said = program("status", "runs/one")
    assert said.code == 0
    assert "done" in said.out
    assert "random on toy" in said.out
    assert "runs/one" in program("status").out
    assert json.loads(program("status", "--json").out)[0]["status"] == "done"

    said = program("show", "runs/one")
    assert said.code == 0
    assert said.out.startswith("found ")
    found = json.loads(program("show", "runs/one", "--json").out)
    assert found["status"] == "done"
    assert found["best"]["figures"]["error"] > 0

    said = program("resume", "runs/one", "--budget", "+4evaluations")
    assert said.code == 0
    assert "16 evaluations" in said.out
    said = program("resume", "runs/one", "--budget", "+lots")
    assert said.code == 2


def test_status_without_runs(program) -> None:
    said = program("status")
    assert said.code == 0
    assert said.out == ""
    assert "no runs" in said.err
    assert json.loads(program("status", "--json").out) == []


def test_dry_run_does_nothing(program, toy_config: Path) -> None:
    said = search(program, toy_config, "--dry-run")
    assert said.code == 0
    assert "12 evaluations" in said.out
    assert "output     run" in said.out
    assert not Path("run").exists()
    found = json.loads(search(program, toy_config, "--dry-run", "--json").out)
    assert found["expected"]["search"] == {"evaluations": 12}
    assert found["config"]["space"] == "toy"


def test_printed_configuration_gives_the_same_search(program, toy_config: Path) -> None:
    first = search(program, toy_config, "--print-config", "--seed", "3").out
    file = Path("again.yaml")
    file.write_text(first)
    assert yaml.safe_load(first)["seed"] == 3
    assert program("search", "--config", str(file), "--print-config").out == first


def test_a_failed_run_is_one_line_and_a_result(
    program, engine: ModuleType, toy_config: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(config: object, out: Path, listeners: object) -> None:
        raise NasError("all candidates failed", "look at the data")

    monkeypatch.setattr(engine, "search", fail)
    said = search(program, toy_config)
    assert said.code == 1
    assert said.err.splitlines()[-1] == "error: all candidates failed; look at the data"
    said = search(program, toy_config, "--json")
    assert json.loads(said.out.splitlines()[-1])["status"] == "failed"


def test_a_defect_is_one_line_and_a_log(
    program, engine: ModuleType, toy_config: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(config: object, out: Path, listeners: object) -> None:
        out.mkdir()
        raise ZeroDivisionError("by\nzero")

    monkeypatch.setattr(engine, "search", fail)
    said = search(program, toy_config)
    assert said.code == 1
    line = said.err.splitlines()[-1]
    assert line.startswith("error: ZeroDivisionError: by zero; this is a defect")
    (log,) = Path("run").glob("nas-error-*.log")
    assert str(log) in line
    assert "Traceback" in log.read_text()
    assert "Traceback" not in said.err


def test_interrupted_before_the_engine_took_over(
    program, engine: ModuleType, toy_config: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(config: object, out: Path, listeners: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(engine, "search", interrupt)
    said = search(program, toy_config)
    assert said.code == 130
    assert "Traceback" not in said.err


def test_stopped_by_a_signal(
    program, engine: ModuleType, toy_config: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from nas.engine.events import Finished, Stopping

    def stop(config: object, out: Path, listeners) -> None:
        for listen in listeners:
            listen(Stopping(signal=15, grace=30.0))
            listen(Finished(result={"run": str(out), "status": "stopped", "best": None}))

    monkeypatch.setattr(engine, "search", stop)
    said = search(program, toy_config)
    assert said.code == 143
    assert said.out == "nas resume run\n"
