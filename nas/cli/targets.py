"""What a person means by RUN, ARCH or SPACE on the command line."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

from nas.core.architecture import Architecture
from nas.core.errors import ConfigError, PluginError, SpaceError, UnsupportedError
from nas.core.registry import close_matches, load_plugin
from nas.core.space import Space


@dataclass(frozen=True)
class RunTarget:
    """A run's folder."""

    folder: Path


@dataclass(frozen=True)
class SpaceTarget:
    """A search space."""

    space: Space


@dataclass(frozen=True)
class ArchitectureTarget:
    """One architecture.

    Attributes:
        space: Its space.
        architecture: The architecture.
        name: What the person called it.
    """

    space: Space
    architecture: Architecture
    name: str


Found: TypeAlias = RunTarget | SpaceTarget | ArchitectureTarget


def find(text: str) -> Found:
    """The run, space or architecture of that name.

    Raises:
        ConfigError: There is none; close names are given.
    """
    from search_spaces import SPACES, get_space

    path = Path(text).expanduser()
    name, colon, rest = text.partition(":")
    if _exists(path):
        return _run(path) if path.is_dir() else _from_file(path)
    if text in SPACES:
        return SpaceTarget(get_space(text))
    if colon and rest and "/" not in name:
        space = get_space(name)
        return ArchitectureTarget(space, _named(space, rest), text)
    if path.suffix in {".json", ".yaml"} or "/" in text:
        raise ConfigError(f"{text!r} does not exist", "check the path")
    hint = close_matches(text, SPACES.names())
    raise ConfigError(f"{text!r} is no run, no file and no search space", hint)


def find_architecture(text: str) -> ArchitectureTarget:
    """The architecture of that name; a run's is the best it found.

    Raises:
        ConfigError: There is none.
    """
    found = find(text)
    if isinstance(found, SpaceTarget):
        example = next(iter(found.space.members), "MEMBER")
        raise ConfigError(f"{text!r} is a whole space", f"name a member, e.g. {text}:{example}")
    if isinstance(found, RunTarget):
        file = found.folder / "best" / "architecture.json"
        if not file.is_file():
            raise ConfigError(
                f"run {text!r} has found nothing yet", f"look at it: nas status {text}"
            )
        return _from_file(file)
    return found


def check_run(folder: Path) -> Path:
    """`folder`, if it holds a run.

    Raises:
        ConfigError: It does not exist or holds none.
    """
    if not _exists(folder):
        raise ConfigError(f"run {str(folder)!r} does not exist", "see nas status")
    if not (folder / "store.sqlite").is_file():
        raise ConfigError(f"{str(folder)!r} holds no run", "name a folder that nas search made")
    return folder


def _run(folder: Path) -> RunTarget:
    """The run, its plug-ins loaded, for its architectures may be of their spaces."""
    from nas.engine.run import read_config

    check_run(folder)
    with suppress(PluginError):  # one has moved; what is not its own can still be shown
        for file in read_config(folder).plugins:
            load_plugin(Path(file))
    return RunTarget(folder)


def _exists(path: Path) -> bool:
    try:
        return path.exists()
    except (OSError, ValueError):  # a name too long for a file, or with a zero byte
        return False


def _from_file(path: Path) -> ArchitectureTarget:
    from nas.export import read_architecture
    from search_spaces import get_space

    architecture = read_architecture(path)
    return ArchitectureTarget(get_space(architecture.space), architecture, str(path))


def _named(space: Space, text: str) -> Architecture:
    """A published member, or what the notation says."""
    members = space.members
    if text in members:
        return members[text]
    if text.replace("_", "").replace("-", "").isalnum():  # a name, not a notation
        raise SpaceError(f"{space.name} has no member {text!r}", close_matches(text, members))
    try:
        return space.parse(text)
    except UnsupportedError:
        raise SpaceError(
            f"{space.name} has no member {text!r} and no notation", close_matches(text, members)
        ) from None
