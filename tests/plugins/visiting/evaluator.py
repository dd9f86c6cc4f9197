"""An evaluator of another package, of figures that are no accuracy: two networks trained together.

A least-squares GAN (Mao et al., ICCV 2017) of a few parameters on numbers; `distance` says how far
what it draws is from what there is, `test_distance` the same on numbers that no search sees.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from nas.core.architecture import Architecture
from nas.core.choices import Categorical
from nas.core.config import RunConfig, build_settings
from nas.core.errors import ConfigError
from nas.core.protocols import Context, Reply
from nas.core.space import Space
from nas.core.tree import ChoiceTree
from nas.core.work import Evaluate, Spent
from nas.evaluators import WEIGHTS, Inputs
from nas.training import save_weights
from search_spaces import get_space

WIDTHS = (2, 4, 8)
STEPS = 20
NUMBERS = 64


class Pair(nn.Module):
    """What a search of GANs looks for: a generator and a discriminator."""

    def __init__(self, generator: int, discriminator: int) -> None:
        super().__init__()
        self.arguments = {"generator": generator, "discriminator": discriminator}
        self.generator = nn.Sequential(nn.Linear(1, generator), nn.ReLU(), nn.Linear(generator, 1))
        self.discriminator = nn.Sequential(
            nn.Linear(1, discriminator), nn.ReLU(), nn.Linear(discriminator, 1)
        )

    def forward(self, noise: Tensor) -> Tensor:
        """Map noise ``(B, 1)`` to numbers ``(B, 1)``."""
        drawn: Tensor = self.generator(noise)
        return drawn


class Pairs(Space):
    evaluator = "visiting-gan"

    def __init__(self) -> None:
        names = ("discriminator", "generator")
        super().__init__(
            "visiting-pairs", ChoiceTree(tuple(Categorical(name, WIDTHS) for name in names))
        )

    def graph(self, architecture: Architecture) -> Any:
        import networkx as nx

        graph = nx.DiGraph()
        for name, width in architecture.choices.items():
            graph.add_node(name, op=f"linear_{width}")
        graph.add_edge("generator", "discriminator")
        return graph

    def network(self, architecture: Architecture, *shape: Any, **scale: Any) -> nn.Module:
        return Pair(**{name: int(str(width)) for name, width in architecture.choices.items()})


class GanEvaluator:
    reports = ("distance", "params")
    goal = "distance"
    in_full = True

    def __init__(self, spec: Mapping[str, Any]) -> None:
        self._config = build_settings(RunConfig, spec)

    @staticmethod
    def check_recipe(config: RunConfig) -> None:
        if wrong := [name for name in config.recipe if name not in ("learning_rate", "epochs")]:
            raise ConfigError(f"a GAN's recipe has no {wrong[0]!r}", "it has learning_rate")

    @staticmethod
    def inputs(config: RunConfig) -> Inputs:
        return Inputs((1,), 1, torch.randn(8, 1, generator=torch.Generator().manual_seed(0)))

    def evaluate(self, work: Evaluate, context: Context) -> Reply:
        seed = context.seed if work.seed is None else work.seed
        torch.manual_seed(seed % 2**63)
        pair = get_space(work.candidate.architecture.space).network(work.candidate.architecture)
        assert isinstance(pair, Pair)
        epochs = int(work.budget or 1)
        rate = float(self._config.recipe.get("learning_rate", 0.01))
        parts = (pair.discriminator, pair.generator)
        steps = [torch.optim.SGD(part.parameters(), rate) for part in parts]
        for _ in range(epochs * STEPS):
            _step(pair, steps)
        figures = {"distance": _distance(pair, 1), "params": float(_size(pair))}
        if work.split == "test":
            figures["test_distance"] = _distance(pair, 2)
            if context.scratch is not None:
                save_weights(pair, context.scratch / WEIGHTS, {"candidate": work.candidate.id})
        cost = float(epochs * STEPS * NUMBERS * _size(pair))
        return Reply(figures, spent=Spent(epochs=float(epochs), macs=cost))


def _step(pair: Pair, optimizers: list[torch.optim.SGD]) -> None:
    """Both networks against each other, on fresh numbers."""
    judge, (for_judge, for_generator) = pair.discriminator, optimizers
    real, drawn = 3 + 0.5 * torch.randn(NUMBERS, 1), pair(torch.randn(NUMBERS, 1))
    right = (judge(real) - 1).square().mean() + judge(drawn.detach()).square().mean()
    for_judge.zero_grad()
    right.backward()
    for_judge.step()
    for_generator.zero_grad()
    (judge(drawn) - 1).square().mean().backward()
    for_generator.step()


def _distance(pair: Pair, seed: int) -> float:
    """Mean distance of sorted numbers, drawn and real: Wasserstein's in one dimension."""
    chance = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        drawn = pair(torch.randn(NUMBERS, 1, generator=chance)).sort(0).values
    real = (3 + 0.5 * torch.randn(NUMBERS, 1, generator=chance)).sort(0).values
    return float((drawn - real).abs().mean())


def _size(pair: Pair) -> int:
    return sum(parameter.numel() for parameter in pair.parameters())
