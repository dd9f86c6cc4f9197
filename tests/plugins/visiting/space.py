"""A space of another package: convolutions of one size, one after another."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise
from typing import Any, ClassVar

import networkx as nx

from nas.core.architecture import Architecture
from nas.core.choices import Categorical, Integer
from nas.core.space import Space
from nas.core.tree import ChoiceTree


class Stack(Space):
    scale: ClassVar[Mapping[str, Any]] = {"channels": 8}  # type: ignore[misc]

    def __init__(self) -> None:
        choices = (Categorical("kernel", (1, 3, 5)), Integer("depth", 1, 4))
        super().__init__("visiting-stack", ChoiceTree(choices))

    def graph(self, architecture: Architecture) -> nx.DiGraph:
        depth = architecture.choices["depth"]
        graph = nx.path_graph(depth + 1, create_using=nx.DiGraph)
        nx.set_node_attributes(graph, f"conv_{architecture.choices['kernel']}", "op")
        return graph

    def network(
        self,
        architecture: Architecture,
        input_shape: tuple[int, int, int] = (3, 32, 32),
        num_classes: int = 10,
        *,
        channels: int = 8,
    ) -> Any:
        from torch import nn

        kernel, depth = (int(str(architecture.choices[name])) for name in ("kernel", "depth"))
        widths = [input_shape[0], *[channels] * depth]
        layers: list[nn.Module] = []
        for before, after in pairwise(widths):
            layers += [nn.Conv2d(before, after, kernel, padding="same"), nn.ReLU()]
        head = (nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(channels, num_classes))
        return nn.Sequential(*layers, *head)
