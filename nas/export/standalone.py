"""The form "python": one readable module that needs torch only, and the weights beside it.

It holds the source of the network's class and of all that this class needs,
and a call of it: a network takes part by being made from plain values, which
it keeps in `arguments`.
"""

from __future__ import annotations

import ast
import importlib.resources
import importlib.util
import json
import sys
import tempfile
from importlib import metadata
from pathlib import Path
from types import ModuleType
from typing import Any

import safetensors.torch
import torch
from jinja2 import Environment, StrictUndefined
from torch import nn

from nas.core.errors import ExportError
from nas.export.files import replacing, write_text
from nas.export.request import (
    ExportRequest,
    ExportResult,
    NoSuchFormError,
    compare,
    inputs_of,
    network_of,
    shapes_of,
)
from nas.export.source import source_of
from nas.layers.adapt import ADAPTATIONS, adaptations
from nas.training.weights import save_weights


def export_python(request: ExportRequest) -> ExportResult:
    """Write the module and, if the network is trained, its weights; import it and compare.

    Raises:
        NoSuchFormError: The network cannot stand alone.
        ExportError: What was written computes something else.
    """
    network, images = network_of(request), inputs_of(request)
    trained = request.network is not None or request.weights is not None
    weights = weights_path(request.out) if trained else None
    text = module_text(network, request, weights)
    check_imports(text)
    if weights is not None:
        with replacing(weights) as temporary:
            save_weights(network, temporary)
            difference = _compare(text, network, images, request, temporary)
    else:
        difference = _compare(text, network, images, request, None)
    write_text(request.out, text)
    files = (request.out,) if weights is None else (request.out, weights)
    return ExportResult("python", files, difference, "torch only")


def weights_path(module: Path) -> Path:
    """Where the weights of a module lie: `weights.safetensors` beside `model.py`."""
    name = "weights" if module.stem == "model" else module.stem
    return module.with_name(f"{name}.safetensors")


def module_text(network: nn.Module, request: ExportRequest, weights: Path | None) -> str:
    """The source of the stand-alone module.

    Raises:
        NoSuchFormError: The network does not say what it was made from, or needs another library.
    """
    arguments = plain_arguments(network)
    changes = [(ADAPTATIONS.get(name), settings) for name, settings in adaptations(network)]
    source = source_of(type(network), *(change for change, _ in changes))
    source.imports |= {"import torch", "from pathlib import Path"}
    torch_imports = {line for line in source.imports if line.split()[1].startswith("torch")}
    environment = Environment(undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    environment.keep_trailing_newline = True
    folder = importlib.resources.files("nas.export").joinpath("templates")
    template = environment.from_string(folder.joinpath("model.py.j2").read_text(encoding="utf-8"))
    taken, given = shapes_of(request)
    return template.render(
        space=request.architecture.space,
        id=request.architecture.id,
        parameters=sum(parameter.numel() for parameter in network.parameters()),
        weights=None if weights is None else weights.name,
        stem=request.out.stem,
        taken=taken,
        given=given,
        classifies=given == (request.num_classes,),
        version=_version(),
        plain_imports=_merged(source.imports - torch_imports),
        torch_imports=_merged(torch_imports),
        arguments=literal(arguments),
        pieces=list(source.pieces.values()),
        changes=[(change.__name__, literal(settings, 4)) for change, settings in changes],
        network=type(network).__name__,
    )


def _merged(statements: set[str]) -> list[str]:
    """Import statements, those from one module as one line; plain imports first."""
    plain = sorted(line for line in statements if line.startswith("import "))
    names: dict[str, list[str]] = {}
    for line in sorted(statements - set(plain)):
        _, module, _, name = line.split(maxsplit=3)  # the name may be renamed
        names.setdefault(module, []).append(name)
    return plain + [f"from {module} import {', '.join(names[module])}" for module in sorted(names)]


def plain_arguments(network: nn.Module) -> dict[str, Any]:
    """What a network was made from, if that is plain values.

    Raises:
        NoSuchFormError: It does not say, or something is not a literal.
    """
    arguments = getattr(network, "arguments", None)
    try:
        if isinstance(arguments, dict) and ast.literal_eval(repr(arguments)) == arguments:
            return arguments
    except (ValueError, SyntaxError):
        pass
    raise NoSuchFormError(
        f"a {type(network).__name__} does not say which plain values it was made from",
        "keep them in its attribute 'arguments', or export to pt2 or onnx instead",
    )


def literal(value: Any, indent: int = 0) -> str:
    """A plain value as source text, mappings with one entry a line."""
    if isinstance(value, dict) and value:
        inner = " " * (indent + 4)
        rows = [f"{inner}{literal(k)}: {literal(v, indent + 4)}," for k, v in value.items()]
        return "\n".join(["{", *rows, " " * indent + "}"])
    # JSON's double quotes where the text allows it
    return json.dumps(value) if isinstance(value, str) and value.isascii() else repr(value)


def check_imports(text: str) -> None:
    """Make sure that a module imports torch, safetensors and the standard library only.

    Raises:
        ExportError: It imports something else.
    """
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            names = [node.module or ""]
        else:
            continue
        for name in names:
            root = name.split(".")[0]
            if root not in {"torch", "safetensors"} and root not in sys.stdlib_module_names:
                raise ExportError(f"the stand-alone module imports {name!r}", "please report this")


def _compare(
    text: str,
    network: nn.Module,
    images: torch.Tensor,
    request: ExportRequest,
    weights: Path | None,
) -> float:
    """Import the module as a stranger would, load the state strictly, compare the outputs."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "module.py"
        path.write_text(text, encoding="utf-8")
        other: nn.Module = _imported(path).build()
    if weights is None:
        other.load_state_dict(network.state_dict())
    else:
        other.load_state_dict(safetensors.torch.load_file(weights))
    other.eval()
    with torch.no_grad():
        torch.manual_seed(0)  # operations may draw noise
        expected = network(images)
        torch.manual_seed(0)
        return compare("python", request.tolerance, expected, other(images))


def _imported(path: Path) -> ModuleType:
    name = "_nas_standalone_module"
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise ExportError(f"{path.name} cannot be imported", "name the file NAME.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # dataclasses look their module up
    before, sys.dont_write_bytecode = sys.dont_write_bytecode, True
    try:
        spec.loader.exec_module(module)
    finally:
        del sys.modules[name]
        sys.dont_write_bytecode = before
    return module


def _version() -> str:
    try:
        return metadata.version("nas-engine")
    except metadata.PackageNotFoundError:
        return "(development)"
