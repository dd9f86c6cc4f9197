"""`nas find`: what a finished search expects of new limits, without a training."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import pytest

from nas import api
from nas.cli.main import run as program_run
from nas.core.architecture import Candidate
from nas.core.errors import ConfigError, StoreError, UnsupportedError
from nas.export import read_architecture
from search_spaces import get_space

JOINT = "nasbench201+recipe-fbnetv3"
SMALL: dict[str, Any] = {
    "data": "digits",
    "network": {"channels": 4, "layers": 1},
    "data_settings": {"limit": 40},
    "recipe": {"epochs": 2},
    "final": {"random_arm": False, "seeds": 1, "epochs": 1},
}
FAST: dict[str, Any] = {
    "predictor": "gp",
    "predictor_settings": {"encoding": "onehot"},
    "pool": 60,
    "first": 6,
    "batch": 4,
    "rounds": 2,
    "verify": 1,
    "search": {"best": 10, "random": 10, "children": 3, "generations": 5},
}


@pytest.fixture(scope="module")
def joint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished search of architectures and recipes, its networks really trained."""
    folder = tmp_path_factory.mktemp("runs") / "joint"
    settings = {**FAST, "epochs": 2, "front": 2}
    api.search(
        space=JOINT,
        strategy="fbnetv3",
        settings=settings,
        objectives=("error:min", "macs:min"),
        out=folder,
        **SMALL,
    )
    return folder


@pytest.fixture(scope="module")
def other(tmp_path_factory: pytest.TempPathFactory, toy_config: Path) -> Path:
    """A finished search by a strategy that learns nothing."""
    folder = tmp_path_factory.mktemp("runs") / "random"
    assert (
        program_run(["search", "--config", str(toy_config), "--out", str(folder), "--quiet"]) == 0
    )
    return folder


def left(folder: Path) -> dict[str, tuple[int, int]]:
    """Size and time of every file of a run."""
    return {
        str(file.relative_to(folder)): (file.stat().st_size, file.stat().st_mtime_ns)
        for file in folder.rglob("*")
        if file.is_file() and not file.name.startswith("store.sqlite-")
    }


def test_new_limits_train_nothing_and_take_no_minute(program, joint: Path) -> None:
    before, count = left(joint), len(api.open_run(joint).history)
    start = time.process_time()
    said = program("find", str(joint), "--target", "macs<=1e5", "--target", "params<=2e4", "--json")
    assert time.process_time() - start < 60
    assert said.code == 0, said.err
    assert left(joint) == before
    assert len(api.open_run(joint).history) == count
    document = json.loads(said.out)
    assert document["run"] == str(joint)
    assert [row["target"] for row in document["found"]] == ["macs<=100000", "params<=20000"]
    small, light = document["found"]
    assert small["figures"]["macs"] <= 1e5
    assert light["figures"]["params"] <= 2e4
    for row in document["found"]:
        assert 0 <= row["expected"]["error"] <= 1
        assert row["deviation"]["error"] >= 0
        assert Candidate.from_dict(row).id == row["id"]
        assert row["recipe"]["optimizer"] in ("sgd", "rmsprop")  # it is a joint space
    again = program(
        "find", str(joint), "--target", "macs<=1e5", "--target", "params<=2e4", "--json"
    )
    assert again.out == said.out


def test_the_figures_are_those_of_the_run_s_networks(program, joint: Path) -> None:
    """At the run's scale and of its data, as trainings report them."""
    found = api.find(joint, ["macs>=1", "macs<=5e4"], 5)
    known = [(finding.candidate, finding.figures) for finding in found]
    known += [(e.candidate, e.figures) for e in api.open_run(joint).history if e.phase == "search"]
    assert len(known) > len(found) == 10
    for candidate, figures in known:
        space: Any = get_space(candidate.architecture.space)
        cost = space.cost(candidate.architecture, (1, 8, 8), 10, channels=4, layers=1)
        assert (figures["params"], figures["macs"]) == (cost.params, cost.macs)


def test_several_for_each_target_are_different_and_the_best_come_first(joint: Path) -> None:
    found = api.find(joint, ["macs<=2e5"], 5)
    assert len({finding.candidate.id for finding in found}) == len(found) == 5
    expected = [finding.expected["error"] for finding in found]
    assert expected == sorted(expected)
    assert found[:2] == api.find(joint, ["macs<=2e5"], 2)


