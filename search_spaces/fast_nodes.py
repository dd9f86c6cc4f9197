"""The nodes of one cell, computed source by source, for one or several variants at a time."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

import torch
from torch import Tensor
from torch.nn import functional

from search_spaces.choose import MixedEdge
from search_spaces.gains import Gains
from search_spaces.lanes import each, same
from search_spaces.layers import CellNodes
from search_spaces.leaving import Leave, Plan, PlanLeaving, plan

__all__ = ["FastNodes"]

Lanes: TypeAlias = list[Tensor]
Without: TypeAlias = frozenset[tuple[int, int]]


class FastNodes:
    """Runs the nodes of a cell from the weights of its modules.

    Args:
        inner: The nodes.
        inputs: Number of states that the cell starts from.
        operations: Names of the operations to be computed, in the order of gains.
        lay_out: How the space lays out what leaves a state.
        partial: K of PC-DARTS, 1 without partial channels.

    Attributes:
        group: Kind of cell.
        partial: K of PC-DARTS.
        sources: Number of states.
    """

    def __init__(
        self,
        inner: CellNodes,
        inputs: int,
        operations: Sequence[str],
        lay_out: PlanLeaving,
        partial: int = 1,
    ) -> None:
        modules = [m for m in inner.edges.values() if isinstance(m, MixedEdge)]
        self.group = modules[0].edge.group
        self.partial = partial
        self.sources = inputs + len(inner.nodes)
        self._inputs = inputs
        self._nodes = list(inner.nodes)
        self._operations = tuple(operations)
        self._lay_out = lay_out
        self._leaving = [
            [m for m in modules if m.edge.source == source] for source in range(self.sources)
        ]
        self._plans: dict[tuple[int, Without], Plan | None] = {}

    def refresh(self) -> None:
        """Forget what was derived from the edges' operations, after they changed."""
        self._plans.clear()

    def run(self, inputs: Sequence[Lanes], gains: Gains, leave: Leave) -> list[Lanes]:
        """Compute the nodes.

        Args:
            inputs: Input states ``(N, H, W, C)``, each per lane.
            gains: The mixtures.
            leave: How to compute what leaves a state.

        Returns:
            The states of the nodes, each per lane.
        """
        states = list(inputs)
        run = _Run(self, gains, leave, states[0][0])
        for source, edges in enumerate(self._leaving):
            if source >= self._inputs:
                states.append(run.finish(self._nodes[source - self._inputs]))
            if edges:
                run.leave_state(source, states[source])
        return states[self._inputs :]

    def edges(self, source: int) -> list[MixedEdge]:
        """Edges that leave a state."""
        return self._leaving[source]

    def plan(self, source: int, without: Without, columns: int) -> Plan | None:
        """What leaves a state, except some operations."""
        edges = self._leaving[source]
        rows = {module.edge.row for module in edges}
        key = (source, frozenset(pair for pair in without if pair[0] in rows))
        if key not in self._plans:
            found = plan(edges, self._operations, self._lay_out, columns, key[1])
            self._plans[key] = found
        return self._plans[key]


