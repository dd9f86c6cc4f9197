from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from nas.core.architecture import Architecture
from search_spaces import get_space


@pytest.fixture
def member() -> Callable[..., Architecture]:
    """A random member of a space by name and seed."""

    def draw(space: str, seed: int = 0) -> Architecture:
        return get_space(space).sample(np.random.default_rng(seed))

    return draw


@pytest.fixture
def decision() -> dict[str, Any]:
    return {
        "event": "decision",
        "step": 10,
        "edge": "normal/0<-0",
        "group": "normal",
        "operation": "sep_conv_3x3",
        "measurements": {
            "sep_conv_3x3": {"error": 0.25, "mean_difference": 0.06, "confidence": 0.01},
            "skip_connect": {"error": 0.21, "mean_difference": 0.01, "confidence": 0.01},
        },
        "images": 512,
        "reason": "separated",
    }


@pytest.fixture
def points() -> list[dict[str, Any]]:
    """Points of a front, a third of them of the random arm."""
    return [
        {
            "id": f"{number:016x}",
            "figures": {
                "error": 0.3 / (number + 1),
                "params": 10_000.0 * 3**number,
                "macs": 1e6 * 2**number,
            },
            "arm": "random" if number % 3 == 2 else "search",
            "label": f"C{number}",
            "front": number % 3 != 2,
            "scale": {"channels": 4 + number},
        }
        for number in range(6)
    ]
