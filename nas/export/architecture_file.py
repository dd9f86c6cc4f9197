"""`architecture.json`: written whole, read with suspicion."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final, NoReturn

from nas.core.architecture import Architecture, read_envelope
from nas.core.errors import ConfigError, ExportError, NasError, SpaceError
from nas.export.files import replacing, write_text
from nas.export.request import ExportRequest, ExportResult

LARGEST: Final = 1 << 20
"""Bytes; the largest architecture file that is read. Ours have less than two thousand."""


def write_architecture(path: Path, architecture: Architecture) -> None:
    """Write `architecture.json`, indented.

    Raises:
        ExportError: It cannot be written.
    """
    write_text(path, architecture_text(architecture))


def architecture_text(architecture: Architecture) -> str:
    """The content of `architecture.json`."""
    return json.dumps(architecture.to_dict(), indent=2, allow_nan=False) + "\n"


def read_architecture(path: Path, space: str | None = None) -> Architecture:
    """Read and check an architecture file.

    Args:
        path: The file.
        space: Name of the space it must be of; None takes the one it names.

    Raises:
        SpaceError: It is missing, too large, cut short, no JSON, of a newer format, of another
            or an unknown space, or its choices or id are not valid (exit code 2).
        PluginError: Its space is not known here.
    """
    from search_spaces import get_space

    data = read_json(path)
    try:
        name, _ = read_envelope(data)
        if space is not None and name != space:
            raise SpaceError(f"architecture is of the space {name!r}", f"expected {space!r}")
        return get_space(name).from_dict(data)
    except NasError as error:
        kind = type(error) if isinstance(error, ConfigError) else SpaceError
        raise kind(f"{str(path)!r}: {error.message}", error.hint) from error


def read_json(path: Path) -> Any:
    """Parse a small JSON file strictly: no repeated keys, no NaN, no endless nesting.

    Raises:
        SpaceError: It is missing, too large, or no such JSON.
    """
    try:
        with path.open("rb") as handle:
            content = handle.read(LARGEST + 1)
    except (OSError, ValueError) as error:  # ValueError: a null byte in the path
        reason = getattr(error, "strerror", None) or error
        raise SpaceError(f"cannot read {str(path)!r}: {reason}", "check the path") from error
    if len(content) > LARGEST:
        raise SpaceError(
            f"{str(path)!r} is larger than {LARGEST} bytes", "expected an architecture.json"
        )
    try:
        return json.loads(content.decode(), object_pairs_hook=_object, parse_constant=_constant)
    except RecursionError:
        raise SpaceError(
            f"{str(path)!r} is nested too deeply", "expected an architecture.json"
        ) from None
    except ValueError as error:  # no UTF-8, no JSON, a repeated key, a number too long
        raise SpaceError(
            f"{str(path)!r} is not valid JSON ({' '.join(str(error).split())[:120]})",
            "is it cut short? write it again with: nas export ARCH --to json",
        ) from None


def _object(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    result: dict[str, Any] = {}
    for key, value in pairs:
        if key in result:
            raise ValueError(f"the key {key[:40]!r} occurs twice")
        result[key] = value
    return result


def _constant(text: str) -> NoReturn:
    raise ValueError(f"{text} is no JSON number")


def export_json(request: ExportRequest) -> ExportResult:
    """The form "json".

    Raises:
        ConfigError: The architecture is not a member of its space.
        ExportError: It cannot be written.
    """
    with replacing(request.out) as temporary:
        temporary.write_text(architecture_text(request.architecture), encoding="utf-8")
        back = read_architecture(temporary, request.architecture.space)
    if back != request.architecture:
        raise ExportError(f"json: {back.id} was read back, not {request.architecture.id}")
    return ExportResult("json", (request.out,))
