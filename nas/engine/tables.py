"""Evaluators and sessions: what a worker can be told to use."""

from __future__ import annotations

from typing import Any

from nas.core.config import RunConfig
from nas.core.errors import PluginError
from nas.core.registry import Registry, imported
from nas.evaluators import EVALUATORS, looking_up
from nas.oneshot import SESSIONS

__all__ = ["EVALUATORS", "SESSIONS", "coverage_of", "data_of", "resolve"]


def resolve(table: Registry[Any], name: str) -> Any:
    """The member of `table`, or what "module:attribute" names.

    Raises:
        PluginError: There is no such thing.
    """
    if ":" not in name:
        return table.get(name)
    try:
        return imported(name)
    except (Exception, SystemExit) as error:  # whatever a module raises when imported
        kind = type(error).__name__
        raise PluginError(
            f"{table.kind} {name!r} cannot be imported: {kind}: {error}",
            "it must be a module-level name that workers can import",
        ) from error


def data_of(config: RunConfig) -> str:
    """Which data a run's figures are of, for people: its own, or those of a table."""
    member = looking_up(config.evaluator)
    return config.data if member is None else str(member.view(config).words)


def coverage_of(config: RunConfig) -> str:
    """How much of the space a table holds, for people; empty if there is none or it is all."""
    member = looking_up(config.evaluator)
    return "" if member is None else str(member.view(config).coverage)
