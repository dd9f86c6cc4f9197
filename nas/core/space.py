"""The face of a search space: a tree of choices, a graph and one builder of networks."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final, Protocol, runtime_checkable

import numpy as np

from nas.core.architecture import Architecture, Candidate, read_envelope
from nas.core.errors import SpaceError, UnsupportedError
from nas.core.tree import ChoiceTree

if TYPE_CHECKING:
    import networkx as nx
    from torch import nn

ATTEMPTS: Final = 10_000
"""Assignments drawn before a space whose constraint refuses all of them is given up."""


@runtime_checkable
class Costed(Protocol):
    """A space that counts by arithmetic, without torch."""

    def cost(
        self,
        architecture: Architecture,
        input_shape: tuple[int, ...],
        num_classes: int,
        **scale: Any,
    ) -> Any:
        """An object with `params` and `macs`."""
        ...


class Space(ABC):
    """A search space.

    Sampling, variation, enumeration, encoding and JSON are derived from `tree`; a space adds
    what only it knows: the graph, the networks and the notation of its field. A space whose
    members are not a whole tree overrides `refusal` (and `size`): sampling and mutation then draw
    again, enumeration and neighbours leave out.

    Args:
        name: The name under which the space is registered.
        tree: Its choices.
    """

    evaluator: str = "train"
    """Registered evaluator of its candidates where a search asks for no other."""

    strategy: str = ""
    """Registered strategy where a search asks for no other and trains; empty for `darts` where
    there is a supernet, else one that samples."""

    def __init__(self, name: str, tree: ChoiceTree) -> None:
        self.name = name
        self.tree = tree

    @property
    def size(self) -> int | None:
        """Number of distinct assignments; None if a choice is a real range."""
        return self.tree.size

    @property
    def networks(self) -> str:
        """Name of the space whose networks its candidates have: its own for most."""
        return self.name

    @property
    def members(self) -> Mapping[str, Architecture]:
        """Published architectures by name."""
        return {}

    @property
    def scale(self) -> Mapping[str, Any]:
        """The macro settings `network` takes besides, with their defaults."""
        return {}

    def check_scale(self, scale: Mapping[str, Any]) -> None:
        """Refuse macro settings that are out of range; the default refuses none.

        Args:
            scale: Every setting of `scale`, of the type of its default.

        Raises:
            SpaceError: A setting is out of range.
        """
        return None

    def default_input(self, architecture: Architecture) -> tuple[tuple[int, int, int], int]:
        """Shape of an image and number of classes where a size is asked for and nobody says.

        Those that the networks of the field are published for; the default: CIFAR-10's.
        """
        return (3, 32, 32), 10

    def shapes(
        self, input_shape: tuple[int, int, int], num_classes: int, **scale: Any
    ) -> tuple[tuple[int, ...], tuple[int, ...]] | None:
        """Shape of one input of its networks and of what they make of it.

        The default: the image, and logits of the classes; None where the space names an evaluator
        that classifies no images, and only that evaluator knows.

        Args:
            input_shape: Channels, height and width of one image of the data.
            num_classes: Of the data.
            **scale: Macro settings, keys of `scale`.
        """
        return (input_shape, (num_classes,)) if self.evaluator == "train" else None

    def sample(self, rng: np.random.Generator) -> Architecture:
        """A random member: every active choice uniform over its values, refused ones redrawn."""
        return self._member(self._allowed(lambda: self.tree.sample(rng)))

    def mutate(self, architecture: Architecture, rng: np.random.Generator) -> Architecture:
        """A member that differs in exactly one choice active in both (and what it activates)."""
        mine = self._mine(architecture)
        return self._member(self._allowed(lambda: self.tree.mutate(mine, rng)))

    def crossover(
        self, first: Architecture, second: Architecture, rng: np.random.Generator
    ) -> Architecture:
        """A member each of whose choices comes from either parent, uniformly."""
        parents = self._mine(first), self._mine(second)
        return self._member(self._allowed(lambda: self.tree.crossover(*parents, rng)))

    def neighbors(self, architecture: Architecture) -> Iterator[Architecture]:
        """The members one step away in one choice."""
        near = self.tree.neighbors(self._mine(architecture))
        return (self._member(choices) for choices in near if not self.refusal(choices))

    def enumerate(self) -> Iterator[Architecture]:
        """All members, lazily.

        Raises:
            SpaceError: A choice is a real range.
        """
        every = self.tree.enumerate()
        return (self._member(choices) for choices in every if not self.refusal(choices))

    def refusal(self, choices: Mapping[str, Any]) -> str:
        """Why a valid assignment of the tree is no member, in a few words; empty if it is one.

        The default refuses none.
        """
        return ""

    def encode(self, architecture: Architecture) -> np.ndarray[Any, np.dtype[np.float64]]:
        """Float vector `(tree.encoding_size,)` in [0, 1]."""
        return self.tree.encode(self._mine(architecture))

    def decode(self, code: np.ndarray[Any, np.dtype[np.float64]]) -> Architecture:
        """The member whose `encode` is `code`."""
        return self.architecture(self.tree.decode(code))

    def architecture(self, choices: Mapping[str, Any]) -> Architecture:
        """The member with these choices.

        Raises:
            SpaceError: They are not a valid assignment.
        """
        valid = self.tree.validate(choices)
        if refusal := self.refusal(valid):
            raise SpaceError(f"not a member of {self.name!r}: {refusal}", "change the choices")
        return self._member(valid)

    def from_dict(self, data: Any) -> Architecture:
        """Read the content of an `architecture.json`.

        Raises:
            SpaceError: It is of another space, a newer format, edited, or no architecture.
        """
        space, choices = read_envelope(data)
        if space != self.name:
            raise SpaceError(f"architecture is of the space {space!r}", f"expected {self.name!r}")
        result = self.architecture(choices)
        written = data.get("id", result.id)
        if written != result.id:
            raise SpaceError(
                f"architecture says its id is {written!r} but its choices have {result.id!r}",
                "remove the id if the choices were edited on purpose",
            )
        return result

    def candidate(self, architecture: Architecture) -> Candidate:
        """What is evaluated for a member; the default: the member itself, by the run's recipe.

        A space whose members hold more than a network, such as settings of its training, divides
        them here; `member` puts them together again.
        """
        return Candidate(architecture)

    def member(self, candidate: Candidate) -> Architecture:
        """The member that `candidate` was made for: the inverse of `candidate`."""
        return candidate.architecture

    def canonical(self, architecture: Architecture) -> Architecture:
        """The representative of all members that compute the same function as this one.

        The default recognises no equalities beyond identity.
        """
        return architecture

    def identity(self, architecture: Architecture) -> str:
        """Id of the representative: equal for members that compute the same function."""
        return self.canonical(architecture).id

    @cached_property
    def distinct(self) -> Mapping[str, Architecture]:
        """The first member of every kind by `identity`; made once, for spaces small enough.

        Raises:
            SpaceError: A choice is a real range.
        """
        found: dict[str, Architecture] = {}
        for architecture in self.enumerate():
            found.setdefault(self.identity(architecture), architecture)
        return found

    def parse(self, text: str) -> Architecture:
        """Read the field's own notation.

        Raises:
            UnsupportedError: The space has none.
            SpaceError: The text is not a member in that notation.
        """
        raise UnsupportedError(f"space {self.name!r} has no notation of its own", "use JSON")

    def format(self, architecture: Architecture) -> str:
        """Write the field's own notation (see `parse`)."""
        raise UnsupportedError(f"space {self.name!r} has no notation of its own", "use JSON")

    @abstractmethod
    def graph(self, architecture: Architecture) -> nx.DiGraph:
        """The architecture as a directed graph with the attribute "op".

        A graph of several parts may say what to call them: its own attribute "titles" maps the
        name of a part, the "cell" of its nodes or their names up to the slash, to a title.
        """

    @abstractmethod
    def network(
        self,
        architecture: Architecture,
        input_shape: tuple[int, int, int] = (3, 32, 32),
        num_classes: int = 10,
        **scale: Any,
    ) -> nn.Module:
        """The network, newly initialised from torch's global generator.

        Args:
            architecture: A member.
            input_shape: Channels, height and width of one image.
            num_classes: Length of the logits.
            **scale: Macro settings, keys of `scale`.
        """

    def supernet(
        self,
        input_shape: tuple[int, int, int] = (3, 32, 32),
        num_classes: int = 10,
        **scale: Any,
    ) -> nn.Module:
        """The weight-sharing network of all members.

        Raises:
            UnsupportedError: The space has none.
        """
        raise UnsupportedError(
            f"space {self.name!r} has no supernet", "use a strategy that samples, e.g. random"
        )

    def _mine(self, architecture: Architecture) -> Mapping[str, Any]:
        if architecture.space != self.name:
            raise SpaceError(
                f"architecture is of the space {architecture.space!r}", f"expected {self.name!r}"
            )
        return architecture.choices

    def _allowed(self, draw: Callable[[], Mapping[str, Any]]) -> Mapping[str, Any]:
        for _ in range(ATTEMPTS):
            choices = draw()
            if not self.refusal(choices):
                return choices
        raise SpaceError(
            f"{ATTEMPTS} draws of {self.name!r} gave no member",
            "its constraint leaves (almost) nothing",
        )

    def _member(self, choices: Mapping[str, Any]) -> Architecture:
        return Architecture(self.name, choices)
