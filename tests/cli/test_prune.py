"""`nas train --prune`: one training, networks of several sizes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

import nas
from nas.core.architecture import Candidate
from nas.evaluators.train import build_network
from nas.measure.counts import count_macs, count_parameters
from nas.training import evaluate, load_data, load_weights
from search_spaces import get_space

MEMBER = get_space("nasbench201").members["resnet"]
SCALE = {"channels": 6, "layers": 1}
SETS = ("--set", "network.channels=6", "--set", "network.layers=1")
SMALL = (*SETS, "--set", "data_settings.limit=60", "--seed", "1")
SHARES = ("--prune", "0.25", "--prune", "0.5", "--prune", "0.75")
TRAIN = ("train", "nasbench201:resnet", *SMALL)


def test_one_training_gives_a_network_for_each_share(program, tmp_path: Path) -> None:
    said = program(*TRAIN, *SHARES, "--epochs", "4", "--out", "one", "--json")
    assert said.code == 0, said.err
    result = json.loads(said.out.splitlines()[-1])
    assert [one["share"] for one in result["pruned"]] == [0.25, 0.5, 0.75]
    assert [one["epochs"] for one in result["pruned"]] == [1, 2, 4]
    assert result["figures"] == result["pruned"][-1]["figures"]
    assert result["recipe"]["prune"] == [0.25, 0.5, 0.75]
    data = load_data("digits", 1, limit=60)
    whole = count_parameters(build_network(Candidate(MEMBER), data, SCALE, 0))
    sizes = [whole]
    for one in result["pruned"]:
        assert one["figures"]["pruned"] == one["share"]
        assert one["weights"] == str(Path(f"one/best/pruned/{one['share']}/weights.safetensors"))
        network = build_network(Candidate(MEMBER), data, SCALE, 9)
        load_weights(network, Path(one["weights"]))
        assert count_parameters(network) == one["figures"]["params"]
        assert count_macs(network, data.input_shape) == one["figures"]["macs"]
        assert evaluate(network, data.validation, data)["error"] == one["figures"]["error"]
        assert evaluate(network, data.test_split(), data)["error"] == one["figures"]["test_error"]
        sizes.append(count_parameters(network))
    assert sizes == sorted(set(sizes), reverse=True)
    front = json.loads(Path("one/front.json").read_text())["points"]
    assert {point["tags"]["share"] for point in front} >= {0.75}  # the smallest is on every front
    assert [p["figures"] for p in front] == [
        one["figures"]
        for point in front
        for one in result["pruned"]
        if one["share"] == point["tags"]["share"]
    ]
    best = min(result["pruned"], key=lambda one: (one["figures"]["error"], -one["share"]))
    kept, same = load_file("one/best/weights.safetensors"), load_file(best["weights"])
    assert kept.keys() == same.keys()
    assert all(torch.equal(kept[name], same[name]) for name in kept)
    for form, share in (("python", "0.25"), ("pt2", "0.5")):
        weights = f"one/best/pruned/{share}/weights.safetensors"
        out = ("--out", f"network.{form}")
        said = program("export", "one", "--to", form, "--weights", weights, *out, "--json")
        assert said.code == 0, said.err
        assert json.loads(said.out)["difference"] <= 1e-5
    assert program("report", "one").code == 0


def test_a_person_sees_a_table(program) -> None:
    said = program(*TRAIN, "--prune", "0.5", "--epochs", "1")
    assert said.code == 0, said.err
    head, row = said.out.splitlines()[-2:]
    assert head.split() == ["share", "params", "multiply-adds", "error", "test", "error"]
    assert row.split()[0] == "0.5"
    assert "%" in row


def test_the_recipe_may_say_it_and_a_run_s_best_can_be_shrunk(program) -> None:
    sets = ("--set", "prune=[0.2,0.4]", "--set", "prune_settings.periods=2")
    said = program(*TRAIN, *sets, "--epochs", "2", "--out", "one", "--json")
    assert said.code == 0, said.err
    assert [one["share"] for one in json.loads(said.out.splitlines()[-1])["pruned"]] == [0.2, 0.4]
    said = program("train", "one", "--prune", "0.5", "--epochs", "1", "--json")
    assert said.code == 0, said.err
    (one,) = json.loads(said.out.splitlines()[-1])["pruned"]
    assert (one["share"], one["weights"]) == (0.5, None)


def test_from_python_in_memory_nothing_is_trained_twice() -> None:
    settings = {"scale": SCALE, "data_settings": {"limit": 60}, "device": "cpu"}
    found = nas.prune(MEMBER, (0.25, 0.5), epochs=3, seed=1, **settings)
    assert [entry.spent.epochs for entry in found] == [1.0, 2.0]
    assert [entry.figures["pruned"] for entry in found] == [0.25, 0.5]
    alone = nas.evaluate(MEMBER, {"prune": [0.25, 0.5]}, epochs=3, seed=1, **settings)
    assert alone.figures == found[-1].figures


MLP = """
from nas.core.choices import Integer
from nas.core.space import Space
from nas.core.tree import ChoiceTree
from search_spaces import SPACES


@SPACES.register("soft", "units of a layer that is no rectifier")
class Soft(Space):
    def __init__(self):
        super().__init__("soft", ChoiceTree((Integer("units", 1, 8),)))

    @property
    def members(self):
        return {"four": self.architecture({"units": 4})}

    def graph(self, architecture):
        import networkx as nx

        graph = nx.path_graph(2, create_using=nx.DiGraph)
        nx.set_node_attributes(graph, "softplus", "op")
        return graph

    def network(self, architecture, input_shape=(3, 32, 32), num_classes=10):
        import math
        from torch import nn

        units = architecture.choices["units"]
        first = nn.Linear(math.prod(input_shape), units)
        return nn.Sequential(nn.Flatten(), first, nn.Softplus(), nn.Linear(units, num_classes))
"""


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--prune", "1.5"), "between 0 and 1"),
        (("--prune", "0"), "between 0 and 1"),
        (("--prune", "half"), "--prune"),
        (("--prune", "0.5", "--prune", "0.25"), "ascend"),
        (("--prune", "0.5", "--prune", "0.5"), "ascend"),
        (("--prune", "0.999"), "would empty a layer"),
        ((*SHARES, "--epochs", "2"), "2 epochs are too few for 3 shares"),
        (("--prune", "0.5", "--set", "prune_settings.period=3"), "did you mean periods"),
    ],
)
def test_bad_shares_are_one_line(program, arguments: tuple[str, ...], words: str) -> None:
    said = program(*TRAIN, *arguments, "--out", "one")
    assert said.code == 2
    assert said.out == ""
    (line,) = said.err.splitlines()
    assert words in line
    assert not Path("one").exists()


def test_a_space_whose_networks_cannot_be_cut_is_one_line(program, tmp_path: Path) -> None:
    (tmp_path / "soft.py").write_text(MLP)
    given = ("--plugin", "soft.py", "--set", "data_settings.limit=60", "--prune", "0.5")
    said = program("train", "soft:four", *given, "--out", "one")
    assert said.code == 2
    (line,) = said.err.splitlines()
    assert "channels cannot be removed around the operation 'softplus'" in line
    assert not Path("one").exists()


def test_an_evaluator_that_removes_no_channels(program, toy_plugin: Path, toy_config: Path) -> None:
    assert program("search", "--config", str(toy_config), "--out", "run", "--quiet").code == 0
    said = program("train", "run", "--prune", "0.5")
    assert said.code == 2
    (line,) = said.err.splitlines()
    assert "evaluator 'toy' removes no channels" in line
