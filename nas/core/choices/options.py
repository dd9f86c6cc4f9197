"""Choices with listed options, and what comes to life under each."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, TypeAlias

from nas.core.canonical import plain
from nas.core.choices.base import Choice, Option
from nas.core.errors import SpaceError

Children: TypeAlias = Mapping[Option, "tuple[Choice, ...]"]


def typed(option: Any) -> tuple[str, Any]:
    """A key that tells `True` from `1` and `1` from `1.0`, which Python calls equal."""
    return type(option).__name__, option


@dataclass(frozen=True)
class Optioned(Choice):
    """What choices with listed options share; not a kind of its own."""

    options: tuple[Option, ...]
    under: Children = field(default_factory=dict, hash=False, compare=True)

    def __post_init__(self) -> None:
        object.__setattr__(self, "options", tuple(self.options))
        for option in self.options:
            if type(option) not in (str, int, float, bool):
                raise SpaceError(f"choice {self.name!r} has the option {option!r}", "expected text")
        if not self.options or len(set(self.options)) < len(self.options):
            raise SpaceError(
                f"choice {self.name!r} has no options, or some that Python calls equal: "
                f"{self.options}"
            )
        plain(self.options)  # raises where an option, such as NaN, could not be written
        under = {self._known(option): tuple(below) for option, below in self.under.items()}
        object.__setattr__(self, "under", MappingProxyType(under))
        for below in under.values():
            if len({child.name for child in below}) < len(below):
                raise SpaceError(f"two choices under {self.name!r} have the same name")

    def _known(self, option: Any) -> Option:
        if typed(option) not in map(typed, self.options):
            raise SpaceError(f"choice {self.name!r} has children under unknown {option!r}")
        return option  # type: ignore[no-any-return]

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "under": dict(self.under)}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state, under=MappingProxyType(state["under"]))

    def descendants(self) -> tuple[Choice, ...]:
        found: dict[str, Choice] = {}
        for option in self.options:
            for child in self.under.get(option, ()):
                if found.setdefault(child.name, child) != child:
                    raise SpaceError(
                        f"two different choices under {self.name!r} are named {child.name!r}",
                        "give them different names",
                    )
        return tuple(found.values())

    def _option(self, value: Any) -> Option:
        for option in self.options:
            if typed(option) == typed(value):
                return option
        raise self.wrong(value, f"one of {', '.join(map(str, self.options))}")
