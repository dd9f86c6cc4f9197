"""The network of `pairwise-gin`: what of it needs torch."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from predictors.labels import Floats
from predictors.pairs import Pairs

__all__ = ["GraphNetwork", "scores", "trained"]


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


def trained(
    size: tuple[int, int, int], inputs: tuple[Tensor, ...], pairs: Pairs, settings: Any, seed: int
) -> GraphNetwork:
    """A network that has learnt pairs of the graphs in `inputs`; torch's own chance is left alone.

    Args:
        size: Width of a vertex's description, kinds of cells, width of the vectors.
        inputs: Arguments of `GraphNetwork.forward`.
        pairs: Rows of them that win and lose.
        settings: A `predictors.gin.GinSettings`.
        seed: Of the first weights.
    """
    better, worse = torch.from_numpy(pairs.better), torch.from_numpy(pairs.worse)
    weight = torch.from_numpy(pairs.weight / pairs.weight.sum()).float()
    with torch.random.fork_rng(devices=[]), torch.enable_grad():
        torch.manual_seed(seed)
        network = GraphNetwork(*size, settings.hidden, settings.hops)
        optimizer = torch.optim.AdamW(
            network.parameters(), settings.learning_rate, weight_decay=settings.weight_decay
        )
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, settings.steps)
        for _ in range(settings.steps):
            found = network(*inputs)
            loss = (weight * functional.softplus(found[better] - found[worse])).sum()
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            schedule.step()
    return network


@torch.no_grad()
def scores(network: GraphNetwork, parts: Iterable[tuple[Tensor, ...]]) -> Floats:
    """Scores ``(n,)`` of graphs that come in parts."""
    found = [network(*part) for part in parts]
    return np.asarray(torch.cat(found).double().numpy(), np.float64)
