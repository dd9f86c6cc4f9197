"""Ray itself: an extra, and slow to import, so that nothing imports it before it is needed."""

from __future__ import annotations

import importlib
from typing import Any


def ray() -> Any:
    """The module, imported when it is needed: it is an extra and takes a second."""
    return importlib.import_module("ray")


def on_node(node: str) -> Any:
    """The scheduling strategy that places a task or an actor on this node, by its id, alone."""
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    return NodeAffinitySchedulingStrategy(node, soft=False)
