"""The graph of an FBNetV3 network: a chain of blocks for each stage; no torch here."""

from __future__ import annotations

from collections.abc import Mapping

import networkx as nx

from search_spaces.fbnetv3.plan import Stage, lay_out, round8

__all__ = ["network_graph"]


def network_graph(
    stages: Mapping[str, Stage],
    *,
    resolution: int | None,
    stem: int,
    stem_stride: int,
    head: int,
    features: int,
) -> nx.DiGraph:
    """Stem, stages and head as chains, each a "cell" of the graph with operations on its nodes.

    Kernels and expansions are in the names of operations; ``_skip`` is a residual connection.
    Widths are in the titles only.
    """
    graph = nx.DiGraph(titles={})
    at = "" if resolution is None else f"images resized to {resolution}x{resolution}, "
    _chain(graph, "stem", f"Stem: {at}{_wide(stem, stem_stride)}", ["conv_3x3"])
    rows = lay_out(stem, stages.values())
    for (name, stage), row in zip(stages.items(), rows, strict=True):
        title = f"Stage {name.removeprefix('stage')}: {_wide(stage.channels, stage.stride)}"
        if stage.squeeze:
            title += ", squeeze-and-excitation"
        expansions = (stage.expansions[index > 0] for index in range(len(row)))
        operations = [
            f"mbconv_{block.kernel}x{block.kernel}_e{expansion}{'_skip' * block.residual}"
            for block, expansion in zip(row, expansions, strict=True)
        ]
        _chain(graph, name, title, operations)
    expanded = round8(head * rows[-1][-1].outputs)
    title = f"Head: {expanded} channels pooled, {features} features"
    _chain(graph, "head", title, [f"conv_1x1_e{head}", "global_pool", "linear", "classifier"])
    return graph


def _wide(channels: int, stride: int) -> str:
    return f"{channels} channels" + (f", stride {stride}" if stride > 1 else "")


def _chain(graph: nx.DiGraph, cell: str, title: str, operations: list[str]) -> None:
    graph.graph["titles"][cell] = title
    for index, operation in enumerate(["input", *operations]):
        graph.add_node(f"{cell}/{index}", op=operation, cell=cell)
        if index:
            graph.add_edge(f"{cell}/{index - 1}", f"{cell}/{index}", cell=cell)
