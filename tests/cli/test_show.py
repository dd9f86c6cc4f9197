"""`nas show`, `list`, `check`, `doctor`, `export --to json`."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from nas.cli.listing import KINDS
from search_spaces import get_space

TOY_TEXT = "|nor_conv_3x3~0|+|none~0|nor_conv_3x3~1|+|skip_connect~0|none~1|skip_connect~2|"


def test_a_published_architecture(program) -> None:
    said = program("show", "darts:DARTS_V2")
    assert said.code == 0
    assert "3,349,342" in said.out  # the published count, 36 channels and 20 layers
    assert "3 = skip_connect(input0) + dil_conv_3x3(0)" in said.out
    assert "Genotype(normal=[" in said.out
    found = json.loads(program("show", "darts:DARTS_V2", "--json").out)
    assert found["params"] == 3349342
    assert found["macs"] > 0
    assert found["scale"] == {"channels": 36, "layers": 20, "auxiliary": False}
    assert get_space("darts").from_dict(found).id == found["id"]


def test_at_another_scale(program) -> None:
    scale = ("--set", "channels=16", "--set", "network.layers=8")
    small = json.loads(program("show", "darts:DARTS_V2", *scale, "--json").out)
    assert small["scale"] == {"channels": 16, "layers": 8, "auxiliary": False}
    large = json.loads(program("show", "darts:DARTS_V2", "--input", "3x64x64", "--json").out)
    usual = json.loads(program("show", "darts:DARTS_V2", "--json").out)
    assert small["params"] < usual["params"] == large["params"]
    assert large["macs"] > 3 * usual["macs"]


def test_notation_and_file(program, tmp_path: Path) -> None:
    by_text = json.loads(program("show", f"nasbench201:{TOY_TEXT}", "--json").out)
    assert by_text["notation"] == TOY_TEXT
    said = program("export", f"nasbench201:{TOY_TEXT}", "--to", "json", "--out", "mine.json")
    assert said.code == 0
    assert said.out == "mine.json\n"
    by_file = json.loads(program("show", "mine.json", "--json").out)
    assert by_file == by_text
    assert program("check", "mine.json").code == 0


def test_networks_of_no_images_have_no_size(program, tmp_path: Path) -> None:
    """What they take is known to their evaluator; nothing of theirs is a defect of ours."""
    file = tmp_path / "numbers.py"
    file.write_text(
        "from nas.testing.toys import ToySpace\n"
        "from search_spaces import SPACES\n"
        "class Numbers(ToySpace):\n"
        "    def __init__(self):\n"
        "        super().__init__(type(self).__name__.lower())\n"
        "    def network(self, architecture, *shape, **scale):\n"
        "        from torch import nn\n"
        "        return nn.Linear(1, 1)\n"
        "@SPACES.register('drawn', 'not trained on images')\n"
        "class Drawn(Numbers):\n"
        "    evaluator = 'elsewhere'\n"
        "@SPACES.register('wrong_size', 'says nothing of its evaluator')\n"
        "class Wrong_Size(Numbers):\n"
        "    pass\n"
    )
    choices = {"op0": "conv", "op1": "skip", "op2": "none", "width": 2}
    for name in ("drawn", "wrong_size"):
        described = {"format": 1, "space": name, "choices": choices}
        (tmp_path / f"{name}.json").write_text(json.dumps(described))
    said = program("show", "drawn.json", "--plugin", str(file))
    assert said.code == 0
    assert "size      depends on what elsewhere evaluates it on" in said.out
    assert "1 = conv(0)" in said.out
    found = json.loads(program("show", "drawn.json", "--json").out)
    assert "params" not in found
    for arguments in (("drawn.json", "--input", "3x8x8"), ("wrong_size.json",)):
        said = program("show", *arguments)
        assert said.code == 2
        assert "has no size at 3x" in said.err
        assert said.err.count("\n") == 1
    said = program("export", "drawn.json", "--to", "onnx", "--out", "x.onnx")
    assert said.code == 2
    assert "is known to its evaluator 'elsewhere' only" in said.err
    assert program("export", "drawn.json", "--to", "svg", "--out", "x.svg").code == 0


def test_a_space(program) -> None:
    found = json.loads(program("show", "nasbench201", "--json").out)
    assert found["size"] == 15625
    assert "resnet" in found["members"]
    said = program("show", "nasbench201")
    assert "15,625" in said.out
    assert said.err == "next: nas show nasbench201:resnet\n"


def test_every_member_can_be_shown(program) -> None:
    space = get_space("darts")
    for name in space.members:
        assert program("show", f"darts:{name}", "--json").code == 0, name


@pytest.mark.parametrize("kind", KINDS)
def test_lists(program, kind: str) -> None:
    said = program("list", kind)
    assert said.code == 0
    rows = json.loads(program("list", kind, "--json").out)
    assert [row["name"] for row in rows] == [line.split()[0] for line in said.out.splitlines()]
    assert all(row["summary"] for row in rows)


def test_list_describes_settings(program) -> None:
    rows = json.loads(program("list", "strategies", "--json").out)
    schema = {row["name"]: row["settings"] for row in rows}
    assert schema["regularized-evolution"]["properties"]["population"]["minimum"] == 2


def test_list_says_how_large_spaces_are(program) -> None:
    spaces = {row["name"]: row for row in json.loads(program("list", "spaces", "--json").out)}
    assert spaces["nasbench201"]["size"] == 15_625
    assert "DARTS_V2" in spaces["darts"]["members"]


def test_list_of_kinds(program) -> None:
    said = program("list")
    assert "nasbench201" in said.out
    assert set(json.loads(program("list", "--json").out)) == set(KINDS)


def test_a_plugin_is_listed_and_checked(program, toy_plugin: Path) -> None:
    assert "toy" in program("list", "spaces", "--plugin", str(toy_plugin)).out.split()
    said = program("check", "toy", "--plugin", str(toy_plugin), "--json")
    rows = {row["check"]: row for row in json.loads(said.out)}
    assert rows["size"]["ok"]
    assert rows["networks build and count"]["ok"]


def test_check_names_what_is_wrong(program, tmp_path: Path) -> None:
    file = tmp_path / "wrong.py"
    file.write_text(
        "from nas.testing.toys import ToySpace\n"
        "from search_spaces import SPACES\n"
        "@SPACES.register('wrong', 'graph has no ops')\n"
        "class Wrong(ToySpace):\n"
        "    size = 3\n"
        "    def network(self, *arguments, **scale):\n"
        "        raise RuntimeError('not\\ntoday')\n"
    )
    said = program("check", str(file))
    assert said.code == 1
    assert "FAILED  wrong: size is 3, 512 are enumerated" in said.out
    assert "RuntimeError: not today" in said.out
    assert "calls itself 'toy'" in said.out
    assert said.err == ""


def test_check_of_a_space(program) -> None:
    said = program("check", "nasbench201")
    assert said.code == 0
    assert "FAILED" not in said.out
    assert "supernet builds" in said.out


def test_doctor(program) -> None:
    said = program("doctor", "--json")
    found = json.loads(said.out)
    assert said.code == 0
    assert found["missing"] == []
    assert found["versions"]["torch"]
    assert found["devices"][0].startswith("cpu")
    assert "all that is needed is there" in program("doctor").out


def test_doctor_says_what_is_missing(program, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nas.cli.doctor.REQUIRED", ("torch", "no-such-package"))
    said = program("doctor")
    assert said.code == 4
    assert "pip install no-such-package" in said.out
