"""nas: neural architecture search.

`nas.search(...)` runs a search, `nas.evaluate(...)` trains one candidate, `nas.prune(...)` does so
and gives it at several sizes; see `nas.api`.
Importing this package imports nothing heavy: torch comes with the first call.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from nas.core.version import VERSION

if TYPE_CHECKING:
    from nas.api import evaluate, find, open_run, prune, resume, search

__all__ = ["evaluate", "find", "open_run", "prune", "resume", "search"]
__version__ = VERSION


def __getattr__(name: str) -> Any:
    if name in __all__:
        return getattr(import_module("nas.api"), name)
    raise AttributeError(f"module 'nas' has no attribute {name!r}")


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
