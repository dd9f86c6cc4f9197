"""`nas train`: one architecture in full."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from nas.cli.options import Data, Device, Json, Plugins, Quiet, Seed, Sets, Target, given, option
from nas.cli.streams import Streams

if TYPE_CHECKING:
    from nas.core.architecture import Architecture

SHOWN = ("test_error", "error", "loss", "params", "macs", "epochs", "seconds")


def command(
    what: Target,
    data: Data = None,
    recipe: Annotated[
        str | None,
        option("FILE|NAME", "Training settings: a YAML file, or a name of nas list recipes."),
    ] = None,
    epochs: Annotated[int | None, option(None, "Epochs [default: the recipe's].", least=1)] = None,
    sets: Sets = None,
    seed: Seed = None,
    device: Device = None,
    out: Annotated[
        Path | None, option("DIR", "Where architecture, weights and figures go.")
    ] = None,
    plugins: Plugins = None,
    quiet: Quiet = False,
    json: Json = False,
) -> None:
    """Train one architecture in full and test it."""
    asked = {
        "data": data,
        "seed": seed,
        "device": device,
        "plugins": given(plugins),
    }
    streams = Streams(json=json, quiet=quiet)
    job = prepare(what, asked, recipe, epochs, tuple(sets or ()), out)
    train(job, streams)


@dataclass(frozen=True)
class Job:
    """One training, checked.

    Attributes:
        name: What the person called the architecture.
        architecture: The architecture.
        arguments: Of `nas.api.evaluate`.
    """

    name: str
    architecture: Architecture
    arguments: Mapping[str, Any] = field(default_factory=dict)


def prepare(
    what: str,
    asked: Mapping[str, Any],
    recipe: str | None,
    epochs: int | None,
    assignments: tuple[str, ...],
    out: Path | None,
) -> Job:
    """Check everything before work starts; what is not given is the run's, for a run.

    Raises:
        NasError: Something is wrong or missing.
    """
    from nas.cli.targets import RunTarget, find, find_architecture
    from nas.core.config import merge
    from nas.core.errors import ConfigError
    from nas.engine import resolve
    from nas.engine.run import read_config

    resolve.load_plugins(asked.get("plugins") or ())
    target = find_architecture(what)
    found = find(what)
    base: dict[str, Any] = {}
    if isinstance(found, RunTarget):
        config = read_config(found.folder)
        best = _best(found.folder)
        base = {
            "data": config.data,
            "data_settings": config.data_settings,
            "network": {**config.network, **(best.get("scale") or {})},
            "recipe": merge(config.recipe, best.get("recipe") or config.final.recipe),
            "seed": config.seed,
        }
    given = merge(base, {key: value for key, value in asked.items() if value is not None})
    given = merge(given, {"recipe": read_recipe(recipe)})
    given = merge(given, _sections(assignments))
    config = resolve.resolve({**given, "space": target.space.name, "strategy": "random"})
    if out is not None:
        if (out / "store.sqlite").exists():
            raise ConfigError(f"folder {str(out)!r} holds a run", "choose another --out")
        resolve.check_out(out)
    return Job(
        target.name,
        target.architecture,
        {
            "recipe": dict(config.recipe),
            "data": config.data,
            "data_settings": dict(config.data_settings),
            "scale": dict(config.network),
            "epochs": epochs,
            "seed": config.seed,
            "device": config.device,
            "out": out,
        },
    )


def train(job: Job, streams: Streams) -> None:
    """Train and print the figures.

    Raises:
        NasError: The training failed.
    """
    from nas import api
    from nas.cli import words
    from nas.cli.progress import listening

    arguments = job.arguments
    streams.note(
        f"training {job.name} on {arguments['data']}, seed {arguments['seed']},"
        f" {words.scale(arguments['scale'])} scale"
    )
    with listening(streams, phases=False) as listeners:
        entry = api.evaluate(job.architecture, listeners=listeners, **arguments)
    figures = dict(entry.figures)
    result = {
        "event": "result",
        "status": entry.status,
        "architecture": job.architecture.to_dict(),
        "scale": arguments["scale"],
        "figures": figures,
        "out": None if arguments["out"] is None else str(arguments["out"]),
    }
    if streams.json:
        streams.record({"schema": 1, **result})
        return
    streams.line(f"{job.name}  [{job.architecture.id}]", style="bold")
    for name in SHOWN:
        if name in figures:
            streams.line(f"  {words.label(name):<14} {words.figure(name, figures[name])}")
    if arguments["out"] is not None:
        streams.line(f"  {'files':<14} {arguments['out']}")


def read_recipe(text: str | None) -> dict[str, Any]:
    """The settings of a registered recipe or of a YAML file.

    Raises:
        ConfigError: There is neither.
    """
    from nas.core.config import read_yaml
    from nas.training.recipe import RECIPES

    if text is None:
        return {}
    if text in RECIPES:
        return RECIPES.get(text).model_dump()
    path = Path(text)
    if not path.exists() and not path.suffix:
        RECIPES.summary(text)  # raises, with close matches
    return read_yaml(path)


def _sections(assignments: tuple[str, ...]) -> dict[str, Any]:
    """`--set` of a training: without a section it is the recipe's."""
    from nas.core.config import parse_assignments
    from nas.engine.resolve import SECTIONS

    values = parse_assignments(assignments)
    sections = {key: value for key, value in values.items() if key in SECTIONS}
    own = {key: value for key, value in values.items() if key not in SECTIONS}
    if own:
        sections["recipe"] = {**own, **sections.get("recipe", {})}
    return sections


def _best(folder: Path) -> dict[str, Any]:
    """A run's best candidate as its result describes it: architecture, recipe, scale."""
    from nas.cli.result import load_result

    return dict(load_result(folder).get("best") or {})
