"""`nas list`: what there is to choose from."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Final

import typer

from nas.cli.options import Hints, Json, Plugins, load_plugins
from nas.cli.streams import Streams
from nas.core.errors import ConfigError
from nas.core.registry import Registry, close_matches, imported


def _strategy(registry: Registry[Any], name: str) -> Mapping[str, Any]:
    return dict(registry.get(name).Settings.model_json_schema())


def _member(registry: Registry[Any], name: str) -> Mapping[str, Any]:
    return dict(registry.get(name).settings.model_json_schema())


def _measure(registry: Registry[Any], name: str) -> Mapping[str, Any]:
    from nas.measure import settings_of

    return dict(settings_of(name).model_json_schema())


def _space(registry: Registry[Any], name: str) -> Mapping[str, Any]:
    from search_spaces import get_space

    properties = {key: {"default": value} for key, value in get_space(name).scale.items()}
    return {"type": "object", "properties": properties}


def _space_facts(name: str) -> Mapping[str, Any]:
    from search_spaces import get_space

    space = get_space(name)
    return {"size": space.size, "members": list(space.members)}


def _traits(name: str) -> Mapping[str, Any]:
    from nas.optimizers import OPTIMIZERS

    member = OPTIMIZERS.get(name)
    traits = member.traits
    lists = {
        "rates": list(traits.rates),
        "excludes": sorted(traits.excludes),
        "schedules": sorted(traits.schedules),
    }
    return {**traits.__dict__, **lists, "package": member.package}


@dataclass(frozen=True)
class Kind:
    """A kind of plug-in.

    Attributes:
        table: Where its lazy table is, "module:attribute".
        schema: Describes a member's settings, where it has any.
        facts: What else JSON says of a member, by its name.
    """

    table: str
    schema: Callable[[Registry[Any], str], Mapping[str, Any]] | None = None
    facts: Callable[[str], Mapping[str, Any]] | None = None

    def registry(self) -> Registry[Any]:
        """The lazy table."""
        registry: Registry[Any] = imported(self.table)
        return registry


KINDS: Final[Mapping[str, Kind]] = {
    "spaces": Kind("search_spaces:SPACES", _space, _space_facts),
    "strategies": Kind("nas.strategies:STRATEGIES", _strategy),
    "optimizers": Kind("nas.optimizers:OPTIMIZERS", _member, _traits),
    "steps": Kind("nas.optimizers:STEPS", _member),
    "schedules": Kind("nas.training.schedules:SCHEDULES", _member),
    "normalizations": Kind("nas.layers:NORMALIZATIONS", _member),
    "weights": Kind("nas.layers:WEIGHTS", _member),
    "losses": Kind("nas.training.criteria:LOSSES", _member),
    "reweightings": Kind("nas.training.reweighting:REWEIGHTINGS", _member),
    "predictors": Kind("predictors:PREDICTORS", _strategy),
    "proxies": Kind("predictors:PROXIES"),
    "datasets": Kind("nas.training.data:DATASETS"),
    "executors": Kind("nas.engine.executors:EXECUTORS"),
    "recipes": Kind("nas.training.recipe:RECIPES"),
    "gan-recipes": Kind("nas.training.gan.recipe:GAN_RECIPES"),
    "gan-losses": Kind("nas.training.gan.criteria:GAN_LOSSES"),
    "extractors": Kind("nas.measure.gan.extractors:EXTRACTORS"),
    "evaluators": Kind("nas.evaluators:EVALUATORS"),
    "measures": Kind("nas.measure:MEASURES", _measure),
    "exporters": Kind("nas.export:exporters"),
}


def _complete(incomplete: str) -> Hints:
    for kind in KINDS:
        if kind.startswith(incomplete):
            yield kind, ""


def command(
    kind: Annotated[
        str | None,
        typer.Argument(metavar="|".join(KINDS), help="What to list.", autocompletion=_complete),
    ] = None,
    json: Json = False,
    plugins: Plugins = None,
) -> None:
    """List spaces, strategies, optimizers and so on."""
    load_plugins(plugins)
    streams = Streams(json=json)
    if kind is None:
        list_kinds(streams)
    else:
        list_members(kind, streams)


def list_kinds(streams: Streams) -> None:
    """Say which kinds of plug-in there are, with their members' names."""
    names = {kind: found.registry().names() for kind, found in KINDS.items()}
    if streams.json:
        streams.document(names)
        return
    width = max(map(len, names))
    for kind, members in names.items():
        streams.line(f"{kind:<{width}}  {', '.join(members) or 'none yet'}")


def list_members(name: str, streams: Streams) -> None:
    """List the members of one kind; with their settings' JSON schema as JSON.

    Raises:
        ConfigError: There is no such kind.
    """
    if name not in KINDS:
        raise ConfigError(f"nothing called {name!r} can be listed", close_matches(name, KINDS))
    kind = KINDS[name]
    registry = kind.registry()
    if streams.json:
        streams.document(
            [
                {
                    "name": member,
                    "summary": registry.summary(member),
                    "settings": kind.schema(registry, member) if kind.schema else None,
                    **(kind.facts(member) if kind.facts else {}),
                }
                for member in registry.names()
            ]
        )
        return
    width = max(map(len, registry.names()), default=0)
    for member in registry.names():
        streams.line(f"{member:<{width}}  {registry.summary(member)}".rstrip())
    if not registry.names():
        streams.note(f"no {name} are registered")
