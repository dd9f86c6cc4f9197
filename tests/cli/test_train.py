"""`nas train`: one architecture, by the evaluator and with the plug-ins that found it."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from nas.cli import words
from nas.core.config import read_yaml
from nas.export import write_architecture
from nas.testing.toys import ToySpace

SMALL = ("--set", "data_settings.limit=40", "--epochs", "1", "--seed", "1")


@pytest.fixture
def run(program, toy_config: Path) -> Path:
    """A finished search of the toy, by the evaluator "toy"."""
    assert program("search", "--config", str(toy_config), "--out", "run", "--quiet").code == 0
    return Path("run")


def test_a_run_s_best_is_evaluated_as_the_run_did(program, run: Path, toy_plugin: Path) -> None:
    said = program("train", str(run), "--seed", "5", "--set", "epochs=4", "--out", "one", "--json")
    assert said.code == 0, said.err
    result = json.loads(said.out.splitlines()[-1])
    config = read_yaml(Path("one/config.yaml"))
    assert (config["evaluator"], config["plugins"]) == ("toy", [str(toy_plugin)])
    assert result["recipe"]["epochs"] == 4
    assert not {"test_error", "loss", "macs"} & set(result["figures"])  # of training in earnest
    again = program("train", str(run))
    assert words.count(result["figures"]["params"]) in again.out
    assert "by toy, seed" in again.err
    assert program("report", "one").code == 0


def test_a_plugin_that_was_given_is_recorded(program, toy_plugin: Path) -> None:
    member = ToySpace().sample(np.random.default_rng(0))
    write_architecture(Path("toy.json"), member)
    given = ("--plugin", str(toy_plugin), "--out", "one")
    said = program("train", "toy.json", *given, *SMALL)
    assert said.code == 0, said.err
    assert "test error" in said.out
    config = read_yaml(Path("one/config.yaml"))
    assert (config["evaluator"], config["plugins"]) == ("train", [str(toy_plugin)])
    assert program("report", "one").code == 0
    assert program("export", "one", "--to", "svg", "--out", "cells.svg").code == 0


def test_a_plugin_that_is_gone_is_left_out(program, tmp_path: Path) -> None:
    """What was found is not its own."""
    plugin = tmp_path / "gone.py"
    plugin.write_text("")
    sets = ("data_settings.limit=40", "network.channels=4", "network.layers=1", "recipe.epochs=1")
    sets = (*sets, "final.seeds=1", "final.epochs=1", "final.scales=[]")
    said = program(
        *("search", "--space", "nasbench201", "--strategy", "random", "--plugin", str(plugin)),
        *("--budget", "1evaluations", "--executor", "serial", "--out", "run", "--quiet"),
        *(part for text in sets for part in ("--set", text)),
    )
    assert said.code == 0, said.err
    plugin.unlink()
    said = program("train", "run", "--epochs", "1", "--json")
    assert said.code == 0, said.err
    result = json.loads(said.out.splitlines()[-1])
    assert result["scale"] == {"channels": 4, "layers": 1}
    assert "test_error" in result["figures"]
