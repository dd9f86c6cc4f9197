"""What is compared: arms, each a strategy with its settings, on one problem."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from pydantic import Field

from nas.core.canonical import content_id
from nas.core.config import Json, RunConfig, Settings, build_settings, merge, read_yaml
from nas.core.errors import ConfigError
from nas.engine.resolve import load_plugins, resolve
from nas.evaluators import account_of
from search_spaces import get_space

SHARED: Final = (
    *("space", "objectives", "measures", "evaluator", "evaluator_settings"),
    *("data", "data_settings"),
)
"""What all arms must have in common to be comparable."""


class ArmSettings(Settings):
    """An arm of a file of arms.

    Attributes:
        strategy: Registered strategy; by default the one of the arm's name.
        settings: Its settings.
        budget: What each search may spend; by default the comparison's.
    """

    strategy: str | None = None
    settings: Json = Field(default_factory=dict)
    budget: str | None = None


class Comparison(Settings):
    """A file of arms: any field of a run's configuration, and the arms.

    Attributes:
        run: Fields of `RunConfig` for all arms.
        seeds: Searches of each arm.
        arms: Name to arm; the first one is what the others are compared with.
    """

    run: Json = Field(default_factory=dict)
    seeds: int | None = Field(None, ge=1, le=100_000)
    arms: dict[str, ArmSettings] = Field(default_factory=dict)


@dataclass(frozen=True)
class Arm:
    """A strategy under comparison.

    Attributes:
        name: Unique; names its files.
        config: Its run's configuration; the seed is that of each search.
    """

    name: str
    config: RunConfig

    @property
    def id(self) -> str:
        """Hash of everything that determines its searches, the seed aside."""
        data = self.config.model_dump(mode="json")
        for name in ("seed", "executor", "workers", "device", "address", "final", "preset"):
            data.pop(name, None)
        if not data["measures"]:  # traces from before there were settings of figures stay valid
            del data["measures"]
        return content_id(data)


def read_comparison(file: Path) -> Comparison:
    """The content of a file of arms.

    Raises:
        ConfigError: It cannot be read, or a field is unknown or of the wrong type.
    """
    return build_settings(Comparison, read_yaml(file), "field of the comparison")


def with_goal(asked: Mapping[str, Any]) -> dict[str, Any]:
    """Fields of `RunConfig` with an objective: what the evaluator calls its goal, if none is given.

    Raises:
        PluginError: A plug-in, the space or the evaluator is not there.
    """
    if "objectives" in asked or not asked.get("space"):
        return dict(asked)
    load_plugins(asked.get("plugins") or ())
    evaluator = asked.get("evaluator") or get_space(str(asked["space"])).evaluator
    return {"objectives": (f"{account_of(str(evaluator)).goal}:min",), **asked}


def make_arms(
    asked: Mapping[str, Any],
    wanted: Mapping[str, ArmSettings],
    assignments: Sequence[str] = (),
) -> list[Arm]:
    """Resolve and check every arm, before any work.

    Args:
        asked: Fields of `RunConfig` for all arms.
        wanted: Arms by name.
        assignments: Texts `KEY=VALUE` as of `--set`, for all arms.

    Raises:
        NasError: An arm is wrong, no file can have its name, or there are fewer than one.
    """
    if not wanted:
        raise ConfigError("there is nothing to compare", "name strategies or a file of arms")
    arms = []
    for name, arm in wanted.items():
        if not name or not all(c.isalnum() or c in "-_.+=" for c in name) or name[0] == ".":
            raise ConfigError(f"an arm is named {name!r}", "use letters, digits and -_.+=")
        own: dict[str, Any] = {"strategy": arm.strategy or name, "settings": arm.settings}
        if arm.budget is not None:
            own["budget"] = arm.budget
        # One search is one process's work; the searches are what runs in parallel.
        alone = {"executor": "serial", "workers": 1, "seed": 0}
        arms.append(Arm(name, resolve({**merge(asked, own), **alone}, assignments=assignments)))
    first = arms[0]
    for other in arms[1:]:
        for field in SHARED:
            if getattr(other.config, field) != getattr(first.config, field):
                raise ConfigError(
                    f"{other.name} has another {field} than {first.name}: not comparable",
                    "give it for all arms",
                )
    return arms
