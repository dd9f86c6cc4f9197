"""Spaces of cells that a skeleton stacks into a network: what their builders share; torch-free."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, final

from nas.core.architecture import Architecture
from nas.core.errors import SpaceError
from nas.core.space import Space
from search_spaces.cell import PARTIAL, CellSpace
from search_spaces.costs import Cost
from search_spaces.scale import InputShape, Skeleton, check_input, read_scale

if TYPE_CHECKING:
    from torch import nn

    from search_spaces.choose import Choose
    from search_spaces.layers import Build
    from search_spaces.supernet import Supernet

__all__ = ["EdgeSpace", "StackedSpace"]

_PUBLISHED_K = 4
"""K of PC-DARTS as published for CIFAR-10."""


class StackedSpace(Space):
    """A space whose networks are a skeleton around cells; a space adds what it puts there.

    Attributes:
        least: The smallest values of `scale` that can be built, where it is not 1.
        multiple: What the values of `scale` must be multiples of, where it is not 1.
    """

    least: Mapping[str, int]
    multiple: Mapping[str, int] = {}

    @final
    def network(
        self,
        architecture: Architecture,
        input_shape: InputShape = (3, 32, 32),
        num_classes: int = 10,
        **scale: Any,
    ) -> nn.Module:
        """Build the network of one architecture for training on its own.

        Args:
            architecture: A member.
            input_shape: Channels, height, width.
            num_classes: Number of logits.
            **scale: Settings of `scale`.

        Raises:
            SpaceError: An argument is unknown or out of range.
        """
        skeleton = self._skeleton(self.scale, scale, input_shape, num_classes)
        return self._network(architecture, skeleton)

    @final
    def cost(
        self,
        architecture: Architecture,
        input_shape: InputShape = (3, 32, 32),
        num_classes: int = 10,
        **scale: Any,
    ) -> Cost:
        """Count parameters (without auxiliary head) and multiply-accumulates by arithmetic.

        Raises:
            SpaceError: An argument is unknown or out of range.
        """
        skeleton = self._skeleton(self.scale, scale, input_shape, num_classes)
        return self._cost(architecture, skeleton)

    @final
    def _skeleton(
        self,
        defaults: Mapping[str, Any],
        scale: Mapping[str, Any],
        input_shape: InputShape,
        num_classes: int,
        partial: int = 1,
    ) -> Skeleton:
        multiple = {name: factor * partial for name, factor in self.multiple.items()}
        settings = read_scale(defaults, scale, self.least, multiple)
        check_input(input_shape, num_classes)
        auxiliary = bool(settings.get("auxiliary", False))
        channels, layers = settings["channels"], settings["layers"]
        return Skeleton(input_shape, num_classes, channels, layers, auxiliary)

    # -- what a space provides --------------------------------------------------------------

    @abstractmethod
    def _network(self, architecture: Architecture, skeleton: Skeleton) -> nn.Module:
        """Build a network whose arguments are checked."""

    @abstractmethod
    def _cost(self, architecture: Architecture, skeleton: Skeleton) -> Cost:
        """Count a network whose arguments are checked."""


class EdgeSpace(StackedSpace, CellSpace):
    """A stacked space with an operation on each edge of its cells, and so with a supernet.

    Attributes:
        variants: What `supernet` may be asked for (see `search_spaces.cell.variants_of`).
    """

    variants: tuple[str, ...]

    @property
    @abstractmethod
    def supernet_scale(self) -> Mapping[str, Any]:
        """Defaults of `supernet`."""

    @final
    def build(
        self,
        choose: Choose,
        input_shape: InputShape = (3, 32, 32),
        num_classes: int = 10,
        **scale: Any,
    ) -> nn.Module:
        """Build a network: the only definition there is, for discrete ones and supernets.

        Args:
            choose: ``Fixed(operations)`` or ``Mixed()``.
            input_shape: Channels, height, width.
            num_classes: Number of logits.
            **scale: ``channels``, ``layers``, ``auxiliary``.

        Raises:
            SpaceError: An argument is unknown or out of range.
        """
        return self._build(choose, self._skeleton(self.scale, scale, input_shape, num_classes))

    @final
    def supernet(
        self,
        input_shape: InputShape = (3, 32, 32),
        num_classes: int = 10,
        *,
        variant: str = "darts",
        partial: int | None = None,
        fast: bool = True,
        **scale: Any,
    ) -> Supernet:
        """Build the supernet.

        Args:
            input_shape: Channels, height, width.
            num_classes: Number of logits.
            variant: One of `variants`: ``darts``, or ``pc-darts`` for partial channels and edge
                weights.
            partial: K of PC-DARTS, at least 1: operations see 1/K of the channels; None for 4.
            fast: Lay it out for the machine; the plain form computes the same.
            **scale: ``channels``, ``layers``.

        Raises:
            SpaceError: An argument is unknown or out of range.
        """
        from search_spaces.plain import PlainSupernet

        if partial is not None and PARTIAL not in self.variants:
            scale["partial"] = partial  # a setting like any other that this space does not know
        divisor = self._divisor(variant, _PUBLISHED_K if partial is None else partial)
        skeleton = self._skeleton(self.supernet_scale, scale, input_shape, num_classes, divisor)

        def build(choose: Choose) -> nn.Module:
            return self._build(choose, skeleton)

        if not fast:
            return PlainSupernet(build, self.edges, partial=divisor)
        return self._fast_supernet(build, divisor)

    @final
    def _divisor(self, variant: str, partial: int) -> int:
        """The operations of a supernet see one of so many channels."""
        where, least, wrong = f"on {self.name}", "", variant not in self.variants
        if PARTIAL in self.variants:
            where, least = f"with partial={partial}", ", and partial >= 1"
            wrong = wrong or partial < 1
        if wrong:
            known = " or ".join(self.variants)
            raise SpaceError(f"no supernet variant {variant!r} {where}", f"expected {known}{least}")
        return partial if variant == PARTIAL else 1

    @final
    def _network(self, architecture: Architecture, skeleton: Skeleton) -> nn.Module:
        from search_spaces.choose import Fixed

        return self._build(Fixed(self.operations(architecture)), skeleton)

    @final
    def _build(self, choose: Choose, skeleton: Skeleton) -> nn.Module:
        make, operation = self._parts()
        return make(
            choose.names(self.edges),
            skeleton.input_shape,
            skeleton.num_classes,
            channels=skeleton.channels,
            layers=skeleton.layers,
            auxiliary=skeleton.auxiliary,
            search=choose.search,
            build=choose.build(operation),
        )

    # -- what a space provides --------------------------------------------------------------

    @abstractmethod
    def _parts(self) -> tuple[Callable[..., nn.Module], Build]:
        """The class of the networks, an `EdgeNetwork`, and the builder of its operations."""

    @abstractmethod
    def _fast_supernet(self, build: Callable[[Choose], nn.Module], partial: int) -> Supernet:
        """The supernet laid out for the machine; `partial` is 1 except for ``pc-darts``."""
