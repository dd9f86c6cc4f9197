"""What the networks of the cell spaces have in common.

An exported ``model.py`` holds the source of these classes too, so they need torch only.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping

from torch import nn

from search_spaces.layers import Build, DropPath, Form, form_of
from search_spaces.scale import Skeleton

__all__ = ["CellNetwork", "EdgeNetwork"]


class CellNetwork(nn.Module):
    """A network of cells, maps images ``(B, C, H, W)`` to logits ``(B, classes)``.

    Attributes:
        arguments: What it was made from, as plain values.
        recordable: A pass does the same work every time (see `nas.training.gradients`).
    """

    recordable = True

    def __init__(self, arguments: Mapping[str, object]) -> None:
        super().__init__()
        self.arguments = dict(arguments)

    def set_drop_path(self, p: float) -> None:
        """Drop what ``DropPath`` layers see for a sample with probability ``p``, in train mode.

        Raises:
            ValueError: ``p`` is not in [0, 1).
        """
        if not 0.0 <= p < 1.0:
            raise ValueError(f"drop-path probability must be in [0, 1), got {p}")
        for module in self.modules():
            if isinstance(module, DropPath):
                module.p = p


class EdgeNetwork(CellNetwork, ABC):
    """A network whose cells have an operation, or a mixture of several, on each edge.

    In train mode a network with an auxiliary head returns ``(logits, auxiliary logits)``.

    Args:
        operations: Edge name to what lies on it, a name that ``build`` understands.
        input_shape: Channels, height, width.
        num_classes: Number of logits.
        channels: Channels of the first cells.
        layers: Number of cells, or of those in each stage where there are stages; >= 1.
        auxiliary: Add the auxiliary head.
        search: Use the form of batch normalisation that supernets have.
        build: Builds the module of an edge from name, channels, stride and form; by default one
            operation of the space.

    Attributes:
        arguments: The arguments, except ``build``.
    """

    def __init__(
        self,
        operations: Mapping[str, str],
        input_shape: tuple[int, int, int],
        num_classes: int,
        *,
        channels: int,
        layers: int,
        auxiliary: bool = False,
        search: bool = False,
        build: Build | None = None,
    ) -> None:
        super().__init__(
            {
                "operations": dict(operations),
                "input_shape": tuple(input_shape),
                "num_classes": num_classes,
                "channels": channels,
                "layers": layers,
                "auxiliary": auxiliary,
                "search": search,
            }
        )
        skeleton = Skeleton(input_shape, num_classes, channels, layers, auxiliary)
        self._lay_out(operations, skeleton, form_of(search), build or self._build_operation)

    @abstractmethod
    def _lay_out(
        self, operations: Mapping[str, str], skeleton: Skeleton, form: Form, build: Build
    ) -> None:
        """Make all layers."""

    @staticmethod
    @abstractmethod
    def _build_operation(name: str, channels: int, stride: int, form: Form) -> nn.Module:
        """Build one operation of an edge."""
