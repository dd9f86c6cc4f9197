"""A graph network that ranks: the encoder of RANK-NOSH, on dense batches of small graphs.

Graph isomorphism network after Xu et al., ICLR 2019, with arch2vec's size (five hops, 128 units);
messages along and against the edges have weights of their own, because cells are directed.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, Final

import numpy as np
import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional

from nas.core.architecture import Architecture
from nas.core.space import Space
from predictors.base import Batch, Predictor, PredictorSettings
from predictors.encodings.base import Encoding, make_encoder
from predictors.encodings.graphs import Reader
from predictors.labels import Floats, Labels, Prediction
from predictors.pairs import Mode, Pairs, make_pairs

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
        size, cells = self.reader.width, len(self.reader.cells)
        split = torch.from_numpy(codes.astype(np.float32)).view(len(codes), cells, -1)
        edges, rest = split[..., : size * size], split[..., size * size :]
        operations, inputs, outputs, live = rest.reshape(len(codes), cells, 4, size).unbind(-2)
        ends = torch.stack([inputs, outputs], -1)
        kinds = functional.one_hot(operations.long(), self.labels - 2).float()
        vertices = torch.cat([kinds, ends], -1) * live[..., None]
        return vertices, edges.reshape(len(codes), cells, size, size), live


class GraphNetwork(nn.Module):
    """Scores of graphs; the same for isomorphic ones, and none depends on others of a batch.

    Args:
        labels: Width of a vertex's description.
        cells: Kinds of cells; each has its own readout.
        vectors: Width of what is known besides, 0 for nothing.
        hidden: Units.
        hops: Rounds of messages.
    """

    def __init__(self, labels: int, cells: int, vectors: int, hidden: int, hops: int) -> None:
        super().__init__()
        self.first = nn.Linear(labels, hidden)
        self.hops = nn.ModuleList(
            nn.ModuleDict(
                {
                    "gather": nn.Linear(3 * hidden, hidden),
                    "norm": nn.LayerNorm(hidden),
                    "mix": nn.Linear(hidden, hidden),
                }
            )
            for _ in range(hops)
        )
        self.head = nn.Sequential(
            nn.Linear(2 * cells * hidden + vectors, hidden), nn.ReLU(), nn.Linear(hidden, 1)
        )

    def forward(self, vertices: Tensor, edges: Tensor, live: Tensor, vectors: Tensor) -> Tensor:
        """Scores ``(n,)``; see `GraphCode.decode`, and ``vectors (n, width)``."""
        mask = live[..., None]
        state = self.first(vertices) * mask
        backward = edges.transpose(-1, -2)
        for hop in self.hops:
            assert isinstance(hop, nn.ModuleDict)
            around = torch.cat([state, backward @ state, edges @ state], -1)
            message = hop["mix"](functional.relu(hop["norm"](hop["gather"](around))))
            state = (state + message) * mask
        total = state.sum(-2) / live.sum(-1, keepdim=True).clamp(min=1)
        highest = state.masked_fill(mask == 0, -1e4).amax(-2).clamp(min=-1e3)
        read = torch.cat([total, highest], -1).flatten(1)
        scores: Tensor = self.head(torch.cat([read, vectors], -1)).squeeze(-1)
        return scores


class PairwiseGin(Predictor):
    """A graph network trained by the logistic loss over pairs; it knows no deviation."""

    Settings: ClassVar[type[PredictorSettings]] = GinSettings
    ranks: ClassVar[bool] = True

    def _learn(self, batch: Batch, labels: Labels) -> None:
        settings = self.settings
        self._codes = make_encoder(self.space, (GraphCode,))
        (self._reading,) = self._codes.encodings
        pairs = make_pairs(labels, settings.mode, settings.pairs, np.random.default_rng(self.seed))
        inputs = self._tensors(batch, slice(None))
        with torch.random.fork_rng(devices=[]), torch.enable_grad():
            torch.manual_seed(self.seed)
            assert isinstance(self._reading, GraphCode)
            self._network = GraphNetwork(
                self._reading.labels,
                len(self._reading.reader.cells),
                inputs[-1].shape[1],
                settings.hidden,
                settings.hops,
            )
            self._train(inputs, pairs)
        self._centre = float(self._scores(batch).mean())

    def _train(self, inputs: tuple[Tensor, ...], pairs: Pairs) -> None:
        settings = self.settings
        better, worse = torch.from_numpy(pairs.better), torch.from_numpy(pairs.worse)
        weight = torch.from_numpy(pairs.weight / pairs.weight.sum()).float()
        optimizer = torch.optim.AdamW(
            self._network.parameters(), settings.learning_rate, weight_decay=settings.weight_decay
        )
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, settings.steps)
        for _ in range(settings.steps):
            scores = self._network(*inputs)
            loss = (weight * functional.softplus(scores[better] - scores[worse])).sum()
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            schedule.step()

    def _expect(self, batch: Batch) -> Prediction:
        scores = self._scores(batch) - self._centre
        return Prediction(scores, np.zeros(len(scores)))

    @torch.no_grad()
    def _scores(self, batch: Batch) -> Floats:
        starts = range(0, len(batch.architectures), _CHUNK)
        parts = [self._network(*self._tensors(batch, slice(s, s + _CHUNK))) for s in starts]
        return np.asarray(torch.cat(parts).double().numpy(), np.float64)

    def _tensors(self, batch: Batch, part: slice) -> tuple[Tensor, ...]:
        assert isinstance(self._reading, GraphCode)
        graphs = self._reading.decode(self._codes(batch.architectures[part]))
        width = None if self.settings.vectors else 0
        return *graphs, torch.from_numpy(batch.vectors[part, :width]).float()
