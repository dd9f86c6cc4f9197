"""The one definition of NAS-Bench-201 networks: discrete ones and the plain supernet alike."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import Tensor, nn

from search_spaces.edges import split_edge
from search_spaces.layers import (
    AuxiliaryHead,
    CellNodes,
    Form,
    ResidualReduction,
    form_of,
    norm,
    set_drop_path,
)
from search_spaces.nasbench201.operations import build_operation

__all__ = ["NODES", "STAGES", "NasBench201Network"]

STAGES = 3
"""Stages of equal resolution; each has twice the channels of the one before."""

NODES = (1, 2, 3)
"""The nodes of a cell that have incoming edges; node 0 is the input, node 3 the output."""


class NasBench201Network(nn.Module):
    """Stem, three stages of cells with residual blocks between, classifier (section 2.1).

    Only the cells depend on the form of batch normalisation: stem, residual blocks and the last
    normalisation are affine in a supernet, too.

    Args:
        operations: Edge name to what lies on it, a name that ``build`` understands.
        input_shape: Channels, height, width.
        num_classes: Number of logits.
        channels: Channels of the first stage, >= 1.
        layers: Cells per stage, >= 1.
        auxiliary: Add an auxiliary head where the last stage begins; the benchmark has none.
        search: Use the form of batch normalisation that supernets have.
        build: Builds the module of an edge from name, channels, stride and form.

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
        build: Callable[[str, int, int, Form], nn.Module] = build_operation,
    ) -> None:
        super().__init__()
        self.arguments: dict[str, object] = {
            "operations": dict(operations),
            "input_shape": tuple(input_shape),
            "num_classes": num_classes,
            "channels": channels,
            "layers": layers,
            "auxiliary": auxiliary,
            "search": search,
        }
        inside = form_of(search)
        outside = Form(affine=True, running=inside.running, pools=False)
        self.stem = nn.Conv2d(input_shape[0], channels, 3, padding=1, bias=False)
        self.stem_norm = norm(channels, outside)
        self.blocks = nn.ModuleList()
        for stage in range(STAGES):
            if stage:
                self.blocks.append(ResidualReduction(channels, 2 * channels, outside))
                channels *= 2
            for _ in range(layers):
                edges: dict[tuple[int, int], nn.Module] = {}
                for name, operation in operations.items():
                    _, node, source = split_edge(name)
                    edges[node, source] = build(operation, channels, 1, inside)
                self.blocks.append(CellNodes(NODES, edges))
        self.last_norm = norm(channels, outside)
        self.classifier = nn.Linear(channels, num_classes)
        self.auxiliary_index = (STAGES - 1) * (layers + 1) - 1
        self.auxiliary_head: nn.Module | None = None
        if auxiliary:
            height, width = (-(-side // 2 ** (STAGES - 1)) for side in input_shape[1:])
            self.auxiliary_head = AuxiliaryHead(channels, (height, width), num_classes)

    def forward(self, x: Tensor) -> Tensor | tuple[Tensor, Tensor]:
        """Map images ``(B, C, H, W)`` to logits ``(B, classes)``.

        In train mode a network with an auxiliary head returns ``(logits, auxiliary logits)``.
        """
        x = self.stem_norm(self.stem(x))
        auxiliary: Tensor | None = None
        for index, block in enumerate(self.blocks):
            x = block([x])[-1] if isinstance(block, CellNodes) else block(x)
            if self.training and self.auxiliary_head is not None and index == self.auxiliary_index:
                auxiliary = self.auxiliary_head(x)
        logits: Tensor = self.classifier(torch.relu(self.last_norm(x)).mean((2, 3)))
        return logits if auxiliary is None else (logits, auxiliary)

    def set_drop_path(self, p: float) -> None:
        """Drop every edge but identities for a sample with probability ``p``, in train mode.

        Raises:
            ValueError: ``p`` is not in [0, 1).
        """
        set_drop_path(self, p)
