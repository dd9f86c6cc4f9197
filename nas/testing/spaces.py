"""What every search space must do, whoever wrote it; `nas check` tells of it.

from nas.testing.spaces import check_space

def test_my_space():
check_space(MySpace())
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Final

from nas.core.errors import NasError, UnsupportedError
from nas.core.space import Space

__all__ = ["check_space", "checks"]

ENUMERABLE: Final = 20_000
"""Spaces with at most so many members are counted by enumeration."""

SMALL: Final = {
    "channels": 8,
    "layers": 3,
    "generator_channels": 8,
    "discriminator_channels": 8,
    "latent": 24,
}
"""Scale of the networks that are built, for spaces that have these settings."""


def check_space(space: Space, samples: int = 20) -> None:
    """Check a space.

    Args:
        space: The space.
        samples: Random members to try.

    Raises:
        AssertionError: It breaks a promise.
    """
    told = checks(space.name, space, samples)
    broken = [f"{name}: {problem}" for name, problem in told if problem]
    if broken:
        raise AssertionError(f"space {space.name!r}: {'; '.join(broken)}")


def checks(name: str, space: Space, samples: int) -> Iterator[tuple[str, str]]:
    """Try what every space promises.

    Args:
        name: Under which it is registered.
        space: The space.
        samples: Random members to try.

    Yields:
        Each check's name, and what is wrong; empty if nothing is.
    """
    if space.name != name:
        yield "name", f"is registered as {name!r} but calls itself {space.name!r}"
    table: tuple[tuple[str, Callable[[Space, int], str]], ...] = (
        ("size", _size),
        ("samples, mutation, crossover", _variation),
        ("JSON and encoding round trips", _round_trips),
        ("candidates", _candidates),
        ("representatives of equal members", _representatives),
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


def _candidates(space: Space, samples: int) -> str:
    import numpy as np

    rng = np.random.default_rng(0)
    for _ in range(samples):
        architecture = space.sample(rng)
        if space.member(space.candidate(architecture)) != architecture:
            return f"{architecture.id} is another member once it was a candidate"
    return ""


def _representatives(space: Space, samples: int) -> str:
    import numpy as np

    rng = np.random.default_rng(0)
    for _ in range(samples):
        architecture = space.sample(rng)
        found = space.canonical(architecture)
        space.from_dict(found.to_dict())
        if space.canonical(found) != found:
            return f"{found.id} stands for {architecture.id}, but not for itself"
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
        if (shapes := space.shapes(shape, classes, **scale)) is None:
            continue  # what it takes and gives only its evaluator knows
        taken, given = shapes
        params, macs = count_parameters(network), count_macs(network, taken)
        if isinstance(space, Costed):
            cost = space.cost(architecture, shape, classes, **scale)
            if (cost.params, cost.macs) != (params, macs):
                return f"{architecture.id}: says {cost}, has {params} params and {macs} macs"
        with torch.no_grad():
            outputs = network.eval()(torch.zeros(2, *taken))
        if tuple(outputs.shape) != (2, *given):
            return f"{architecture.id}: outputs are {tuple(outputs.shape)}, expected {(2, *given)}"
    return ""


def _supernet(space: Space, samples: int) -> str:
    import torch

    shape, classes, scale = (3, 32, 32), 10, _small(space)
    try:
        supernet = space.supernet(shape, classes, **scale)
    except UnsupportedError:
        return ""
    if (shapes := space.shapes(shape, classes, **scale)) is None:
        return ""
    taken, given = shapes
    with torch.no_grad():
        outputs = supernet(torch.randn(2, *taken))
    return "" if tuple(outputs.shape) == (2, *given) else f"outputs are {tuple(outputs.shape)}"


def _small(space: Space) -> dict[str, int]:
    return {name: value for name, value in SMALL.items() if name in space.scale}
