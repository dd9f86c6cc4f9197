"""`nas train`: one architecture in full."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

from nas.cli.options import Data, Device, Json, Plugins, Quiet, Seed, Sets, Target, given, option
from nas.cli.streams import Streams

if TYPE_CHECKING:
    from rich.console import RenderableType

    from nas.core.architecture import Architecture
    from nas.core.config import RunConfig
    from nas.engine.records import Entry

COSTS: Final = ("epochs", "seconds")


def command(
    what: Target,
    data: Data = None,
    recipe: Annotated[
        str | None,
        option("FILE|NAME", "Training settings: a YAML file, or a name of nas list recipes."),
    ] = None,
    epochs: Annotated[int | None, option(None, "Epochs [default: the recipe's].", least=1)] = None,
    prune: Annotated[
        list[float] | None,
        option(
            "SHARE",
            "Remove this share of the channels on the way, 0 to 1; several, ascending, give as "
            "many networks of one training: weights in DIR/best/pruned/SHARE, for nas export DIR "
            "--weights.",
            "--prune",
        ),
    ] = None,
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
    job = prepare(what, asked, recipe, epochs, tuple(sets or ()), out, tuple(prune or ()))
    train(job, streams)


@dataclass(frozen=True)
class Job:
    """One training, checked.

    Attributes:
        name: What the person called the architecture.
        architecture: The architecture.
        config: As `nas.api.evaluate` will resolve it.
        arguments: Of `nas.api.evaluate`: of settings only those asked for, which go over a
            member's own, as what a preset says does not.
        shares: Shares of the channels that are removed on the way.
    """

    name: str
    architecture: Architecture
    config: RunConfig
    arguments: Mapping[str, Any] = field(default_factory=dict)
    shares: tuple[float, ...] = ()


def prepare(
    what: str,
    asked: Mapping[str, Any],
    recipe: str | None,
    epochs: int | None,
    assignments: tuple[str, ...],
    out: Path | None,
    prune: tuple[float, ...] = (),
) -> Job:
    """Check everything before work starts; what is not given is the run's, for a run.

    Raises:
        NasError: Something is wrong or missing.
    """
    from nas.cli.targets import RunTarget, find, find_architecture
    from nas.core.config import merge
    from nas.core.errors import ConfigError
    from nas.engine import resolve

    loaded = resolve.load_plugins(asked.get("plugins") or ())
    target = find_architecture(what)
    found = find(what)
    base = _of_run(found.folder) if isinstance(found, RunTarget) else {}
    given = merge(base, {key: value for key, value in asked.items() if value is not None})
    given["plugins"] = list(dict.fromkeys((*base.get("plugins", ()), *loaded)))
    given = merge(given, {"recipe": read_recipe(recipe)})
    given = merge(given, _sections(assignments))
    if prune:
        given = merge(given, {"recipe": {"prune": list(prune)}})
    config = resolve.resolve({**given, "space": target.space.name, "strategy": "random"})
    if out is not None:
        if (out / "store.sqlite").exists():
            raise ConfigError(f"folder {str(out)!r} holds a run", "choose another --out")
        resolve.check_out(out)
    shares = _shares(target.architecture, config, given, epochs)
    return Job(
        target.name,
        target.architecture,
        config,
        {
            "recipe": given.get("recipe", {}),
            "data": config.data,
            "data_settings": dict(config.data_settings),
            "scale": given.get("network", {}),
            "evaluator": config.evaluator,
            "evaluator_settings": given.get("evaluator_settings", {}),
            "plugins": config.plugins,
            "epochs": epochs,
            "seed": config.seed,
            "device": config.device,
            "out": out,
        },
        shares,
    )


def _shares(
    architecture: Architecture, config: RunConfig, given: Mapping[str, Any], epochs: int | None
) -> tuple[float, ...]:
    """Shares of channels that the training removes, if any, from a network that can be cut.

    Raises:
        UnsupportedError: It cannot.
    """
    from nas.api import candidate_of
    from nas.evaluators import shares_of

    if not config.recipe.get("prune"):
        return ()
    candidate = candidate_of(architecture, given.get("recipe", {}), given.get("network", {}))
    return tuple(share for share, _ in shares_of(config, candidate, epochs))


def train(job: Job, streams: Streams) -> None:
    """Train and print the figures.

    Raises:
        NasError: The training failed.
    """
    from nas import api
    from nas.cli import words
    from nas.cli.progress import listening
    from nas.core.config import merge
    from nas.evaluators import account_of

    config, out = job.config, job.arguments["out"]
    place = f"on {config.data}" if config.evaluator == "train" else f"by {config.evaluator}"
    streams.note(
        f"training {job.name} {place}, seed {config.seed}, {words.scale(config.network)} scale"
    )
    with listening(streams, phases=False) as listeners:
        if job.shares:
            entries = api.prune(job.architecture, job.shares, listeners=listeners, **job.arguments)
        else:
            entries = [api.evaluate(job.architecture, listeners=listeners, **job.arguments)]
    entry = entries[-1]
    smaller = [_network(entry, out) for entry in entries] if job.shares else []
    candidate, figures = entry.candidate, dict(entry.figures)
    own = {} if candidate.recipe is None else candidate.recipe.to_dict()
    if streams.json:
        streams.record(
            {
                "schema": 1,
                "event": "result",
                "status": entry.status,
                "architecture": job.architecture.to_dict(),
                "scale": {**config.network, **candidate.scale},
                "recipe": merge(config.recipe, own),
                "figures": figures,
                "out": None if out is None else str(out),
                **({"pruned": smaller} if smaller else {}),
            }
        )
        return
    streams.line(f"{job.name}  [{job.architecture.id}]", style="bold")
    for name in _wanted(config, figures):
        streams.line(f"  {words.label(name):<14} {words.figure(name, figures[name])}")
    if own:
        streams.line(f"  {'recipe':<14} {words.settings(own)}")
    if out is not None:
        streams.line(f"  {'files':<14} {out}")
    if smaller:
        streams.result(_table(smaller, [account_of(config.evaluator).tested]))


def _network(entry: Entry, out: Path | None) -> dict[str, Any]:
    """What the command says of the network that a share of the channels was removed from."""
    from nas.engine.deliver import smaller_weights
    from nas.engine.results import SHARE

    share = float(entry.tags[SHARE])
    return {
        "share": share,
        "epochs": entry.budget,
        "figures": dict(entry.figures),
        "weights": None if out is None else str(smaller_weights(out, share)),
    }


def _table(networks: Sequence[Mapping[str, Any]], tested: Sequence[str]) -> RenderableType:
    """One network a row: how much was removed, what is left."""
    from rich.table import Table

    from nas.cli import words

    names = ["params", "macs", "error", *tested]
    names = [name for name in names if all(name in one["figures"] for one in networks)]
    table = Table(box=None, pad_edge=False)
    for title in ("share", *map(words.label, names)):
        table.add_column(title, justify="right")
    for one in networks:
        figures = [words.figure(name, one["figures"][name]) for name in names]
        table.add_row(f"{one['share']:g}", *figures)
    return table


def _wanted(config: RunConfig, figures: Mapping[str, float]) -> list[str]:
    """Names of the figures that a person is shown, the evaluator's goal among them."""
    from nas.core.metrics import shown
    from nas.evaluators import account_of

    account = account_of(config.evaluator)
    names = shown(figures, [account.goal, account.tested])
    return [*names, *(name for name in COSTS if name in figures)]


