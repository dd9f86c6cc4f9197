"""Supernets: one network that holds every architecture of a cell space as a weighted mixture.

The continuous relaxation is that of DARTS (section 2.2): each edge outputs the sum of its
candidate operations weighted by a softmax over that edge's row of architecture parameters, the
alphas. PC-DARTS adds a softmax over the edges that enter a node, the betas.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from nas.core.errors import SpaceError
from search_spaces.edges import Edge

__all__ = ["EDGES", "Edge", "Forward", "Mixture", "Structure", "Supernet", "masked"]

Mixture = Mapping[str, Tensor]
"""Weights of a mixture: group to ``(edges, operations)``; with betas, also group + EDGES to
``(edges,)``."""

Forward = Callable[[Tensor, Mixture], Tensor]
"""Images and a mixture to logits."""

Structure = dict[str, dict[str, str | None]]
"""What is decided about a supernet, as JSON."""

EDGES = "/edges"
"""Suffix of a group's name under which a mixture holds the weights of whole edges."""

_INITIAL_SCALE = 1e-3


def masked(mixture: Mixture, edge: Edge, operation: str | None = None) -> dict[str, Tensor]:
    """Return a mixture in which one operation, or one whole edge, has weight zero.

    Nothing is renormalised, and the mixture given stays as it is.

    Args:
        mixture: Weights by group.
        edge: The edge concerned.
        operation: Name of the operation; without one, the edge contributes nothing at all.
    """
    result = dict(mixture)
    table = mixture[edge.group].clone()
    if operation is None:
        table[edge.row].zero_()
        weights = mixture.get(edge.group + EDGES)
        if weights is not None:
            weights = weights.clone()
            weights[edge.row].zero_()
            result[edge.group + EDGES] = weights
    else:
        table[edge.row, edge.operations.index(operation)].zero_()  # `= 0` would wait for a GPU
    result[edge.group] = table
    return result


