"""The cell space of NAS-Bench-101: a graph of at most seven vertices and nine edges.

Which edges there are is one choice, a subset of 21; what each inner vertex computes is another one.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import cached_property, lru_cache
from math import isqrt
from typing import TYPE_CHECKING, Any, Final

import networkx as nx
import numpy as np

from nas.core.architecture import Architecture
from nas.core.choices import Categorical, Subset
from nas.core.errors import SpaceError
from nas.core.tree import ChoiceTree
from search_spaces.costs import Cost
from search_spaces.nasbench101.cell import (
    EDGES,
    INNER,
    LARGEST_EDGES,
    OPERATIONS,
    Cell,
    connects,
    count_members,
    keys_of,
    mask_of,
    matrix_of,
    neighbor_codes,
)
from search_spaces.nasbench101.costs import network_cost
from search_spaces.scale import Skeleton
from search_spaces.stacked import StackedSpace

if TYPE_CHECKING:
    from torch import nn

__all__ = ["OPERATIONS", "NasBench101Space", "nasbench101"]

_CHOICE: Final = "edges"
_NAMES: Final = tuple(f"{source}-{target}" for source, target in EDGES)
_BIT: Final = {name: 1 << bit for bit, name in enumerate(_NAMES)}
_VERTICES: Final = tuple(f"vertex{v}" for v in INNER)
_NUMBER: Final = {name: number for number, name in enumerate(OPERATIONS)}
_HINT: Final = "expected n*n digits of adjacency, a colon and a digit 0, 1 or 2 an inner vertex"

LEAST_CHANNELS: Final = 5
"""Up to five vertices share the channels of a cell's output, and each needs one."""

_MEMBERS: Final = {
    # The cell of the example in the benchmark's own documentation: 2,694,282 parameters.
    "inception": "0111010000000100000010000100000000100000010000000:10002",
    # Cells with the published extremes of the benchmark's parameters: 227,274 and 49,979,274.
    "smallest": "0100000001010100010010000001000001000000010000000:22222",
    "largest": "0111100001000000010000000100000001000000010000000:00000",
}


