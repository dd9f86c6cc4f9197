"""The released FBNetV3 networks (Dai et al., CVPR 2021), as rows of choices.

Channels are those that were released, which is after rounding to multiples of 8.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

__all__ = ["PADDINGS", "member_choices"]

Middle = tuple[int, int, int, int, int, int]
"""Channels; kernel and expansion of the first block; kernel and expansion of the others; blocks."""

Row = tuple[int, int, tuple[int, int], tuple[Middle, ...], tuple[int, int, int, int], int]
"""Resolution; stem; channels and blocks of stage 1; stages 2 to 6; channels, kernel, expansion and
blocks of stage 7; expansion of the head. The kernels of stage 1 are all 3."""

_A: Final[tuple[Middle, ...]] = (
    (24, 5, 4, 5, 2, 4),
    (40, 5, 5, 5, 3, 5),
    (72, 5, 5, 3, 3, 5),
    (120, 3, 5, 5, 3, 6),
    (184, 3, 6, 5, 4, 6),
)

_ROWS: Final[Mapping[str, Row]] = {
    "A0": (
        224,
        12,
        (12, 1),
        (
            (24, 3, 4, 3, 2, 3),
            (40, 3, 4, 3, 2, 3),
            (72, 5, 4, 3, 3, 3),
            (104, 3, 4, 5, 3, 4),
            (176, 3, 4, 3, 4, 4),
        ),
        (208, 3, 5, 1),
        5,
    ),
    "A": (224, 16, (16, 2), _A, (224, 5, 6, 1), 6),
    "B": (248, 16, (16, 2), _A, (224, 5, 6, 1), 6),
    "C": (
        248,
        16,
        (16, 2),
        (
            (24, 5, 5, 3, 3, 5),
            (48, 5, 5, 5, 2, 5),
            (88, 5, 4, 3, 3, 5),
            (120, 3, 4, 5, 3, 6),
            (216, 5, 5, 5, 5, 6),
        ),
        (216, 5, 6, 1),
        6,
    ),
    "D": (
        248,
        24,
        (16, 2),
        (
            (24, 3, 5, 3, 2, 6),
            (40, 5, 4, 3, 3, 5),
            (72, 3, 5, 3, 3, 5),
            (128, 3, 5, 5, 3, 7),
            (208, 3, 6, 5, 5, 6),
        ),
        (240, 5, 6, 1),
        6,
    ),
    "E": (
        264,
        24,
        (16, 3),
        (
            (24, 5, 4, 5, 2, 5),
            (48, 5, 4, 5, 3, 5),
            (80, 5, 5, 3, 3, 5),
            (128, 3, 5, 5, 3, 8),
            (216, 3, 6, 5, 5, 6),
        ),
        (240, 5, 6, 1),
        6,
    ),
    "F": (
        272,
        24,
        (24, 3),
        (
            (32, 5, 4, 5, 2, 5),
            (56, 5, 4, 5, 3, 5),
            (88, 5, 5, 3, 3, 5),
            (144, 3, 5, 5, 3, 9),
            (248, 3, 6, 5, 5, 7),
        ),
        (272, 5, 6, 1),
        6,
    ),
    "G": (
        320,
        32,
        (24, 3),
        (
            (40, 5, 4, 5, 2, 5),
            (56, 5, 4, 5, 3, 5),
            (104, 5, 5, 3, 3, 5),
            (160, 3, 5, 5, 3, 9),
            (264, 3, 6, 5, 5, 7),
        ),
        (288, 5, 6, 2),
        6,
    ),
}

PADDINGS: Final[Mapping[str, Mapping[str, int]]] = {
    "A": {"stage4": 1, "stage6": 0},
    "B": {"stage4": 1, "stage6": 0},
    "C": {"stage4": 1, "stage6": 1},
    "E": {"stage4": 1},
    "F": {"stage6": 0},
}
"""Released networks some of whose stages begin with less padding than half the kernel: the first
depthwise convolution's. Their maps have 13 or 6 pixels where others have 14 or 7."""


def member_choices() -> dict[str, dict[str, Any]]:
    """The choices of each network by name."""
    return {name: _choices(row) for name, row in _ROWS.items()}


def _choices(row: Row) -> dict[str, Any]:
    resolution, stem, first, middle, last, head = row
    choices: dict[str, Any] = {
        "resolution": resolution,
        "stem/channels": stem,
        "stage1/channels": first[0],
        "stage1/blocks": first[1],
        "stage1/kernel": 3,
        "head/expansion": head,
    }
    parts = ("channels", "first/kernel", "first/expansion", "others/kernel", "others/expansion")
    for number, values in enumerate(middle, start=2):
        named = zip((*parts, "blocks"), values, strict=True)
        choices.update({f"stage{number}/{part}": value for part, value in named})
    named_last = zip(("channels", "kernel", "expansion", "blocks"), last, strict=True)
    choices.update({f"stage7/{part}": value for part, value in named_last})
    return choices