class _Run:
    """One pass through one cell: sums of what enters each node so far."""

    def __init__(self, cell: FastNodes, gains: Gains, leave: Leave, state: Tensor) -> None:
        self.cell = cell
        self.gains = gains
        self.function = leave
        self.varied = gains.varied(cell.group)
        self.columns = gains.columns(cell.group)
        self.masked = [gains.masked(lane, cell.group) for lane in range(gains.lanes)]
        stride = cell.edges(0)[0].stride
        batch, height, width, channels = state.shape
        self.size = (batch, -(-height // stride), -(-width // stride), channels)
        self.zero = state.new_zeros(()).expand(self.size)
        self.mixed: dict[int, list[Tensor | None]] = {}
        self.passed: dict[int, list[Tensor | None]] = {}
        self.noise = self._draw_noise(state)

    def _draw_noise(self, state: Tensor) -> dict[tuple[int, int], Tensor]:
        """Draw what the plain supernet draws, in its order and memory layout."""
        edges = [e for source in range(self.cell.sources) for e in self.cell.edges(source)]
        batch, height, width, channels = self.size
        shape = (batch, channels // self.cell.partial, height, width)
        drawn = {}
        for module in sorted(edges, key=lambda module: module.edge.row):
            if "noise" in module.operations:
                noise = torch.randn(shape, dtype=state.dtype, device=state.device)
                drawn[module.edge.node, module.edge.source] = noise.permute(0, 2, 3, 1)
        return drawn

    # -- what enters a node -----------------------------------------------------------------

    def finish(self, node: int) -> Lanes:
        """The state of a node all of whose sources have left."""
        lanes = self.gains.lanes
        mixed = self.mixed.get(node, [None] * lanes)
        if self.cell.partial == 1:
            return each(lambda y: self.zero if y is None else y, mixed)
        return each(self._shuffle, mixed, self.passed[node])

    def _shuffle(self, mixed: Tensor | None, passed: Tensor) -> Tensor:
        """Join the two parts of the channels and interleave them (PC-DARTS)."""
        inner = self.size[-1] // self.cell.partial
        first = self.zero[..., :inner] if mixed is None else mixed
        joined = torch.cat([first, passed], dim=-1)
        blocks = torch.unflatten(joined, -1, (self.cell.partial, inner))
        return blocks.transpose(-1, -2).flatten(-2)

    def _add(self, node: int, terms: Sequence[Tensor | None]) -> None:
        self.mixed[node] = _sum(self.mixed.get(node), terms)

    # -- what leaves a state ----------------------------------------------------------------

    def leave_state(self, source: int, state: Lanes) -> None:
        """Add what a state contributes to all nodes."""
        edges = self.cell.edges(source)
        inner = state
        if self.cell.partial > 1:
            self._pass(edges, state)
            width = self.size[-1] // self.cell.partial
            inner = each(lambda h: h[..., :width].contiguous(), state)
        varied = [module for module in edges if module.edge.row in self.varied]
        if not varied:
            self._leave(source, inner, [0] * self.gains.lanes, self.masked[0])
        elif same(inner):
            self._leave_apart(source, inner, varied)
        else:
            found = [
                self._contributions(source, h, lane, self.masked[lane])
                for lane, h in enumerate(inner)
            ]
            self._collect(found)
        self._add_noise(source)

    def _leave(self, source: int, state: Lanes, lanes: Sequence[int], without: Without) -> None:
        def contributions(h: Tensor, lane: int) -> dict[int, Tensor]:
            return self._contributions(source, h, lane, without)

        self._collect(each(contributions, state, lanes))

    def _collect(self, found: Sequence[dict[int, Tensor]]) -> None:
        for node in sorted({node for terms in found for node in terms}):
            self._add(node, [terms.get(node) for terms in found])

    def _contributions(
        self, source: int, h: Tensor, lane: int, without: Without
    ) -> dict[int, Tensor]:
        """What a state contributes, by node, under one lane's mixture."""
        plan = self.cell.plan(source, without, self.columns)
        if plan is None:
            return {}
        gains = self.gains.vector(lane, self.cell.group, plan)
        terms = self.function(h, gains, plan.spec, plan.weights()).unbind()
        return dict(zip(plan.nodes, terms, strict=True))

    def _leave_apart(self, source: int, state: Lanes, varied: Sequence[MixedEdge]) -> None:
        """Let lanes whose state is still the same differ on some edges only."""
        others = {(m.edge.row, column) for m in varied for column in range(self.columns)}
        self._leave(source, state, [0] * self.gains.lanes, self.masked[0] | others)
        for module in varied:
            row = module.edge.row
            rows = [self.gains.row(lane, self.cell.group, row) for lane in range(self.gains.lanes)]
            units: list[Tensor | None] = []
            for column in range(self.columns):
                alone = (
                    {(m.edge.row, c) for m in self.cell.edges(source) for c in range(self.columns)}
                ) - {(row, column)}
                plan = self.cell.plan(source, frozenset(alone), self.columns)
                if plan is None or not any(values[column] for values in rows):
                    units.append(None)
                    continue
                one = state[0].new_ones(1)
                units.append(self.function(state[0], one, plan.spec, plan.weights())[0])
            terms: list[Tensor | None] = []
            for values in rows:
                total: Tensor | None = None
                for value, unit in zip(values, units, strict=True):
                    if unit is not None and value:
                        total = unit * value if total is None else total.add(unit, alpha=value)
                terms.append(total)
            self._add(module.edge.node, terms)

    def _add_noise(self, source: int) -> None:
        for module in self.cell.edges(source):
            edge = module.edge
            noise = self.noise.get((edge.node, edge.source))
            if noise is not None:
                column = edge.operations.index("noise")
                shared = edge.row not in self.varied
                lanes = [0] * self.gains.lanes if shared else range(self.gains.lanes)
                tables = [self.gains.table(lane, self.cell.group) for lane in lanes]
                scales = each(lambda t, r=edge.row, c=column: t[r, c], tables)
                self._add(edge.node, each(lambda s, n=noise: s * n, scales))

    def _pass(self, edges: Sequence[MixedEdge], state: Lanes) -> None:
        """Add the channels that no operation sees (PC-DARTS)."""
        inner = self.size[-1] // self.cell.partial
        stride = edges[0].stride

        def passing(h: Tensor) -> Tensor:
            rest = h[..., inner:]
            if stride > 1:
                rest = functional.max_pool2d(rest.permute(0, 3, 1, 2), 2, 2, ceil_mode=True)
                rest = rest.permute(0, 2, 3, 1)
            return rest

        rest = each(passing, state)
        lanes = range(self.gains.lanes)
        weights = [self.gains.edges(lane, self.cell.group) for lane in lanes]
        for module in edges:
            edge = module.edge
            shared = edge.row not in self.varied
            row = [None if w is None else w[edge.row] for w in weights]
            scales = [row[0]] * len(row) if shared else row
            terms = each(lambda y, s: y if s is None else y * s, rest, scales)
            self.passed[edge.node] = _sum(self.passed.get(edge.node), terms)


def _sum(
    total: Sequence[Tensor | None] | None, terms: Sequence[Tensor | None]
) -> list[Tensor | None]:
    def add(a: Tensor | None, b: Tensor | None) -> Tensor | None:
        if a is None or b is None:
            return b if a is None else a
        return a + b

    return list(terms) if total is None else each(add, total, terms)
