"""Architecture and training recipe as one space: its members divide into candidates."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import networkx as nx

from nas.core.architecture import Architecture, Candidate, Recipe
from nas.core.choices import Categorical, Real
from nas.core.space import Space
from nas.core.tree import ChoiceTree
from search_spaces import get_space

RATE, SMOOTHING = "learning_rate", "label_smoothing"


class Joint(Space):
    def __init__(self) -> None:
        self.base = get_space("nasbench201")
        recipe = (Real(RATE, 0.01, 0.3, log=True), Categorical(SMOOTHING, (0.0, 0.1)))
        super().__init__("visiting-joint", ChoiceTree((*self.base.tree.choices, *recipe)))

    @property
    def scale(self) -> Mapping[str, Any]:
        return self.base.scale

    def candidate(self, architecture: Architecture) -> Candidate:
        choices = dict(architecture.choices)
        recipe = {name: choices.pop(name) for name in (RATE, SMOOTHING)}
        return Candidate(self.base.architecture(choices), Recipe(recipe))

    def member(self, candidate: Candidate) -> Architecture:
        assert candidate.recipe is not None
        recipe = {name: candidate.recipe.settings[name] for name in (RATE, SMOOTHING)}
        return self.architecture({**candidate.architecture.choices, **recipe})

    def graph(self, architecture: Architecture) -> nx.DiGraph:
        return self.base.graph(self.candidate(architecture).architecture)

    def network(self, architecture: Architecture, *shape: Any, **scale: Any) -> Any:
        return self.base.network(self.candidate(architecture).architecture, *shape, **scale)
