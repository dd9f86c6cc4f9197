"""How a run ends before its time."""

from __future__ import annotations

from nas.core.errors import ConfigError, DataError, NasError, PluginError, StoreError


class RunFailed(NasError):  # noqa: N818 - said of the run
    """The run cannot go on (exit code 1); what it has is stored, and it can be resumed."""


class ClusterError(NasError):
    """A cluster, or the package to reach it with, is not there (exit code 4)."""

    exit_code = 4


class StrategyError(NasError):
    """A strategy broke the rules of its generator."""


class Stopped(Exception):  # noqa: N818 - a request, not a mistake
    """The run was asked to stop and has come to rest."""


class TimeUp(Exception):  # noqa: N818 - a limit, not a mistake
    """A work would have to be started after the time budget is spent."""


_KINDS: dict[str, type[NasError]] = {
    kind.__name__: kind for kind in (ClusterError, ConfigError, DataError, PluginError, StoreError)
}


def fatal(kind: str, message: str, hint: str, detail: str) -> NasError:
    """The error that a worker's fatal report stands for, with its traceback as a note."""
    error = _KINDS.get(kind, RunFailed)(message, hint)
    if detail:
        error.add_note(detail)
    return error
