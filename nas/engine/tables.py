"""Evaluators and sessions: what a worker can be told to use."""

from __future__ import annotations

from typing import Any

from nas.core.errors import PluginError
from nas.core.registry import Registry, imported
from nas.evaluators import EVALUATORS
from nas.oneshot import SESSIONS

__all__ = ["EVALUATORS", "SESSIONS", "resolve"]


def resolve(table: Registry[Any], name: str) -> Any:
    """The member of `table`, or what "module:attribute" names.

    Raises:
        PluginError: There is no such thing.
    """
    if ":" not in name:
        return table.get(name)
    try:
        return imported(name)
    except (ImportError, AttributeError) as error:
        raise PluginError(
            f"{table.kind} {name!r} cannot be imported: {error}",
            "it must be a module-level name that workers can import",
        ) from error
