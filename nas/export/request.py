"""What an exporter is asked for and what it answers; torch is imported when a network is needed."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from nas.core.architecture import Architecture
from nas.core.errors import DataError, ExportError, PluginError

if TYPE_CHECKING:
    from torch import Tensor, nn

TOLERANCE: Final = 1e-4
BATCH: Final = 8


class NoSuchFormError(ExportError):
    """This network, or this installation, cannot give a form; others may be had."""


@dataclass(frozen=True)
class ExportRequest:
    """What to export, and where to.

    Attributes:
        architecture: The architecture.
        out: The file to write; some forms put more files beside it.
        scale: Macro settings of the network, e.g. `{"channels": 16, "layers": 8}`.
        input_shape: Of one input; channels, height and width of an image.
        num_classes: Length of the logits.
        network: The trained network; None builds it from architecture and scale.
        weights: A safetensors file to load into the network that is built; None leaves a
            network that is built at its random initialisation.
        images: Real inputs `(batch, *input_shape)` to compare on; None takes random ones.
        part: Attribute of the network that is exported in its place, and that the weights are of;
            empty for the network itself.
        tolerance: Largest absolute difference of a logit that still counts as equal.
    """

    architecture: Architecture
    out: Path
    scale: Mapping[str, Any] = field(default_factory=dict)
    input_shape: tuple[int, ...] = (3, 32, 32)
    num_classes: int = 10
    network: nn.Module | None = None
    weights: Path | None = None
    images: Tensor | None = None
    part: str = ""
    tolerance: float = TOLERANCE


@dataclass(frozen=True)
class ExportResult:
    """What was written.

    Attributes:
        form: Name of the form.
        files: The files, the main one first.
        difference: Largest absolute difference of a logit, or None where nothing is computed.
        detail: One line for the person, e.g. the opset.
    """

    form: str
    files: tuple[Path, ...]
    difference: float | None = None
    detail: str = ""


def load_weights(network: nn.Module, path: Path) -> None:
    """Load a safetensors file, strictly.

    Raises:
        ExportError: The file is missing, broken, or of another network.
    """
    from nas.training import weights

    try:
        weights.load_weights(network, path)
    except DataError as error:
        raise ExportError(
            f"cannot read the weights: {error.message}",
            "give the scale, input shape and classes they were trained with",
        ) from error


def network_of(request: ExportRequest) -> nn.Module:
    """A copy of the network to export, on the CPU, in eval mode and float32.

    Raises:
        ExportError: The weights do not fit.
    """
    import copy

    if request.network is not None:
        network = copy.deepcopy(request.network)
    else:
        from search_spaces import get_space

        space = get_space(request.architecture.space)
        shape: Any = request.input_shape  # whatever the space's networks take
        classes = request.num_classes
        network = space.network(request.architecture, shape, classes, **request.scale)
        if request.part:
            network = getattr(network, request.part)
        if request.weights is not None:
            load_weights(network, request.weights)
    return network.to("cpu").float().eval()


def inputs_of(request: ExportRequest) -> Tensor:
    """Inputs to compare on: those of the request, else `BATCH` random ones, always the same."""
    import torch

    if request.images is not None:
        return request.images.detach().to("cpu", torch.float32)
    generator = torch.Generator().manual_seed(0)
    return torch.randn((BATCH, *shapes_of(request)[0]), generator=generator)


def shapes_of(request: ExportRequest) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Shape of one input of the network and of what it makes of it.

    Where the space does not say, they are the request's own shape and the logits.
    """
    from search_spaces import get_space

    shape: Any = request.input_shape
    found = None
    with suppress(PluginError):  # the network is given, and its space is known to nobody else
        space = get_space(request.architecture.space)
        found = space.shapes(shape, request.num_classes, **request.scale)
    return found or (request.input_shape, (request.num_classes,))


def compare(form: str, tolerance: float, expected: Tensor, got: Tensor) -> float:
    """The largest absolute difference of two batches of logits.

    Raises:
        ExportError: Shapes differ, a logit is not finite, or the difference is too large.
    """
    import torch

    hint = "please report this with the architecture"
    if expected.shape != got.shape:
        raise ExportError(
            f"{form}: outputs are {tuple(got.shape)}, expected {tuple(expected.shape)}", hint
        )
    if not bool(torch.isfinite(expected).all()):
        raise ExportError(
            f"{form}: the network's own outputs are not finite", "train it again before exporting"
        )
    difference = float((expected.double() - got.double()).abs().max()) if got.numel() else 0.0
    if not difference <= tolerance:
        raise ExportError(
            f"{form}: outputs differ by {difference:.2e}, allowed {tolerance:.0e}", hint
        )
    return difference
