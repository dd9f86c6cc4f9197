"""`nas export`: an architecture in a form that others can run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

from nas.cli.options import Json, NetworkScale, Plugins, Target, complete_form, load_plugins, option
from nas.cli.streams import Streams

if TYPE_CHECKING:
    from torch import Tensor

    from nas.cli.targets import ArchitectureTarget

SUFFIXES: Final = {
    "json": "json",
    "python": "py",
    "onnx": "onnx",
    "pt2": "pt2",
    "svg": "svg",
    "png": "png",
}
COMPUTING: Final = frozenset({"python", "onnx", "pt2"})
"""Forms whose networks are run, for which it must be known what they take."""


def command(
    what: Target,
    to: Annotated[
        str,
        option("json|python|onnx|pt2|svg|png", "The form.", "--to", complete=complete_form),
    ],
    out: Annotated[Path | None, option("FILE", "The file [default: named by the form].")] = None,
    sets: NetworkScale = None,
    weights: Annotated[
        Path | None, option("FILE", "Trained weights, .safetensors [default: the run's].")
    ] = None,
    input_shape: Annotated[
        str | None,
        option("CxHxW", "Size of an image [default: the run's or as published].", "--input"),
    ] = None,
    classes: Annotated[
        int | None, option(None, "Classes [default: the run's or as published].", least=1)
    ] = None,
    plugins: Plugins = None,
    json: Json = False,
) -> None:
    """Write an architecture in a form that others can run, and check what was written."""
    load_plugins(plugins)
    network = read_network(sets or [], weights, input_shape, classes)
    export(what, to, out, network, Streams(json=json))


@dataclass(frozen=True)
class Network:
    """What was said about the network to export; None where nothing was.

    Attributes:
        scale: Macro settings.
        weights: File of trained weights.
        input_shape: Of one input; channels, height and width of an image.
        classes: Length of the logits.
        images: Real inputs `(B, *input_shape)` to compare on; None takes random ones.
        part: As of `nas.export.ExportRequest`.
    """

    scale: Mapping[str, Any] = field(default_factory=dict)
    weights: Path | None = None
    input_shape: tuple[int, ...] | None = None
    classes: int | None = None
    images: Tensor | None = None
    part: str = ""


def read_network(
    sets: list[str], weights: Path | None, input_shape: str | None, classes: int | None
) -> Network:
    """Check what was said about the network.

    Raises:
        ConfigError: A text has the wrong form.
    """
    from nas.cli.describe import parse_scale, read_shape

    shape = None if input_shape is None else read_shape(input_shape)
    return Network(parse_scale(sets), weights, shape, classes)


def export(what: str, form: str, out: Path | None, network: Network, streams: Streams) -> None:
    """Export and say what was written.

    Raises:
        NasError: The form or target is unknown, or the export failed.
    """
    from nas.cli.targets import RunTarget, find, find_architecture
    from nas.core.errors import ConfigError
    from nas.export import ExportRequest, exporters
    from nas.export import export as write

    exporters.summary(form)
    target = find_architecture(what)
    place = out or Path(f"{_stem(target)}.{SUFFIXES.get(form, form)}")
    if place.is_dir():
        raise ConfigError(f"{str(place)!r} is a folder", "name a file with --out")
    if out is None and place.exists():
        raise ConfigError(f"{str(place)!r} is there already", "name a file with --out")
    found = find(what)
    if isinstance(found, RunTarget):
        network = of_run(found.folder, network)
    evaluator = target.space.evaluator
    usual_shape, usual_classes = target.space.default_input(target.architecture)
    shapes = target.space.shapes(usual_shape, usual_classes, **network.scale)
    if form in COMPUTING and network.input_shape is None and shapes is None:
        raise ConfigError(
            f"what networks of {target.space.name!r} take is known to its evaluator"
            f" {evaluator!r} only",
            "name a run, of an evaluator with `inputs`, or say it with --input and --classes",
        )
    request = ExportRequest(
        architecture=target.architecture,
        out=place,
        scale=network.scale,
        input_shape=network.input_shape or usual_shape,
        num_classes=network.classes or usual_classes,
        weights=network.weights,
        images=network.images,
        part=network.part,
    )
    result = write(form, request)
    if streams.json:
        streams.document(
            {
                "form": result.form,
                "files": [str(file) for file in result.files],
                "difference": result.difference,
                "detail": result.detail,
            }
        )
        return
    for file in result.files:
        streams.line(str(file))
    if result.difference is not None:
        streams.note(f"read back and compared: logits differ by at most {result.difference:.1e}")
    if result.detail:
        streams.note(result.detail)
    if network.weights is None and result.difference is not None:
        streams.note("the weights are random: train it first, or give --weights")


def of_run(folder: Path, said: Network) -> Network:
    """What was said, and for what was not, the run's best network and its evaluator's inputs.

    Raises:
        NasError: What the evaluator has its inputs from cannot be read.
    """
    from nas.cli.result import load_result
    from nas.engine.run import read_config
    from nas.evaluators import inputs_of

    config = read_config(folder)
    best = load_result(folder).get("best") or {}
    weights = folder / "best" / "weights.safetensors"
    chosen = said.weights
    if chosen is None and weights.is_file() and not said.scale:
        chosen = weights
    scale = {**config.network, **(best.get("scale") or {}), **said.scale}
    network = replace(said, scale=scale, weights=chosen)
    given = None
    if said.input_shape is None or said.classes is None:
        given = inputs_of(config)
    if given is None:
        return network
    shape = said.input_shape or given.shape
    images = given.examples if shape == given.shape else None
    classes = said.classes or given.classes
    return replace(network, input_shape=shape, classes=classes, images=images, part=given.part)


def _stem(target: ArchitectureTarget) -> str:
    """A file's name for an architecture: as it was called, or its id."""
    name = target.name.partition(":")[2]
    return name if name.isidentifier() else target.architecture.id