def test_files_can_be_trained_and_shown(program, joint: Path) -> None:
    said = program("find", str(joint), "--target", "macs<=1e5", "--count", "2", "--out", "found")
    assert said.code == 0, said.err
    assert sorted(file.name for file in Path("found").iterdir()) == ["1.json", "2.json"]
    lines = said.out.splitlines()
    assert len(lines) == 2
    for line, file in zip(lines, ("found/1.json", "found/2.json"), strict=True):
        assert line.startswith("macs<=100000: params ")
        assert "expected error" in line
        assert line.endswith(file)
    assert "not trained; next: nas train FILE" in said.err
    member = read_architecture(Path("found/1.json"))
    (first, _) = api.find(joint, ["macs<=1e5"], 2)
    assert get_space(JOINT).candidate(member) == first.candidate  # its recipe is there, too
    assert program("show", "found/1.json").code == 0
    sets = ("--set", "network.channels=4", "--set", "network.layers=1", "--epochs", "1")
    limit = ("--set", "data_settings.limit=40", "--out", "trained")
    trained = program("train", "found/1.json", *sets, *limit, "--json")
    assert trained.code == 0, trained.err
    result = json.loads(trained.out.splitlines()[-1])
    assert result["figures"]["macs"] == first.figures["macs"]
    row = json.loads(
        program("find", str(joint), "--target", "macs<=1e5", "--json", "--out", "more").out
    )["found"][0]
    assert row["file"] == "more/1.json"
    assert Path(row["file"]).read_bytes() == Path("found/1.json").read_bytes()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((), "no limit to find something for"),
        (("--target", ""), "a limit is empty"),
        (("--target", "macs"), "limit 'macs'; expected METRIC<=LIMIT"),
        (("--target", "macs<=many"), "limit 'macs<=many'"),
        (("--target", "macs<=1e999"), "beyond the range"),
        (("--target", "5<=macs<=4"), "nothing lies in '5<=macs<=4'"),
        (
            ("--target", "error<=0.1"),
            "error is not known without training; known here: params, macs",
        ),
        (("--target", "latency_ms<=1"), "latency_ms is not known without training"),
        (
            ("--target", "macs<=1"),
            "no member of 'nasbench201+recipe-fbnetv3' was found within macs",
        ),
        (("--target", "macs<=1e5", "--target", "macs>=1e12"), "within macs>=1000000000000"),
        (("--target", "macs<=1e5", "--count", "0"), "--count"),
        (("--target", "macs<=1e5", "--out", "full"), "is not empty"),
    ],
    ids=lambda v: str(v)[:40],
)
def test_one_clear_line(program, joint: Path, arguments: tuple[str, ...], words: str) -> None:
    Path("full").mkdir()
    Path("full/mine").write_text("")
    before = left(joint)
    said = program("find", str(joint), *arguments)
    assert said.code == 2
    assert said.out == ""
    (line,) = said.err.splitlines()
    assert line.startswith("error: ")
    assert words in line
    assert left(joint) == before
    assert [path.name for path in Path("full").iterdir()] == ["mine"]


def test_of_what_is_no_such_run(program, other: Path, tmp_path: Path) -> None:
    for folder, words in (
        ("nowhere", "does not exist"),
        (str(tmp_path), "holds no run"),
        (str(other), "learns nothing that could be asked again; search with --strategy fbnetv3"),
    ):
        said = program("find", folder, "--target", "params<=400")
        assert said.code == 2
        (line,) = said.err.splitlines()
        assert words in line
    with pytest.raises(UnsupportedError):
        api.find(other, ["params<=400"])
    with pytest.raises(StoreError):
        api.find("nowhere", ["params<=400"])
    with pytest.raises(ConfigError, match="no limit"):
        api.find(other, [])


def test_a_space_of_a_plugin_that_counts_nothing(program, toy_config: Path) -> None:
    """Its run can be looked at and asked, but knows no figure to limit."""
    sets = [f"{key}={json.dumps(value)}" for key, value in FAST.items()]
    flags = [part for text in ["epochs=4", *sets] for part in ("--set", text)]
    config = toy_config.read_text().replace("settings: {batch: 4, epochs: 4}\n", "")
    Path("toy.yaml").write_text(config.replace("strategy: random", "strategy: fbnetv3"))
    said = program("search", "--config", "toy.yaml", *flags, "--out", "toy", "--quiet")
    assert said.code == 0, said.err
    said = program("find", "toy", "--target", "params<=400")
    assert said.code == 2
    assert "params is not known without training; known here: nothing" in said.err


def test_a_run_that_has_trained_nothing_yet(program, joint: Path, tmp_path: Path) -> None:
    """Stopped before its first training was done: everything is there but outcomes."""
    from nas.engine.run import Run, read_config

    with Run.create(tmp_path / "new", read_config(joint)):
        pass
    said = program("find", str(tmp_path / "new"), "--target", "macs<=1e5")
    assert said.code == 2
    assert "has trained nothing yet; let it search first" in said.err
