"""What strategies need to know of a space of cells; torch-free."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, Final, Protocol, runtime_checkable

from nas.core.architecture import Architecture
from nas.core.choices import Categorical
from nas.core.tree import ChoiceTree
from search_spaces.edges import Edge

__all__ = ["PARTIAL", "CellSpace", "legal_operations", "variants_of"]

PARTIAL: Final = "pc-darts"
"""The variant of a supernet with partial channels and weights of edges."""


@runtime_checkable
class CellSpace(Protocol):
    """A space whose members are cells with an operation on each of some edges.

    Any class with these attributes is one; `search_spaces.stacked.EdgeSpace` has much of it done.

    Attributes:
        edges: Edges of a supernet, with their candidates there.
        inputs_per_node: How many edges of a node a member keeps; None for all.
    """

    name: str
    tree: ChoiceTree
    edges: tuple[Edge, ...]
    inputs_per_node: int | None

    @abstractmethod
    def operations(self, architecture: Architecture) -> dict[str, str]:
        """Edge name to operation."""
        ...

    @abstractmethod
    def from_operations(self, operations: Mapping[str, str]) -> Architecture:
        """Undo of `operations`."""
        ...

    @abstractmethod
    def strongest(
        self,
        mixture: Mapping[str, Sequence[Sequence[float]]],
        edge_weights: Mapping[str, Sequence[float]] | None = None,
    ) -> Architecture:
        """The member with the largest weights of a mixture."""
        ...

    @abstractmethod
    def supernet(
        self,
        input_shape: tuple[int, int, int] = (3, 32, 32),
        num_classes: int = 10,
        **scale: Any,
    ) -> Any:
        """The weight-sharing network (`search_spaces.supernet.Supernet`)."""
        ...


def legal_operations(space: CellSpace) -> dict[str, tuple[str, ...]]:
    """Operations a member of the space may have on each edge; fewer than in a supernet.

    The supernet of the DARTS space mixes `none` in, which no member has.
    """
    return {
        choice.name: tuple(str(option) for option in choice.options)
        for choice, _ in space.tree.slots
        if isinstance(choice, Categorical)
    }


def variants_of(space: CellSpace) -> tuple[str, ...]:
    """Values of ``variant`` that the space's `supernet` takes.

    A space says so in its attribute ``variants``; one that does not is never asked for a variant
    and has the plain relaxation, ``darts``, alone.
    """
    variants: tuple[str, ...] = getattr(space, "variants", ("darts",))
    return variants