class NasBench101Space(StackedSpace):
    """NAS-Bench-101 (Ying et al., ICML 2019): 423,624 distinct cells.

    An assignment is a member if its edges join input and output. Vertices that lie on no such path
    are not built, so many assignments are the same network: `canonical` and `hash` say which.
    """

    least: Mapping[str, int] = {"channels": LEAST_CHANNELS}

    def __init__(self, name: str = "nasbench101") -> None:
        edges = Subset(_CHOICE, _NAMES, smallest=1, largest=LARGEST_EDGES)
        vertices = (Categorical(vertex, OPERATIONS) for vertex in _VERTICES)
        super().__init__(name, ChoiceTree((edges, *vertices)))

    @cached_property
    def size(self) -> int:
        """Number of distinct assignments that are members; 423,624 of them are distinct cells."""
        return count_members()

    @property
    def scale(self) -> Mapping[str, Any]:
        """Defaults of ``network``: the benchmark's; layers are cells a stack, of three stacks."""
        return {"channels": 128, "layers": 3}

    @cached_property
    def members(self) -> Mapping[str, Architecture]:
        """Well-known cells by name."""
        return {name: self.parse(text) for name, text in _MEMBERS.items()}

    def refusal(self, choices: Mapping[str, Any]) -> str:
        """Why an assignment is no member: no path from input to output."""
        return "" if connects(_mask(choices)) else "its edges do not join input and output"

    # -- equality -------------------------------------------------------------------------------

    def cell(self, architecture: Architecture) -> Cell:
        """The cell as the benchmark represents it: without vertices that lie on no path.

        Isomorphic architectures have the same one, so graph, network and cost are equal for them.
        The numbering matters to the last unit: where channels do not divide evenly, earlier
        vertices get one more.
        """
        return _cell(_code(self._mine(architecture)))

    def from_cell(self, matrix: Sequence[Sequence[int]], ops: Sequence[int]) -> Architecture:
        """The member with this adjacency, of 2 to 7 vertices, and these operations.

        Args:
            matrix: Upper-triangular, 0 or 1; the last vertex is the output.
            ops: Numbers of the inner vertices' operations; vertices that the cell lacks get the
                first one.

        Raises:
            SpaceError: That is not a member.
        """
        mask = mask_of(matrix)
        if mask.bit_count() > LARGEST_EDGES:
            raise SpaceError(f"{mask.bit_count()} edges", f"a cell has at most {LARGEST_EDGES}")
        if not connects(mask):
            raise SpaceError("the cell's edges do not join input and output", "change the edges")
        names = [OPERATIONS[number] for number in ops] + [OPERATIONS[0]] * (len(INNER) - len(ops))
        edges = tuple(name for name in _NAMES if mask & _BIT[name])
        return self._member({_CHOICE: edges, **dict(zip(_VERTICES, names, strict=True))})

    def canonical(self, architecture: Architecture) -> Architecture:
        """The member with the same cell whose inner vertices are numbered from 1; exact."""
        cell = self.cell(architecture)
        return self.from_cell(cell.matrix, cell.ops)

    def hash(self, architecture: Architecture) -> str:
        """The benchmark's module hash: 32 hexadecimal digits."""
        return self.cell(architecture).hash

    def keys(self, architectures: Sequence[Architecture]) -> list[int]:
        """One number each, equal for isomorphic cells; thousands of cells at once."""
        codes = [_code(self._mine(architecture)) for architecture in architectures]
        return list(keys_of(np.array(codes, np.int64)).tolist()) if codes else []

    def keys_near(self, architecture: Architecture) -> list[int]:
        """Keys of everything that is one choice away; 0 stands for what is no member."""
        mask, *ops = _code(self._mine(architecture))
        return list(keys_of(neighbor_codes(mask, ops)).tolist())

    # -- notation and graph ---------------------------------------------------------------------

    def parse(self, text: str) -> Architecture:
        """Read ``ADJACENCY:OPERATIONS``, such as ``0110001000010000:01`` for four vertices.

        The adjacency is row by row, the operations are digits: 0 convolution 3x3, 1 convolution
        1x1, 2 max-pooling 3x3. A cell of fewer than seven vertices has its output moved to the end.

        Raises:
            SpaceError: The text is not a member in that notation.
        """
        match = re.fullmatch(r"([01]{4,49}):([012]{0,5})", text.strip(), re.ASCII)
        count = isqrt(len(match[1])) if match else 0
        if match is None or count**2 != len(match[1]) or len(match[2]) != count - 2:
            raise SpaceError(f"not a cell of NAS-Bench-101: {text.strip()[:60]!r}", _HINT)
        digits = [int(digit) for digit in match[1]]
        matrix = [digits[row * count : (row + 1) * count] for row in range(count)]
        if any(any(row[: number + 1]) for number, row in enumerate(matrix)):
            raise SpaceError("an edge of the cell does not go upwards", "number vertices in order")
        return self.from_cell(matrix, [int(digit) for digit in match[2]])

    def format(self, architecture: Architecture) -> str:
        """Write all seven vertices in the notation that `parse` reads."""
        choices = self._mine(architecture)
        rows = matrix_of(_mask(choices))
        adjacency = "".join(str(digit) for row in rows for digit in row)
        return f"{adjacency}:{''.join(map(str, _operations(choices)))}"

    def graph(self, architecture: Architecture) -> nx.DiGraph:
        """Return the cell (see `cell`) as a directed graph with the operations on vertices.

        Nodes are ``cell/0`` to ``cell/(n-1)`` with ``op`` input, an operation, output, and
        ``cell``, the kind of cell.
        """
        cell = self.cell(architecture)
        graph = nx.DiGraph()
        labels = ("input", *(OPERATIONS[number] for number in cell.ops), "output")
        for vertex, op in enumerate(labels):
            graph.add_node(f"cell/{vertex}", op=op, cell="cell")
        for source, row in enumerate(cell.matrix):
            for target, there in enumerate(row):
                if there:
                    graph.add_edge(f"cell/{source}", f"cell/{target}", cell="cell")
        return graph

    # -- networks -------------------------------------------------------------------------------

    def _network(self, architecture: Architecture, skeleton: Skeleton) -> nn.Module:
        from search_spaces.nasbench101.network import NasBench101Network

        cell = self.cell(architecture)
        return NasBench101Network(
            cell.matrix,
            [OPERATIONS[number] for number in cell.ops],
            skeleton.input_shape,
            skeleton.num_classes,
            channels=skeleton.channels,
            layers=skeleton.layers,
        )

    def _cost(self, architecture: Architecture, skeleton: Skeleton) -> Cost:
        return network_cost(self.cell(architecture), skeleton)


def _mask(choices: Mapping[str, Any]) -> int:
    return sum(_BIT[name] for name in choices[_CHOICE])


def _operations(choices: Mapping[str, Any]) -> list[int]:
    return [_NUMBER[str(choices[vertex])] for vertex in _VERTICES]


def _code(choices: Mapping[str, Any]) -> tuple[int, ...]:
    return (_mask(choices), *_operations(choices))


@lru_cache(maxsize=65_536)
def _cell(code: tuple[int, ...]) -> Cell:
    mask, *ops = code
    cell = Cell.pruned(matrix_of(mask), ops)
    if cell is None:
        raise SpaceError("not a member of nasbench101: its edges do not join input and output")
    return cell.canonical()


def nasbench101() -> NasBench101Space:
    """Make the space."""
    return NasBench101Space()
