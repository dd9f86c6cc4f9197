"""What a forward pass of a supernet costs, whatever layout computes it."""

from __future__ import annotations

from torch import nn

from nas.measure.counts import count_macs_of_parts
from search_spaces.choose import MixedEdge
from search_spaces.supernet import Supernet


class SupernetCost:
    """Multiply-accumulates of a supernet, and of each operation of each edge.

    They are counted on the plain form: a fast layout may compute the same function with other
    operations, and a cost that is compared with other trainings must not depend on the layout.

    Args:
        plain: A plain supernet with nothing decided; tensors without storage will do.
        input_shape: Channels, height and width of an image.
    """

    def __init__(self, plain: nn.Module, input_shape: tuple[int, int, int]) -> None:
        parts: dict[str, nn.Module] = {}
        owners: dict[str, tuple[str, str]] = {}
        for path, module in plain.named_modules():
            if isinstance(module, MixedEdge):
                for operation, part in module.operations.items():
                    name = f"{path}.{operation}"
                    parts[name], owners[name] = part, (module.edge.name, operation)
        self._whole, found = count_macs_of_parts(plain, input_shape, parts)
        self._operations: dict[tuple[str, str], int] = {}
        for name, count in found.items():
            owner = owners[name]
            self._operations[owner] = self._operations.get(owner, 0) + count

    def forward(self, supernet: Supernet) -> float:
        """One forward pass of one image, as `supernet` is now: decided operations are gone."""
        gone = (
            count
            for (edge, operation), count in self._operations.items()
            if operation not in supernet.live(edge)
        )
        return float(self._whole - sum(gone))
