"""The one definition of NAS-Bench-201 networks: discrete ones and the plain supernet alike."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from search_spaces.edges import split_edge
from search_spaces.layers import (
    AuxiliaryHead,
    Build,
    CellNodes,
    Form,
    ResidualReduction,
    norm,
)
from search_spaces.nasbench201.operations import build_operation
from search_spaces.nasbench201.plan import NODES, STAGES
from search_spaces.networks import EdgeNetwork
from search_spaces.scale import Skeleton

__all__ = ["NasBench201Network"]


class NasBench201Network(EdgeNetwork):
    """Stem, three stages of cells with residual blocks between, classifier (section 2.1).

    The first stage has ``channels`` channels, >= 1; ``layers`` is the number of cells a stage. An
    auxiliary head, which the benchmark has not, is where the last stage begins. Only the cells
    depend on the form of batch normalisation: stem, residual blocks and the last normalisation
    are affine in a supernet, too.
    """

    _build_operation = staticmethod(build_operation)

    def _lay_out(
        self, operations: Mapping[str, str], skeleton: Skeleton, form: Form, build: Build
    ) -> None:
        channels, layers = skeleton.channels, skeleton.layers
        outside = Form(affine=True, running=form.running, pools=False)
        self.stem = nn.Conv2d(skeleton.input_shape[0], channels, 3, padding=1, bias=False)
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
                    edges[node, source] = build(operation, channels, 1, form)
                self.blocks.append(CellNodes(NODES, edges))
        self.last_norm = norm(channels, outside)
        self.classifier = nn.Linear(channels, skeleton.num_classes)
        self.auxiliary_index = (STAGES - 1) * (layers + 1) - 1
        self.auxiliary_head: nn.Module | None = None
        if skeleton.auxiliary:
            height, width = (-(-side // 2 ** (STAGES - 1)) for side in skeleton.size)
            self.auxiliary_head = AuxiliaryHead(channels, (height, width), skeleton.num_classes)

    def forward(self, x: Tensor) -> Tensor | tuple[Tensor, Tensor]:
        """Map images ``(B, C, H, W)`` to logits ``(B, classes)`` (see `EdgeNetwork`)."""
        x = self.stem_norm(self.stem(x))
        auxiliary: Tensor | None = None
        for index, block in enumerate(self.blocks):
            x = block([x])[-1] if isinstance(block, CellNodes) else block(x)
            if self.training and self.auxiliary_head is not None and index == self.auxiliary_index:
                auxiliary = self.auxiliary_head(x)
        logits: Tensor = self.classifier(torch.relu(self.last_norm(x)).mean((2, 3)))
        return logits if auxiliary is None else (logits, auxiliary)
