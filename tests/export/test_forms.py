from __future__ import annotations

import ast
import importlib.util
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn

from nas.core.architecture import Architecture
from nas.core.errors import ExportError, PluginError
from nas.export import ExportRequest, export, exporters
from nas.export.request import TOLERANCE, compare
from nas.export.source import source_of
from nas.export.standalone import check_imports, literal, weights_path
from search_spaces import get_space

Member = Callable[..., Architecture]

CASES = {
    "darts": ("darts", (3, 16, 16), {"channels": 4, "layers": 4}),
    "darts-odd": ("darts", (1, 9, 7), {"channels": 2, "layers": 3}),
    "darts-auxiliary": ("darts", (3, 16, 16), {"channels": 4, "layers": 3, "auxiliary": True}),
    "darts-large": ("darts", (3, 128, 130), {"channels": 4, "layers": 3}),
    "darts-s1": ("darts-s1", (3, 8, 8), {"channels": 4, "layers": 2}),
    "darts-s4": ("darts-s4", (3, 8, 8), {"channels": 4, "layers": 2}),
    "darts-extended": ("darts-extended", (3, 8, 8), {"channels": 4, "layers": 3}),
    "nasbench201": ("nasbench201", (3, 12, 12), {"channels": 4, "layers": 1}),
    "fbnetv3-small": ("fbnetv3-small", (1, 8, 8), {"dropout": 0.1}),
}


def trained(name: str, architecture: Architecture) -> tuple[nn.Module, dict[str, Any]]:
    """A network whose weights and running statistics are no longer the initial ones."""
    space, shape, scale = CASES[name]
    torch.manual_seed(0)
    network = get_space(space).network(architecture, shape, 7, **scale)
    network.train()
    optimizer = torch.optim.SGD(network.parameters(), 0.05)
    for _ in range(2):
        out = network(torch.randn(8, *shape))
        loss = sum(part.square().mean() for part in (out if isinstance(out, tuple) else (out,)))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return network.eval(), {"scale": scale, "input_shape": shape, "num_classes": 7}


@pytest.mark.parametrize("name", CASES)
def test_stand_alone_module_computes_the_same(tmp_path: Path, member: Member, name: str) -> None:
    architecture = member(CASES[name][0], 3)
    network, about = trained(name, architecture)
    out = tmp_path / "best" / "model.py"
    result = export("python", ExportRequest(architecture, out, network=network, **about))
    assert result.difference is not None
    assert result.difference <= 1e-6
    assert [file.name for file in result.files] == ["model.py", "weights.safetensors"]
    assert {item.name for item in out.parent.iterdir()} == {"model.py", "weights.safetensors"}
    assert load_file(result.files[1]).keys() == network.state_dict().keys()


