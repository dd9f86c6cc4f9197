"""What a search proposes: architectures, training recipes, and candidates made of both.

All are immutable, carry a content hash as `id` and compare by it (Python's own
comparison would call `True`, `1` and `1.0` equal).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Final

from nas.core.canonical import canonical_json, content_id, frozen, frozen_id, plain
from nas.core.choices import Value
from nas.core.errors import ConfigError, SpaceError

FORMAT: Final = 1
"""Version of `architecture.json` and `front.json`; a reader refuses newer ones."""


@dataclass(frozen=True, eq=False)
class Architecture:
    """A value for every active choice of a space.

    Made by a `Space`, which validates; this class only holds.

    Attributes:
        space: Name of the space, e.g. "darts".
        choices: Read-only mapping from choice name to value, sorted by name.
    """

    space: str
    choices: Mapping[str, Value]

    def __post_init__(self) -> None:
        object.__setattr__(self, "choices", frozen(self.choices))

    @cached_property
    def id(self) -> str:
        """Hash of space and choices: sixteen hexadecimal digits, equal in every process."""
        return frozen_id({"space": self.space, "choices": self.choices})

    def to_dict(self) -> dict[str, Any]:
        """The content of `architecture.json`."""
        return {
            "format": FORMAT,
            "space": self.space,
            "choices": plain(self.choices),
            "id": self.id,
        }

    def __eq__(self, other: object) -> bool:
        return self.id == other.id if isinstance(other, Architecture) else NotImplemented

    def __hash__(self) -> int:
        return hash(self.id)

    def __reduce__(self) -> tuple[Any, ...]:
        return Architecture, (self.space, plain(self.choices))


def read_envelope(data: Any, what: str = "architecture") -> tuple[str, Mapping[str, Any]]:
    """Space and choices of a parsed `architecture.json`, its shape checked but not its choices.

    Raises:
        SpaceError: It is not such a mapping, or is of a newer format.
    """
    if not isinstance(data, Mapping):
        raise SpaceError(f"{what} is {type(data).__name__}", "expected a JSON object")
    version = data.get("format")
    if isinstance(version, bool) or not isinstance(version, int) or version < 1:
        raise SpaceError(f"{what} has the format {version!r}", f"expected {FORMAT}")
    if version > FORMAT:
        raise SpaceError(f"{what} has format {version}, newer than {FORMAT}", "update nas")
    space, choices = data.get("space"), data.get("choices")
    if not isinstance(space, str) or not isinstance(choices, Mapping):
        raise SpaceError(f"{what} lacks the name of its space or its choices", "expected both")
    return space, choices


@dataclass(frozen=True, eq=False)
class Recipe:
    """How to train: plain settings, validated where training is (`nas.training`)."""

    settings: Mapping[str, Any]

    def __post_init__(self) -> None:
        object.__setattr__(self, "settings", frozen(self.settings))

    @cached_property
    def id(self) -> str:
        """Hash of the settings."""
        return content_id(self.settings)

    def to_dict(self) -> dict[str, Any]:
        """The settings as plain JSON data."""
        return dict(plain(self.settings))

    def __eq__(self, other: object) -> bool:
        return self.id == other.id if isinstance(other, Recipe) else NotImplemented

    def __hash__(self) -> int:
        return hash(self.id)

    def __reduce__(self) -> tuple[Any, ...]:
        return Recipe, (plain(self.settings),)


@dataclass(frozen=True, eq=False)
class Candidate:
    """What can be evaluated: an architecture at a scale, trained by a recipe.

    Attributes:
        architecture: The architecture.
        recipe: Its own recipe, or None for the run's.
        scale: Macro settings the space's `network` takes, e.g. `{"channels": 16, "layers": 8}`;
            what is missing is the run's.
    """

    architecture: Architecture
    recipe: Recipe | None = None
    scale: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        object.__setattr__(self, "scale", frozen(self.scale))

    @cached_property
    def id(self) -> str:
        """Hash of all three parts; the architecture's own id if it stands alone."""
        if self.recipe is None and not self.scale:
            return self.architecture.id
        return content_id(self.to_dict())

    @property
    def unscaled(self) -> Candidate:
        """The same at the run's scale: what was searched for, however large it is built."""
        return Candidate(self.architecture, self.recipe) if self.scale else self

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON data that `from_dict` reads."""
        return {
            "architecture": self.architecture.to_dict(),
            "recipe": None if self.recipe is None else self.recipe.to_dict(),
            "scale": plain(self.scale),
        }

    @classmethod
    def from_dict(cls, data: Any) -> Candidate:
        """The candidate that `to_dict` described; its choices are taken as they are.

        Raises:
            ConfigError: The data is nothing that `to_dict` gives.
        """
        if not isinstance(data, Mapping) or "architecture" not in data:
            raise ConfigError("candidate lacks its architecture", "expected a JSON object with one")
        space, choices = read_envelope(data["architecture"])
        recipe, scale = data.get("recipe"), data.get("scale", {})
        for name, part in (("recipe", recipe), ("scale", scale)):
            if not isinstance(part, Mapping) and not (name == "recipe" and part is None):
                raise ConfigError(f"candidate's {name} is {type(part).__name__}", "expected object")
        try:
            architecture = Architecture(space, choices)
            return cls(architecture, None if recipe is None else Recipe(recipe), scale)
        except (TypeError, ValueError) as error:
            raise ConfigError(f"candidate holds no JSON data: {error}") from None

    def __eq__(self, other: object) -> bool:
        return self.id == other.id if isinstance(other, Candidate) else NotImplemented

    def __hash__(self) -> int:
        return hash(self.id)

    def __reduce__(self) -> tuple[Any, ...]:
        return Candidate, (self.architecture, self.recipe, plain(self.scale))


def same_content(a: Any, b: Any) -> bool:
    """Whether two JSON-able values have the same canonical text."""
    return canonical_json(a) == canonical_json(b)
