"""What a search found, in forms that others can use; importing this costs no torch.

An exporter takes an `ExportRequest` and leaves a checked file:

    from nas.export import ExportRequest, export
    result = export("onnx", ExportRequest(architecture, Path("model.onnx"), weights=...))

Every form is read back and compared before success is reported, and a file is
written under another name first, so what stands at `out` is whole or absent. What libraries
log on the way is kept quiet: an exception says what went wrong.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from nas.core.errors import NasError
from nas.core.registry import Registry

if TYPE_CHECKING:
    from nas.export.architecture_file import read_architecture, write_architecture
    from nas.export.paint import painters
    from nas.export.picture_files import write_front_png
    from nas.export.report import ReportData, write_report
    from nas.export.request import ExportRequest, ExportResult
    from nas.export.sections import comparison_of

    Exporter: TypeAlias = Callable[[ExportRequest], ExportResult]

__all__ = [
    "ExportRequest",
    "ExportResult",
    "ReportData",
    "comparison_of",
    "export",
    "exporters",
    "painters",
    "read_architecture",
    "write_architecture",
    "write_front_png",
    "write_report",
]

exporters: Registry[Exporter] = Registry("export form", "nas.exporters")
for _name, _place, _summary in (
    ("json", "architecture_file:export_json", "architecture.json, what this tool reads back"),
    ("python", "standalone:export_python", "a stand-alone torch module and its weights"),
    ("onnx", "onnx_form:export_onnx", "ONNX, batch size free, checked in onnxruntime"),
    ("pt2", "pt2_form:export_pt2", "torch.export program, batch size free"),
    ("svg", "picture_files:export_svg", "the cells as a vector picture"),
    ("png", "picture_files:export_png", "the cells as a bitmap"),
):
    exporters.add(_name, f"nas.export.{_place}", _summary)

_LAZY: Final = {
    "ExportRequest": "request",
    "ExportResult": "request",
    "ReportData": "report",
    "comparison_of": "sections",
    "painters": "paint",
    "read_architecture": "architecture_file",
    "write_architecture": "architecture_file",
    "write_front_png": "picture_files",
    "write_report": "report",
}


def export(form: str, request: ExportRequest) -> ExportResult:
    """Write one form of an architecture and compare it with the original.

    Args:
        form: A name of `exporters`.
        request: What to export and where to.

    Raises:
        PluginError: The form is unknown.
        NoSuchFormError: This network or installation cannot give it.
        ExportError: It could not be written, or what was read back differs.
    """
    from nas.export.request import NoSuchFormError

    exporter = exporters.get(form)
    try:
        return exporter(request)
    except (NasError, KeyboardInterrupt):
        raise
    except Exception as error:  # a form's own library may raise anything
        line = " ".join(str(error).split())[:300]
        raise NoSuchFormError(
            f"export to {form} failed: {type(error).__name__}: {line}", "nothing was written"
        ) from error


def __getattr__(name: str) -> Any:
    module = _LAZY.get(name)
    if module is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    import importlib

    return getattr(importlib.import_module(f"{__name__}.{module}"), name)