def read_recipe(text: str | None) -> dict[str, Any]:
    """The settings of a registered recipe or of a YAML file.

    Raises:
        ConfigError: There is neither.
    """
    from nas.core.config import read_yaml
    from nas.training.gan.recipe import GAN_RECIPES
    from nas.training.recipe import RECIPES

    if text is None:
        return {}
    if text in RECIPES:
        return RECIPES.get(text).model_dump()
    if text in GAN_RECIPES:
        return GAN_RECIPES.get(text).model_dump(mode="json")
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


def _of_run(folder: Path) -> dict[str, Any]:
    """Fields of the configuration by which a run's best is trained as the run did.

    What was found in a table is trained: reading its figures again would say nothing new. A
    plug-in that is no longer there is left out: what is not its own can still be trained.
    """
    from nas.cli.result import load_result
    from nas.core.config import merge
    from nas.engine.run import read_config
    from nas.evaluators import looking_up

    config = read_config(folder)
    best = load_result(folder).get("best") or {}
    fields: dict[str, Any] = {
        "data": config.data,
        "data_settings": config.data_settings,
        "network": {**config.network, **(best.get("scale") or {})},
        "recipe": merge(config.recipe, best.get("recipe") or config.final.recipe),
        "seed": config.seed,
        "plugins": [file for file in config.plugins if Path(file).is_file()],
        "evaluator": "train",
    }
    if looking_up(config.evaluator) is None:
        fields["evaluator"] = config.evaluator
        fields["evaluator_settings"] = config.evaluator_settings
    return fields
