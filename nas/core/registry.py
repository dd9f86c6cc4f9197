"""One mechanism for every kind of plug-in: a lazy table of name, place and summary.

Nothing is imported until a member is asked for, so listing names is cheap.
Other people's packages join through entry points of the table's group; a
user's own file joins through the decorator (see `load_plugin`).
"""

from __future__ import annotations

import difflib
import importlib
import importlib.util
import os
import re
import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any, Generic, TypeVar

from nas.core.canonical import content_id
from nas.core.errors import NasError, PluginError

T = TypeVar("T")


def imported(place: str) -> Any:
    """What "module:attribute" names, its module imported if it has not been; dots lead deeper.

    Raises:
        AttributeError: The module has no such thing; or whatever importing it raises.
    """
    module, _, path = place.partition(":")
    target: Any = importlib.import_module(module)
    for part in path.split("."):
        target = getattr(target, part)
    return target


def close_matches(name: str, known: Iterable[str]) -> str:
    """The hint of an error about an unknown `name`: close names first, else all of them."""
    known = sorted(known)
    spelled = {other.lower(): other for other in known}
    near = difflib.get_close_matches(name.lower(), spelled, n=3, cutoff=0.5)
    close = [spelled[other] for other in near]
    if close:
        return f"did you mean {' or '.join(close)}?"
    return f"known: {', '.join(known)}" if known else "none is registered"


@dataclass(frozen=True)
class Row:
    """A registered member: `target` is the object, or 'module:attribute' until it is needed."""

    name: str
    target: Any
    summary: str


class Registry(Generic[T]):
    """A table of plug-ins of one kind.

    Args:
        kind: What a member is called in messages, e.g. "search space".
        group: Entry-point group through which other packages add members.
        form: Regular expression that names must match; None for any.
    """

    def __init__(self, kind: str, group: str, form: str | None = None) -> None:
        self.kind = kind
        self.group = group
        self._form = form
        self._rows: dict[str, Row] = {}
        self._scanned = False

    def add(self, name: str, target: T | str, summary: str) -> None:
        """Register `target`, an object or 'module:attribute', under `name`.

        Raises:
            PluginError: The name is taken, or none for this kind.
        """
        if name in self._rows:
            raise PluginError(f"{self.kind} {name!r} is registered twice", "choose another name")
        self._check(name)
        self._rows[name] = Row(name, target, summary)

    def register(self, name: str, summary: str = "") -> Callable[[T], T]:
        """Decorator form of `add`; the summary defaults to the first docstring line."""

        def decorate(target: T) -> T:
            text = summary or (getattr(target, "__doc__", None) or "").strip().split("\n")[0]
            self.add(name, target, text)
            return target

        return decorate

    def names(self) -> list[str]:
        """All names, in order of registration, then other packages' members."""
        self._scan()
        return list(self._rows)

    def summary(self, name: str) -> str:
        """One line about a member."""
        return self._row(name).summary

    def get(self, name: str) -> T:
        """The member itself, imported now if it has not been.

        Raises:
            PluginError: The name is unknown, or its module cannot be imported.
        """
        row = self._row(name)
        if not isinstance(row.target, str):
            return row.target  # type: ignore[no-any-return]
        try:
            target = imported(row.target)
        except NasError:
            raise
        except Exception as error:  # whatever a module raises when imported
            raise PluginError(
                f"{self.kind} {name!r} cannot be loaded from {row.target}: "
                f"{type(error).__name__}: {error}",
                "is its package (or an optional extra of this one) installed?",
            ) from error
        self._rows[name] = Row(name, target, row.summary)
        return target  # type: ignore[no-any-return]

    def __contains__(self, name: object) -> bool:
        """Whether a member of that name is known."""
        self._scan()
        return name in self._rows

    def _row(self, name: str) -> Row:
        self._scan()
        try:
            return self._rows[name]
        except KeyError:
            hint = close_matches(str(name), self._rows)
            raise PluginError(f"unknown {self.kind} {name!r}", hint) from None

    def _check(self, name: str) -> None:
        if self._form is not None and not re.fullmatch(self._form, name, re.ASCII):
            raise PluginError(
                f"{self.kind} {name!r} cannot be called so", "letters, digits and _, as in a_name"
            )

    def _scan(self) -> None:
        if self._scanned:
            return
        found: dict[str, Row] = {}
        for point in metadata.entry_points(group=self.group):
            row = Row(point.name, point.value, f"from {point.value}")
            if (self._rows | found).get(point.name, row).target != point.value:
                raise PluginError(
                    f"{self.kind} {point.name!r} of {point.value} is registered twice",
                    "uninstall one of the packages",
                )
            self._check(point.name)
            found[point.name] = row
        self._rows.update(found)
        self._scanned = True


def load_plugin(path: Path) -> None:
    """Run a user's Python file, whose decorators register its members; once per process.

    Raises:
        PluginError: The file is missing, or raises when run.
    """
    if not path.is_file():
        raise PluginError(f"plug-in file {str(path)!r} does not exist", "check --plugin")
    place = path.resolve()
    name = f"nas_plugin_{place.stem}_{content_id(os.fsencode(place).hex())}"
    if name in sys.modules:
        return
    spec = importlib.util.spec_from_file_location(name, place)
    if spec is None or spec.loader is None:
        raise PluginError(f"plug-in {str(path)!r} is not a Python file", "name it NAME.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except (Exception, SystemExit) as error:  # whatever a user's file raises is about that file
        del sys.modules[name]
        if isinstance(error, PluginError):
            raise
        raise PluginError(
            f"plug-in {str(path)!r} failed: {type(error).__name__}: {error}", "mend the file"
        ) from error
