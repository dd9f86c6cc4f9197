"""The form "onnx": one file, batch size free, checked in onnxruntime."""

from __future__ import annotations

import contextlib
import importlib.util
import io
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import torch
from torch import Tensor, nn

from nas.core.errors import ExportError
from nas.export.files import replacing
from nas.export.quiet import quiet_libraries
from nas.export.request import (
    ExportRequest,
    ExportResult,
    NoSuchFormError,
    compare,
    inputs_of,
    network_of,
)

OPSET: Final = 20
NEEDS: Final = ("onnx", "onnxscript", "onnxruntime")


def export_onnx(request: ExportRequest) -> ExportResult:
    """Save, check with onnx, run in onnxruntime, compare at several batch sizes.

    Raises:
        NoSuchFormError: The extra is not installed, or the network draws noise.
        ExportError: The file computes something else.
    """
    _require()
    network, images = network_of(request), inputs_of(request)
    _refuse_noise(network)
    with replacing(request.out) as temporary:
        _write(network, images, temporary)
        _strip(temporary)
        difference = _check(network, images, temporary, request.tolerance)
    return ExportResult("onnx", (request.out,), difference, f"opset {OPSET}, free batch size")


def _require() -> None:
    missing = [name for name in NEEDS if importlib.util.find_spec(name) is None]
    if missing:
        raise NoSuchFormError(
            f"export to ONNX needs {', '.join(missing)}", "pip install nas-engine[export]"
        )


def _refuse_noise(network: nn.Module) -> None:
    if any(type(module).__name__ == "Noise" for module in network.modules()):
        raise NoSuchFormError(
            "an operation of the network draws noise, so its ONNX form cannot be compared",
            "export to pt2 or python instead",
        )


def _write(network: nn.Module, images: Tensor, path: Path) -> None:
    example = images[:2] if images.shape[0] >= 2 else images.repeat(2, 1, 1, 1)
    with _quiet():
        torch.onnx.export(
            network,
            (example,),
            path,
            dynamo=True,
            external_data=False,
            verbose=False,
            opset_version=OPSET,
            input_names=["images"],
            output_names=["logits"],
            dynamic_shapes=({0: torch.export.Dim("batch", min=1)},),
        )


def _strip(path: Path) -> None:
    """Take out what the exporter notes about its own work.

    It is a third of a small file, and it names the folders of the machine it was made on.
    """
    import onnx

    model = onnx.load(path)
    graph = model.graph
    values = (*graph.input, *graph.output, *graph.value_info, *graph.initializer)
    for part in (model, graph, *graph.node, *values):
        del part.metadata_props[:]
    onnx.save(model, path)


def _check(network: nn.Module, images: Tensor, path: Path, tolerance: float) -> float:
    import onnx
    import onnxruntime

    onnx.checker.check_model(path, full_check=True)
    opset = {item.domain: item.version for item in onnx.load(path).opset_import}.get("")
    if opset != OPSET:
        raise ExportError(f"onnx: opset is {opset}, expected {OPSET}", "please report this")
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(
        path.read_bytes(), options, providers=["CPUExecutionProvider"]
    )
    difference = 0.0
    for batch in (images, images[:1], images[:3]):
        with torch.no_grad():
            expected = network(batch)
        (got,) = session.run(None, {"images": batch.numpy()})
        difference = max(difference, compare("onnx", tolerance, expected, torch.from_numpy(got)))
    return difference


@contextlib.contextmanager
def _quiet() -> Iterator[Any]:
    """Keep the exporter's progress, and its lines about torchvision, off the screen."""
    with (
        warnings.catch_warnings(),
        contextlib.redirect_stdout(io.StringIO()),
        quiet_libraries(),
    ):
        warnings.simplefilter("ignore")
        yield