def test_stand_alone_module_runs_without_this_project(tmp_path: Path, member: Member) -> None:
    """In a fresh interpreter, isolated, where our packages cannot be imported."""
    architecture = member("darts", 5)
    network, about = trained("darts", architecture)
    export("python", ExportRequest(architecture, tmp_path / "model.py", network=network, **about))
    images = torch.randn(5, *about["input_shape"])
    with torch.no_grad():
        save_file({"images": images, "logits": network(images)}, tmp_path / "data.safetensors")
    program = tmp_path / "use.py"
    program.write_text(
        "import sys, importlib.util\n"
        f"sys.path[:] = [p for p in sys.path if 'site-packages' in p or 'lib/python' in p]\n"
        "class Blocked:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        if name.split('.')[0] in {'nas', 'search_spaces', 'predictors', 'evolution'}:\n"
        "            raise ImportError('our own: ' + name)\n"
        "sys.meta_path.insert(0, Blocked())\n"
        f"sys.path.insert(0, {str(tmp_path)!r})\n"
        "from model import load\n"
        "from safetensors.torch import load_file\n"
        f"data = load_file({str(tmp_path / 'data.safetensors')!r})\n"
        "difference = (load()(data['images']) - data['logits']).abs().max().item()\n"
        "assert difference <= 1e-6, difference\n"
        "print('same')\n"
    )
    done = subprocess.run(
        [sys.executable, "-I", "-W", "error", str(program)],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.stdout.strip() == "same", done.stderr


def test_stand_alone_source_is_readable(tmp_path: Path, member: Member) -> None:
    architecture = member("nasbench201", 1)
    network, about = trained("nasbench201", architecture)
    out = tmp_path / "model.py"
    export("python", ExportRequest(architecture, out, network=network, **about))
    text = out.read_text()
    assert max(map(len, text.splitlines())) <= 110
    tree = ast.parse(text)
    assert architecture.id in (ast.get_docstring(tree) or "")
    for edge, operation in architecture.choices.items():
        if operation != "none":
            assert f'"{edge}": "{operation}",' in text
    names = [node.name for node in tree.body if isinstance(node, ast.ClassDef | ast.FunctionDef)]
    assert len(names) == len(set(names))
    assert names[-2:] == ["build", "load"]
    assert "search_spaces" not in text


def test_without_weights_only_the_module_is_written(tmp_path: Path, member: Member) -> None:
    architecture = member("darts")
    out = tmp_path / "net.py"
    space, shape, scale = CASES["darts"]
    assert space == architecture.space
    result = export("python", ExportRequest(architecture, out, scale, shape, 3))
    assert result.files == (out,)
    assert weights_path(out).name == "net.safetensors"


def test_weights_from_a_file_and_of_another_network(tmp_path: Path, member: Member) -> None:
    architecture = member("darts", 2)
    network, about = trained("darts", architecture)
    weights = tmp_path / "w.safetensors"
    save_file(network.state_dict(), weights)
    request = ExportRequest(architecture, tmp_path / "model.py", weights=weights, **about)
    assert export("python", request).difference == 0.0
    wrong = {**about, "num_classes": 8}
    request = ExportRequest(architecture, tmp_path / "other.py", weights=weights, **wrong)
    with pytest.raises(ExportError, match="another network"):
        export("python", request)
    weights.write_bytes(weights.read_bytes()[:100])
    request = ExportRequest(architecture, tmp_path / "other.py", weights=weights, **about)
    with pytest.raises(ExportError, match="cannot read the weights"):
        export("python", request)
    assert not (tmp_path / "other.py").exists()


class Stubborn(nn.Module):
    """Remembers nothing of how it was made."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x.mean((2, 3))


class Forgetful(nn.Module):
    """Made anew it is another one."""

    def __init__(self) -> None:
        super().__init__()
        self.arguments: dict[str, object] = {}
        self.shift = 1.0

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x.mean((2, 3)) + self.shift


def test_what_cannot_stand_alone_is_refused(tmp_path: Path, member: Member) -> None:
    for network, words in ((Stubborn(), "does not say"), (Forgetful(), "differ by")):
        if isinstance(network, Forgetful):
            network.shift = 2.0
        request = ExportRequest(member("darts"), tmp_path / "model.py", network=network)
        with pytest.raises(ExportError, match=words):
            export("python", request)
    assert list(tmp_path.iterdir()) == []


def test_a_network_that_gives_nan_is_refused(tmp_path: Path, member: Member) -> None:
    architecture = member("nasbench201")
    network, about = trained("nasbench201", architecture)
    nn.init.constant_(network.get_parameter("classifier.bias"), float("nan"))
    with pytest.raises(ExportError, match="not finite"):
        export("python", ExportRequest(architecture, tmp_path / "m.py", network=network, **about))
    assert list(tmp_path.iterdir()) == []


def test_export_leaves_the_network_alone(tmp_path: Path, member: Member) -> None:
    architecture = member("nasbench201")
    network, about = trained("nasbench201", architecture)
    network.train()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    export("python", ExportRequest(architecture, tmp_path / "m.py", network=network, **about))
    assert network.training
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())


def test_sources_may_use_torch_only() -> None:
    with pytest.raises(ExportError, match="pytest"):
        check_imports("import os\nimport pytest\n")
    check_imports("import math\nfrom torch import nn\n")
    source = source_of(type(get_space("darts").network(get_space("darts").members["DARTS_V2"])))
    assert all(line.split()[1].split(".")[0] != "search_spaces" for line in source.imports)


def test_literals_read_back() -> None:
    value = {"a": {"b/0<-1": "x", 'q"': (1, 2.5, None)}, "c": True, "e": {}, "é": "ü"}
    assert ast.literal_eval(literal(value)) == value


@pytest.mark.parametrize("form", ["svg", "png"])
def test_pictures_are_written_whole(tmp_path: Path, member: Member, form: str) -> None:
    out = tmp_path / f"cells.{form}"
    result = export(form, ExportRequest(member("darts"), out))
    assert result.files == (out,)
    assert [item.name for item in tmp_path.iterdir()] == [out.name]


def test_unknown_form_names_close_ones(tmp_path: Path, member: Member) -> None:
    with pytest.raises(PluginError, match="onnx"):
        export("onx", ExportRequest(member("darts"), tmp_path / "x"))
    assert exporters.names() == ["json", "python", "onnx", "pt2", "svg", "png"]


def test_a_missing_extra_says_how_to_get_it(
    tmp_path: Path, member: Member, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name: None if name == "onnxruntime" else real(name)
    )
    with pytest.raises(ExportError, match=r"pip install nas-engine\[export\]"):
        export("onnx", ExportRequest(member("darts"), tmp_path / "m.onnx"))


def test_noise_has_no_onnx_form(tmp_path: Path, member: Member) -> None:
    architecture = member("darts-s4", 3)
    network, about = trained("darts-s4", architecture)
    assert "noise" in architecture.choices.values()
    with pytest.raises(ExportError, match="noise"):
        export("onnx", ExportRequest(architecture, tmp_path / "m.onnx", network=network, **about))
    assert list(tmp_path.iterdir()) == []


def test_comparison_is_strict() -> None:
    one = torch.zeros(2, 3)
    assert compare("x", TOLERANCE, one, one) == 0.0
    for other in (one + 2e-4, torch.zeros(2, 4), one + float("nan")):
        with pytest.raises(ExportError):
            compare("x", TOLERANCE, one, other)


def test_any_error_of_a_library_becomes_one_line(
    tmp_path: Path, member: Member, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object, **__: object) -> None:
        raise ValueError("two\nlines")

    monkeypatch.setattr("nas.export.picture_files.to_svg", broken)
    with pytest.raises(ExportError, match="ValueError: two lines"):
        export("svg", ExportRequest(member("darts"), tmp_path / "c.svg"))


@pytest.mark.parametrize("form", ["onnx", "pt2"])
def test_what_cannot_be_traced_is_one_error_and_no_logs(
    tmp_path: Path, member: Member, form: str, capfd: pytest.CaptureFixture[str]
) -> None:
    import logging

    before = logging.getLogger("torch").level
    request = ExportRequest(member("darts"), tmp_path / "m", network=nn.Linear(5, 2))
    with pytest.raises(ExportError, match=f"export to {form} failed"):
        export(form, request)
    captured = capfd.readouterr()
    assert (captured.out, captured.err) == ("", "")
    assert logging.getLogger("torch").level == before
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
@pytest.mark.parametrize(
    "name", ["darts", "darts-odd", "darts-large", "darts-extended", "nasbench201", "fbnetv3-small"]
)
@pytest.mark.parametrize("form", ["onnx", "pt2"])
def test_onnx_and_pt2_agree_on_100_images(
    tmp_path: Path, member: Member, name: str, form: str, capfd: pytest.CaptureFixture[str]
) -> None:
    architecture = member(CASES[name][0], 3)
    network, about = trained(name, architecture)
    count = 100 if name != "darts-large" else 12
    images = torch.randn(count, *about["input_shape"])
    out = tmp_path / f"model.{form}"
    request = ExportRequest(architecture, out, network=network, images=images, **about)
    result = export(form, request)
    assert result.difference is not None
    assert result.difference <= 1e-4
    assert [item.name for item in tmp_path.iterdir()] == [out.name]
    content = out.read_bytes()
    parts = [content]
    if form == "pt2":
        with zipfile.ZipFile(out) as archive:
            parts += [archive.read(part) for part in archive.namelist()]
    here = str(Path(__file__).parents[2]).encode()
    assert not any(here in part for part in parts)
    captured = capfd.readouterr()
    assert (captured.out, captured.err) == ("", "")


@pytest.mark.slow
def test_a_wrong_onnx_file_is_removed(
    tmp_path: Path, member: Member, monkeypatch: pytest.MonkeyPatch
) -> None:
    architecture = member("nasbench201")
    network, about = trained("nasbench201", architecture)
    import nas.export.onnx_form as onnx_form

    real = onnx_form._write

    def other(network: nn.Module, images: torch.Tensor, path: Path) -> None:
        nn.init.constant_(network.get_parameter("classifier.bias"), 3.0)
        real(network, images, path)
        nn.init.constant_(network.get_parameter("classifier.bias"), 0.0)

    monkeypatch.setattr(onnx_form, "_write", other)
    with pytest.raises(ExportError, match="differ by"):
        export("onnx", ExportRequest(architecture, tmp_path / "m.onnx", network=network, **about))
    assert list(tmp_path.iterdir()) == []


def test_the_package_is_lazy_and_complete() -> None:
    import nas.export

    for name in nas.export.__all__:
        assert getattr(nas.export, name) is not None
    with pytest.raises(AttributeError, match="nothing_here"):
        _ = nas.export.nothing_here