class Supernet(nn.Module, ABC):
    """What all supernets have in common; a layout adds ``logits`` and ``forget``.

    Batch normalisations use the statistics of the batch in train and in eval mode, so a forward
    pass changes no state.

    Attributes:
        edges: All edges of all kinds of cells.
        alphas: Group to architecture parameters ``(edges, operations)``.
        betas: Group to edge parameters ``(edges,)``; empty without partial channels.
        random: Whether a forward pass draws random numbers (the ``noise`` operation).
    """

    def __init__(self, edges: Sequence[Edge], *, edge_weights: bool = False) -> None:
        super().__init__()
        self.edges = tuple(edges)
        self.random = any("noise" in edge.operations for edge in self.edges)
        self._by_name = {edge.name: edge for edge in self.edges}
        self._decided: dict[str, str | None] = {}
        self.alphas = nn.ParameterDict()
        self.betas = nn.ParameterDict()
        for group in dict.fromkeys(edge.group for edge in self.edges):
            members = [edge for edge in self.edges if edge.group == group]
            shape = (len(members), len(members[0].operations))
            self.alphas[group] = nn.Parameter(_INITIAL_SCALE * torch.randn(shape))
            # Rows that are no longer learnt: `fixed` says which, `constant` holds their weights.
            self.register_buffer(f"_constant_{group}", torch.zeros(shape), persistent=False)
            self.register_buffer(
                f"_fixed_{group}", torch.zeros(shape[0], 1, dtype=torch.bool), persistent=False
            )
            self.register_buffer(
                f"_removed_{group}", torch.zeros(shape[0], dtype=torch.bool), persistent=False
            )
            if edge_weights:
                self.betas[group] = nn.Parameter(_INITIAL_SCALE * torch.randn(shape[0]))

    # -- what a layout provides -------------------------------------------------------------

    @abstractmethod
    def logits(self, x: Tensor, mixture: Mixture) -> Tensor:
        """Compute logits ``(B, classes)`` of images ``(B, C, H, W)`` under a mixture."""

    @abstractmethod
    def forget(self, edge: Edge, keep: str | None) -> None:
        """Free the weights of an edge's operations, except the one to keep, if any.

        Called after each decision. From then on a mixture's other weights of this edge are
        ignored.
        """

    # -- parameters -------------------------------------------------------------------------

    def alpha_parameters(self) -> list[nn.Parameter]:
        """Architecture parameters: alphas, then betas."""
        return [*self.alphas.values(), *self.betas.values()]

    def weight_parameters(self) -> list[nn.Parameter]:
        """All other parameters that are still in use."""
        architecture = {id(parameter) for parameter in self.alpha_parameters()}
        return [p for p in self.parameters() if id(p) not in architecture]

    @contextmanager
    def alphas_only(self) -> Iterator[None]:
        """Build graphs in which the weights are constants: cheapest for the step of the alphas.

        What is recorded inside may be differentiated inside or outside, in the alphas only.
        """
        weights = [p for p in self.weight_parameters() if p.requires_grad]
        for parameter in weights:
            parameter.requires_grad_(False)
        try:
            yield
        finally:
            for parameter in weights:
                parameter.requires_grad_(True)

    # -- mixture and forward ----------------------------------------------------------------

    def mixture(self) -> dict[str, Tensor]:
        """Return the current mixture weights.

        Rows of decided edges are one-hot, rows of removed edges zero; both are constants, so the
        gradient of their alphas is exactly zero. With betas, the weights of the edges that still
        enter a node sum to one.
        """
        result: dict[str, Tensor] = {}
        for group, alpha in self.alphas.items():
            fixed, constant = self._tables(group)
            result[group] = torch.where(fixed, constant, torch.softmax(alpha, dim=-1))
            if group in self.betas:
                result[group + EDGES] = self._edge_weights(group)
        return result

    def _tables(self, group: str) -> tuple[Tensor, Tensor]:
        return self.get_buffer(f"_fixed_{group}"), self.get_buffer(f"_constant_{group}")

    def _edge_weights(self, group: str) -> Tensor:
        """Softmax of the betas over the live edges of each node; removed edges get zero."""
        live = ~self.get_buffer(f"_removed_{group}")
        sizes = [len(edges) for edges in self._nodes(group).values()]
        pieces = []
        betas = torch.split(self.betas[group], sizes)
        for beta, alive in zip(betas, torch.split(live, sizes), strict=True):
            powers = torch.exp(beta - beta.detach().max()) * alive
            pieces.append(powers / powers.sum().clamp_min(torch.finfo(beta.dtype).tiny))
        return torch.cat(pieces)

    def _nodes(self, group: str) -> dict[int, list[Edge]]:
        nodes: dict[int, list[Edge]] = {}
        for edge in self.edges:
            if edge.group == group:
                nodes.setdefault(edge.node, []).append(edge)
        return nodes

    def forward(self, x: Tensor, mixture: Mixture | None = None) -> Tensor:
        """Compute logits.

        Args:
            x: Images ``(B, C, H, W)``.
            mixture: Weights to use instead of ``mixture()``. A weight of zero masks its
                operation; nothing is renormalised.

        Returns:
            Logits ``(B, classes)``.
        """
        return self.logits(x, self.mixture() if mixture is None else mixture)

    # -- perturbation -----------------------------------------------------------------------

    @torch.no_grad()
    def removals(self, x: Tensor, edge: str, forward: Forward | None = None) -> dict[str, Tensor]:
        """Measure each live operation of an edge by its absence (DARTS-PT, section 4.1).

        All variants see the same images, the same batch statistics rule and, where the space has
        noise, the same noise. No state changes, the generators' included.

        Args:
            x: Images ``(B, C, H, W)``.
            edge: Name of the edge.
            forward: Computes one variant, as ``logits`` does; by default the layout computes all
                of them together, what they share once.

        Returns:
            Operation to the logits ``(B, classes)`` of the network without it.
        """
        found = self.edge(edge)
        mixture = self.mixture()
        variants = {name: masked(mixture, found, name) for name in self.live(edge)}
        return self._compare(x, variants, forward)

    @torch.no_grad()
    def edge_removals(
        self, x: Tensor, group: str, node: int, forward: Forward | None = None
    ) -> dict[str, Tensor]:
        """Measure each remaining edge of a node by its absence.

        Args:
            x: Images ``(B, C, H, W)``.
            group: Kind of cell.
            node: Index of the node.
            forward: As for ``removals``.

        Returns:
            Name of the edge to the logits ``(B, classes)`` of the network without it.
        """
        mixture = self.mixture()
        edges = [e for e in self.edges if e.group == group and e.node == node]
        if not edges:
            raise SpaceError(f"no edges enter node {node} of {group!r}")
        variants = {e.name: masked(mixture, e) for e in edges if not self.is_removed(e.name)}
        return self._compare(x, variants, forward)

    def _compare(
        self, x: Tensor, variants: Mapping[str, Mixture], forward: Forward | None
    ) -> dict[str, Tensor]:
        """Logits of each variant; a layout may compute them together if no ``forward`` is given."""
        result = {}
        for name, mixture in variants.items():
            with self.replayed_randomness(x.device):
                result[name] = (forward or self.logits)(x, mixture)
        return result

    @contextmanager
    def replayed_randomness(self, device: torch.device) -> Iterator[None]:
        """Put the random generators back afterwards, if a forward pass uses them at all."""
        if not self.random:
            yield
            return
        devices = [device] if device.type == "cuda" else []
        with torch.random.fork_rng(devices=devices):
            yield

    # -- decisions --------------------------------------------------------------------------

    def edge(self, name: str) -> Edge:
        """Return an edge by name, or raise SpaceError."""
        try:
            return self._by_name[name]
        except KeyError:
            raise SpaceError(
                f"unknown edge {name!r}", f"edges are named like {self.edges[0].name!r}"
            ) from None

    def live(self, edge: str) -> tuple[str, ...]:
        """Operations that an edge may still have: all, the decided one, or none at all."""
        found = self.edge(edge)
        if edge not in self._decided:
            return found.operations
        operation = self._decided[edge]
        return () if operation is None else (operation,)

    def is_removed(self, edge: str) -> bool:
        """Whether an edge has been removed."""
        return edge in self._decided and self._decided[edge] is None

    def keep(self, edge: str, operation: str) -> None:
        """Decide that an edge has one operation; the others are gone for good.

        Raises:
            SpaceError: The edge does not have this operation (any more).
        """
        found = self.edge(edge)
        if operation not in self.live(edge):
            raise SpaceError(
                f"edge {edge!r} cannot keep {operation!r}",
                f"possible: {', '.join(self.live(edge)) or 'nothing, the edge is removed'}",
            )
        self._decide(found, operation)

    def remove(self, edge: str) -> None:
        """Decide that an edge is not part of the cell."""
        self._decide(self.edge(edge), None)

    def _decide(self, edge: Edge, operation: str | None) -> None:
        self._decided[edge.name] = operation
        fixed, constant = self._tables(edge.group)
        with torch.no_grad():
            fixed[edge.row] = True
            constant[edge.row] = 0
            if operation is None:
                self.get_buffer(f"_removed_{edge.group}")[edge.row] = True
            else:
                constant[edge.row, edge.operations.index(operation)] = 1
        self.forget(edge, operation)

    def decided(self) -> dict[str, str | None]:
        """Return edge to operation, or to None if removed, for all edges decided so far."""
        return dict(self._decided)

    def structure(self) -> Structure:
        """Return the decisions as JSON; with ``state_dict`` it makes a complete checkpoint."""
        return {"decided": dict(self._decided)}

    def load_structure(self, structure: Mapping[str, Mapping[str, str | None]]) -> None:
        """Repeat the decisions of a checkpoint; do this before ``load_state_dict``.

        Raises:
            SpaceError: The structure contradicts this supernet or what it has decided already.
        """
        decided = structure.get("decided", {})
        if any(name not in decided for name in self._decided):
            raise SpaceError("the supernet has decided edges that the structure leaves open")
        for name, operation in decided.items():
            if operation is None:
                self.remove(name)
            else:
                self.keep(name, operation)
