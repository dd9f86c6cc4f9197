"""Cells of generators and discriminators as graphs; no torch here."""

from __future__ import annotations

import networkx as nx

from search_spaces.gan.genes import DISCRIMINATOR, GENERATOR, NONE, SKIP, Genotype

__all__ = ["add_discriminator", "add_generator"]

_WORDS = {SKIP: "skip_connect", "transposed": "transposed_conv_3x3"}


def add_generator(graph: nx.DiGraph, path: Genotype) -> None:
    """Add a part for each cell, with what it has from the cells before as inputs of its own."""
    for number, row in enumerate(path, 1):
        cell = f"generator{number}"
        graph.graph["titles"][cell] = f"Generator, cell {number}"
        names = dict(zip(GENERATOR, row, strict=True))
        graph.add_node(f"{cell}/input", op="input", cell=cell)
        for before in range(1, number):
            graph.add_node(f"{cell}/cell{before}", op="", cell=cell)
        for node in "0123":
            graph.add_node(f"{cell}/{node}", op="output" if node == "3" else "sum", cell=cell)
        for gene, name in names.items():
            if gene.startswith("up"):
                _join(graph, cell, "input", gene[-1], name)
            else:
                _join(graph, cell, gene[-1], gene[0], name)
        for before in range(1, number):
            _join(graph, cell, f"cell{before}", "2", "conv_1x1")


def add_discriminator(graph: nx.DiGraph, path: Genotype) -> None:
    """Add a part for each cell."""
    for number, row in enumerate(path, 1):
        cell = f"discriminator{number}"
        graph.graph["titles"][cell] = f"Discriminator, cell {number}"
        names = dict(zip(DISCRIMINATOR, row, strict=True))
        graph.add_node(f"{cell}/0", op="input", cell=cell)
        for node in "123":
            graph.add_node(f"{cell}/{node}", op="sum", cell=cell)
        graph.add_node(f"{cell}/output", op="output", cell=cell)
        for gene, name in names.items():
            if gene.startswith("down"):
                _join(graph, cell, gene[-1], "output", SKIP if name == NONE else name)
            else:
                _join(graph, cell, gene[-1], gene[0], name)


def _join(graph: nx.DiGraph, cell: str, source: str, target: str, name: str) -> None:
    """Add an edge, unless there is nothing on it."""
    if name != NONE:
        graph.add_edge(f"{cell}/{source}", f"{cell}/{target}", op=_WORDS.get(name, name), cell=cell)
