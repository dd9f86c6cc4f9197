"""`nas check`: whether a space, yours too, keeps what a space promises."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from nas.cli.options import Json, Plugins, complete_space, load_plugins
from nas.cli.streams import Streams
from nas.core.errors import ConfigError, NasError, UnsupportedError
from nas.core.registry import load_plugin

if TYPE_CHECKING:
    from nas.core.space import Space

SAMPLES = 20
ENUMERABLE = 20_000
"""Spaces with at most so many members are counted by enumeration."""

SMALL = {"channels": 8, "layers": 3}
"""Scale of the networks that are built, for spaces that have these settings."""


def command(
    what: Annotated[
        str,
        typer.Argument(
            metavar="SPACE|FILE",
            help="A search space, an architecture.json, or a Python file that registers spaces.",
            autocompletion=complete_space,
            show_default=False,
        ),
    ],
    samples: Annotated[int, typer.Option(min=1, help="Random members to try.")] = SAMPLES,
    json: Json = False,
    plugins: Plugins = None,
) -> None:
    """Validate a space or a file: samples, builds, round trips, counts."""
    load_plugins(plugins)
    streams = Streams(json=json)
    spaces = find_spaces(what, streams)
    results = [
        (name, *outcome) for name, space in spaces for outcome in checks(name, space, samples)
    ]
    failed = [name for name, _, problem in results if problem]
    if streams.json:
        streams.document(
            [
                {"space": space, "check": name, "ok": not problem, "problem": problem}
                for space, name, problem in results
            ]
        )
    for space, name, problem in results:
        streams.line(f"{'FAILED' if problem else 'ok':<7} {space}: {name} {problem}".rstrip())
    raise typer.Exit(1 if failed else 0)


def find_spaces(what: str, streams: Streams) -> list[tuple[str, Space]]:
    """The spaces to check, by registered name; the file of an architecture is read at once.

    Raises:
        ConfigError: There is no such space or file, or a file registers no space.
    """
    from search_spaces import SPACES, get_space

    path = Path(what)
    if path.suffix == ".py":
        before = set(SPACES.names())
        load_plugin(path)
        new = [name for name in SPACES.names() if name not in before]
        if not new:
            raise ConfigError(f"{what!r} registers no space", "decorate it: @SPACES.register(NAME)")
        return [(name, get_space(name)) for name in new]
    if path.suffix == ".json" or path.is_file():
        from nas.export import read_architecture

        architecture = read_architecture(path)
        streams.line(f"ok      {what}: a member of {architecture.space} [{architecture.id}]")
        return []
    return [(what, get_space(what))]


def checks(name: str, space: Space, samples: int) -> Iterator[tuple[str, str]]:
    """Each check's name, and what is wrong; empty if nothing is."""
    if space.name != name:
        yield "name", f"is registered as {name!r} but calls itself {space.name!r}"
    table: tuple[tuple[str, Callable[[Space, int], str]], ...] = (
        ("size", _size),
        ("samples, mutation, crossover", _variation),
        ("JSON and encoding round trips", _round_trips),
        ("notation round trip", _notation),
        ("published members", _members),
        ("graph", _graph),
        ("networks build and count", _networks),
        ("supernet builds", _supernet),
    )
    for title, function in table:
        try:
            problem = function(space, samples)
        except NasError as error:
            problem = str(error)
        except Exception as error:  # a user's space may raise anything; that is the finding
            problem = f"{type(error).__name__}: {' '.join(str(error).split())}"
        yield title, problem


def _size(space: Space, samples: int) -> str:
    if space.size is None or space.size > ENUMERABLE:
        return ""
    ids = {architecture.id for architecture in space.enumerate()}
    return "" if len(ids) == space.size else f"is {space.size}, {len(ids)} are enumerated"


def _variation(space: Space, samples: int) -> str:
    import numpy as np

    rng = np.random.default_rng(0)
    for _ in range(samples):
        first, second = space.sample(rng), space.sample(rng)
        child = space.crossover(first, second, rng)
        for member in (first, child):
            space.from_dict(member.to_dict())
        if space.size != 1 and space.mutate(first, rng).id == first.id:
            return f"mutation left {first.id} as it was"
    return ""


def _round_trips(space: Space, samples: int) -> str:
    import numpy as np

    rng = np.random.default_rng(0)
    for _ in range(samples):
        architecture = space.sample(rng)
        if space.from_dict(architecture.to_dict()) != architecture:
            return f"{architecture.id} is read back differently from JSON"
        if space.size is not None and space.decode(space.encode(architecture)) != architecture:
            return f"{architecture.id} is decoded differently"
    return ""


def _notation(space: Space, samples: int) -> str:
    import numpy as np

    architecture = space.sample(np.random.default_rng(0))
    try:
        text = space.format(architecture)
    except UnsupportedError:
        return ""
    return "" if space.parse(text) == architecture else f"{text!r} is read back differently"


def _members(space: Space, samples: int) -> str:
    for name, architecture in space.members.items():
        if space.from_dict(architecture.to_dict()) != architecture:
            return f"{name} is read back differently"
    return ""


def _graph(space: Space, samples: int) -> str:
    import networkx as nx
    import numpy as np

    graph = space.graph(space.sample(np.random.default_rng(0)))
    if not nx.is_directed_acyclic_graph(graph):
        return "has a cycle"
    bare = [str(node) for node, data in graph.nodes(data=True) if "op" not in data]
    return f"node {bare[0]} has no 'op'" if bare else ""


def _networks(space: Space, samples: int) -> str:
    import numpy as np
    import torch

    from nas.core.space import Costed
    from nas.measure import count_macs, count_parameters

    rng = np.random.default_rng(0)
    shape, classes, scale = (3, 32, 32), 10, _small(space)
    for _ in range(min(samples, 3)):
        architecture = space.sample(rng)
        network = space.network(architecture, shape, classes, **scale)
        params, macs = count_parameters(network), count_macs(network, shape)
        if isinstance(space, Costed):
            cost = space.cost(architecture, shape, classes, **scale)
            if (cost.params, cost.macs) != (params, macs):
                return f"{architecture.id}: says {cost}, has {params} params and {macs} macs"
        with torch.no_grad():
            logits = network.eval()(torch.zeros(2, *shape))
        if tuple(logits.shape) != (2, classes):
            return f"{architecture.id}: logits are {tuple(logits.shape)}, expected (2, {classes})"
    return ""


def _supernet(space: Space, samples: int) -> str:
    import torch

    try:
        supernet = space.supernet((3, 32, 32), 10, **_small(space))
    except UnsupportedError:
        return ""
    with torch.no_grad():
        logits = supernet(torch.randn(2, 3, 32, 32))
    return "" if tuple(logits.shape) == (2, 10) else f"logits are {tuple(logits.shape)}"


def _small(space: Space) -> dict[str, int]:
    return {name: value for name, value in SMALL.items() if name in space.scale}
