"""Recipes beside architectures: a member is both, and divides into a candidate."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from nas.core.architecture import Architecture, Candidate, Recipe
from nas.core.choices import Value
from nas.core.errors import SpaceError, UnsupportedError
from nas.core.space import Costed, Space
from nas.core.tree import ChoiceTree
from search_spaces.recipes.knobs import PREFIX, Knobs

if TYPE_CHECKING:
    import networkx as nx
    from torch import nn

__all__ = ["RecipeSpace", "join"]


class RecipeSpace(Space):
    """Recipes for the networks of a space, or for one of them.

    Its choices are those of the space and those of the recipe (`recipe/...`); what is searched,
    stored and varied are members of both, what is trained and exported are candidates: an
    architecture of the space of networks, and a recipe.

    Args:
        name: The name.
        knobs: The recipe's choices.
        base: Whose networks are trained.
        held: The one architecture of it that is trained, or None to choose that, too.
    """

    strategy = "fbnetv3"

    def __init__(
        self, name: str, knobs: Knobs, base: Space, held: Architecture | None = None
    ) -> None:
        self.knobs, self.base, self.held = knobs, base, held
        own = base.tree.choices if held is None else ()
        super().__init__(name, ChoiceTree((*own, *knobs.choices)))
        self.evaluator = base.evaluator

    @property
    def networks(self) -> str:
        """Name of the space of networks."""
        return self.base.networks

    @property
    def scale(self) -> Mapping[str, Any]:
        """As of the space of networks."""
        return self.base.scale

    @property
    def least(self) -> Mapping[str, int]:
        """As of the space of networks."""
        return getattr(self.base, "least", {})

    @property
    def multiple(self) -> Mapping[str, int]:
        """As of the space of networks."""
        return getattr(self.base, "multiple", {})

    def check_scale(self, scale: Mapping[str, Any]) -> None:
        """As the space of networks does."""
        self.base.check_scale(scale)

    def default_input(self, architecture: Architecture) -> tuple[tuple[int, int, int], int]:
        """As of the space of networks."""
        return self.base.default_input(self.architecture_of(architecture))

    def shapes(
        self, input_shape: tuple[int, int, int], num_classes: int, **scale: Any
    ) -> tuple[tuple[int, ...], tuple[int, ...]] | None:
        """As of the space of networks."""
        return self.base.shapes(input_shape, num_classes, **scale)

    def refusal(self, choices: Mapping[str, Any]) -> str:
        """What the space of networks says of its part."""
        return "" if self.held else self.base.refusal(self._own(choices))

    def candidate(self, architecture: Architecture) -> Candidate:
        """The architecture of the space of networks, and the recipe."""
        recipe = Recipe(self.knobs.settings(self._mine(architecture)))
        return Candidate(self.architecture_of(architecture), recipe)

    def member(self, candidate: Candidate) -> Architecture:
        """The inverse of `candidate`.

        Raises:
            SpaceError: The candidate has no recipe of this space.
        """
        if candidate.recipe is None:
            raise SpaceError("the candidate has no recipe", "give it one")
        own = {} if self.held else candidate.architecture.choices
        return self.architecture({**own, **self.knobs.values(candidate.recipe.settings)})

    def architecture_of(self, architecture: Architecture) -> Architecture:
        """The part that is a network."""
        choices = self._mine(architecture)
        return self.held or self.base.architecture(self._own(choices))

    def trained_by(self, architecture: Architecture, values: Mapping[str, Value]) -> Architecture:
        """The member of the same network with other choices of a recipe.

        Args:
            architecture: The member.
            values: Of the recipe's active choices, such as `Knobs.nearest` gives.
        """
        return self.architecture({**self._own(self._mine(architecture)), **values})

    def recipes_of(self, network: Architecture) -> RecipeSpace:
        """The space of the same recipes for one architecture of the space of networks."""
        name = f"{self.base.name}:{network.id}+{self.name.rpartition('+')[2]}"
        return recipe_space(name, self.knobs, self.base, network)

    def canonical(self, architecture: Architecture) -> Architecture:
        """The same recipe with the representative of the network."""
        if self.held:
            return architecture
        network = self.base.canonical(self.architecture_of(architecture))
        # The representative need not have all choices of the network's own active.
        recipe = {n: v for n, v in architecture.choices.items() if n.startswith(PREFIX)}
        return self.architecture({**recipe, **network.choices})

    def graph(self, architecture: Architecture) -> nx.DiGraph:
        """That of the network."""
        return self.base.graph(self.architecture_of(architecture))

    def network(
        self,
        architecture: Architecture,
        input_shape: tuple[int, int, int] = (3, 32, 32),
        num_classes: int = 10,
        **scale: Any,
    ) -> nn.Module:
        """The network, as the space of networks builds it."""
        return self.base.network(
            self.architecture_of(architecture), input_shape, num_classes, **scale
        )

    @staticmethod
    def _own(choices: Mapping[str, Any]) -> dict[str, Any]:
        return {name: value for name, value in choices.items() if not name.startswith(PREFIX)}


class CostedRecipeSpace(RecipeSpace):
    """Recipes for networks that are counted by arithmetic."""

    def cost(
        self,
        architecture: Architecture,
        input_shape: tuple[int, ...] = (3, 32, 32),
        num_classes: int = 10,
        **scale: Any,
    ) -> Any:
        """As the space of networks counts."""
        assert isinstance(self.base, Costed)
        network = self.architecture_of(architecture)
        return self.base.cost(network, input_shape, num_classes, **scale)


def recipe_space(
    name: str, knobs: Knobs, base: Space, held: Architecture | None = None
) -> RecipeSpace:
    """The space of recipes for networks that are counted by arithmetic, or for others."""
    kind = CostedRecipeSpace if isinstance(base, Costed) else RecipeSpace
    return kind(name, knobs, base, held)


def join(base: Space, member: str, recipes: Space) -> RecipeSpace:
    """The space of networks and recipes that is called ``base+recipes``.

    Args:
        base: Whose networks are trained.
        member: Name or notation of the one of them that is trained, or its choices as a JSON
            object; empty for all.
        recipes: A space of recipes, whose own networks are left aside.

    Raises:
        SpaceError: They cannot be joined, or there is no such member.
    """
    if not isinstance(recipes, RecipeSpace):
        raise SpaceError(f"{recipes.name!r} is no space of recipes", f"say {base.name}+recipe")
    if isinstance(base, RecipeSpace):
        raise SpaceError(f"{base.name!r} has recipes already", f"say {base.networks}+recipe")
    held = _named(base, member) if member else None
    name = f"{base.name}:{member}" if member else base.name
    return recipe_space(f"{name}+{recipes.name}", recipes.knobs, base, held)


def _named(base: Space, member: str) -> Architecture:
    from nas.core.registry import close_matches

    if member in base.members:
        return base.members[member]
    if member.startswith("{"):  # the only way in spaces without a notation of their own
        try:
            return base.architecture(json.loads(member))
        except json.JSONDecodeError as error:
            raise SpaceError(f"{member!r} is no JSON: {error}", "give all choices") from None
    try:
        return base.parse(member)
    except UnsupportedError as error:
        raise SpaceError(
            f"{base.name} has no member {member!r}", "give its choices as a JSON object"
        ) from error
    except SpaceError as error:
        hint = close_matches(member, base.members)
        raise SpaceError(f"{base.name} has no member {member!r}", hint) from error
