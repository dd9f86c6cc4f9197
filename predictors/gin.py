"""A graph network that ranks: the encoder of RANK-NOSH, on dense batches of small graphs.

Graph isomorphism network after Xu et al., ICLR 2019, with arch2vec's size (five hops, 128 units);
messages along and against the edges have weights of their own, because cells are directed.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar, Final

import numpy as np
from pydantic import Field

from nas.core.architecture import Architecture
from nas.core.space import Space
from predictors.base import Batch, Predictor, PredictorSettings
from predictors.encodings.base import Encoding, make_encoder
from predictors.encodings.graphs import Reader
from predictors.labels import Floats, Labels, Prediction
from predictors.pairs import Mode, make_pairs

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["GraphCode", "PairwiseGin"]

_CHUNK: Final = 2048


class GinSettings(PredictorSettings):
    """Settings of the graph network.

    Attributes:
        mode: How pairs are formed and weighted, see `predictors.pairs`.
        pairs: Most pairs that are learnt from; a random part is drawn of more.
        hops: Rounds of messages.
        hidden: Units.
        steps: Steps of AdamW on all readings.
        learning_rate: Of the first step; it falls to 0 along a cosine.
        weight_decay: Decoupled.
        vectors: Read the encoding and the statistics beside the graph.
    """

    mode: Mode = "reliability"
    pairs: int = Field(default=20_000, ge=1)
    hops: int = Field(default=5, ge=1)
    hidden: int = Field(default=128, ge=1)
    steps: int = Field(default=60, ge=1)
    learning_rate: float = Field(default=0.002, gt=0)
    weight_decay: float = Field(default=0.01, ge=0)
    vectors: bool = False


class GraphCode(Encoding):
    """Graphs as vectors that remember everything, so that reading them is paid once.

    Of each cell: edges ``V * V``, then for each vertex its operation's number, 0 for none, and
    whether it is input, output, live. Larger cells than any of the space's sample are cut short.
    """

    def __init__(self, space: Space) -> None:
        super().__init__(space)
        self.reader = Reader(space)

    @property
    def labels(self) -> int:
        """Width of a vertex's description: operations, none, input, output."""
        return len(self.reader.operations) + 3

    def encode(self, architectures: Sequence[Architecture]) -> Floats:
        """Codes ``(n, cells * (V * V + 4 V))``."""
        size = self.reader.width
        parts: list[Floats] = []
        for graphs in self.reader(architectures).values():
            edges = graphs.edges[:, :size, :size].reshape(len(architectures), -1)
            kinds = graphs.operations + 1, graphs.inputs, graphs.outputs, graphs.live
            parts += [edges.astype(np.float64), *(k[:, :size].astype(np.float64) for k in kinds)]
        return np.concatenate(parts, axis=1)

    def decode(self, codes: Floats) -> tuple[Tensor, Tensor, Tensor]:
        """Vertices ``(n, cells, V, labels)``, edges ``(.., V, V)``, live ``(.., V)``."""
        import torch
        from torch.nn import functional

        size, cells = self.reader.width, len(self.reader.cells)
        split = torch.from_numpy(codes.astype(np.float32)).view(len(codes), cells, -1)
        edges, rest = split[..., : size * size], split[..., size * size :]
        operations, inputs, outputs, live = rest.reshape(len(codes), cells, 4, size).unbind(-2)
        ends = torch.stack([inputs, outputs], -1)
        kinds = functional.one_hot(operations.long(), self.labels - 2).float()
        vertices = torch.cat([kinds, ends], -1) * live[..., None]
        return vertices, edges.reshape(len(codes), cells, size, size), live


class PairwiseGin(Predictor):
    """A graph network trained by the logistic loss over pairs; it knows no deviation."""

    Settings: ClassVar[type[PredictorSettings]] = GinSettings
    ranks: ClassVar[bool] = True

    def _learn(self, batch: Batch, labels: Labels) -> None:
        from predictors.graph_network import trained

        settings = self.settings
        self._codes = make_encoder(self.space, (GraphCode,))
        (self._reading,) = self._codes.encodings
        pairs = make_pairs(labels, settings.mode, settings.pairs, np.random.default_rng(self.seed))
        inputs = self._tensors(batch, slice(None))
        assert isinstance(self._reading, GraphCode)
        size = self._reading.labels, len(self._reading.reader.cells), inputs[-1].shape[1]
        self._network = trained(size, inputs, pairs, settings, self.seed)
        self._centre = float(self._scores(batch).mean())

    def _expect(self, batch: Batch) -> Prediction:
        scores = self._scores(batch) - self._centre
        return Prediction(scores, np.zeros(len(scores)))

    def _scores(self, batch: Batch) -> Floats:
        from predictors.graph_network import scores

        starts = range(0, len(batch.architectures), _CHUNK)
        parts = (self._tensors(batch, slice(start, start + _CHUNK)) for start in starts)
        return scores(self._network, parts)

    def _tensors(self, batch: Batch, part: slice) -> tuple[Tensor, ...]:
        import torch

        assert isinstance(self._reading, GraphCode)
        graphs = self._reading.decode(self._codes(batch.architectures[part]))
        width = None if self.settings.vectors else 0
        return *graphs, torch.from_numpy(batch.vectors[part, :width]).float()
