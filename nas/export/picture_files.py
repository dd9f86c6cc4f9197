"""The forms "svg" and "png": an architecture's cells, and `front.png`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from xml.etree import ElementTree

from nas.core.architecture import Architecture
from nas.core.errors import ExportError
from nas.export.canvas import Picture, to_png, to_svg
from nas.export.drawing import cells_of, draw_cells
from nas.export.files import write_bytes, write_text
from nas.export.front_picture import Dot, draw_front
from nas.export.request import ExportRequest, ExportResult

PNG: bytes = b"\x89PNG\r\n\x1a\n"


def architecture_picture(architecture: Architecture) -> Picture:
    """The cells of an architecture as a picture.

    Raises:
        PluginError: Its space is not known here.
    """
    from search_spaces import get_space

    graph = get_space(architecture.space).graph(architecture)
    return draw_cells(cells_of(graph), f"{architecture.space} {architecture.id}")


def export_svg(request: ExportRequest) -> ExportResult:
    """The form "svg"."""
    text = to_svg(architecture_picture(request.architecture))
    ElementTree.fromstring(text)  # our own text; it must be well formed
    write_text(request.out, text)
    return ExportResult("svg", (request.out,))


def export_png(request: ExportRequest) -> ExportResult:
    """The form "png"."""
    content = to_png(architecture_picture(request.architecture))
    if not content.startswith(PNG):
        raise ExportError("png: matplotlib wrote something else", "please report this")
    write_bytes(request.out, content)
    return ExportResult("png", (request.out,))


def write_front_png(
    path: Path,
    dots: Sequence[Dot],
    *,
    target: str = "error",
    costs: Sequence[str] = ("params", "macs"),
    directions: Mapping[str, str] | None = None,
) -> None:
    """Write `front.png` (see `draw_front`).

    Raises:
        ExportError: It cannot be written.
    """
    picture = draw_front(dots, target=target, costs=costs, directions=directions)
    write_bytes(path, to_png(picture))
