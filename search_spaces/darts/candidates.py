"""Candidate operations of every edge in the DARTS space and its variants; no torch here.

S1 to S4 are the restricted spaces of RobustDARTS (Zela et al., ICLR 2020, section 4); S1 has the
two operations per edge that were strongest in a run of DARTS. S5 is the DARTS space without
``none``, as DARTS-PT uses it. The extended space is ours: hypercomplex convolutions and attention
beside the candidates of DARTS.
"""

from __future__ import annotations

__all__ = ["ABBREVIATIONS", "GROUPS", "NODES", "candidates"]

GROUPS = ("normal", "reduce")
"""The two kinds of cells."""

NODES = 4
"""Intermediate nodes of a cell; node i reads any of i + 2 states."""

ABBREVIATIONS = {
    "none": "none",
    "noise": "noise",
    "max": "max_pool_3x3",
    "avg": "avg_pool_3x3",
    "skip": "skip_connect",
    "sep3": "sep_conv_3x3",
    "sep5": "sep_conv_5x5",
    "dil3": "dil_conv_3x3",
    "dil5": "dil_conv_5x5",
    "phc2": "phc2_conv_3x3",
    "phc4": "phc4_conv_3x3",
    "soft": "soft_attention",
}
"""Short name to name of every operation."""

_EDGES = 14
_REAL = "max avg skip sep3 sep5 dil3 dil5"

_UNIFORM = {
    "darts": f"none {_REAL}",
    "darts-s2": "skip sep3",
    "darts-s3": "none skip sep3",
    "darts-s4": "noise sep3",
    "darts-s5": _REAL,
    "darts-extended": f"none {_REAL} phc2 phc4 soft",
}

# One column per edge, in the order of rows: nodes ascending, then sources ascending.
_S1 = {
    "normal": (
        "skip skip skip skip skip max skip skip skip skip max skip dil3 dil3",
        "dil3 dil5 dil5 sep3 dil3 skip sep3 sep3 dil3 sep3 skip dil3 dil5 dil5",
    ),
    "reduce": (
        "max max max max skip max max skip skip max max skip skip skip",
        "avg dil3 avg avg dil5 avg sep3 dil3 dil5 avg avg dil5 dil5 dil5",
    ),
}


def candidates(space: str, group: str) -> tuple[tuple[str, ...], ...]:
    """List the operations of each edge of a kind of cell, by row.

    Args:
        space: ``darts``, ``darts-s1`` to ``darts-s5`` or ``darts-extended``.
        group: ``normal`` or ``reduce``.
    """
    if space == "darts-s1":
        first, second = (column.split() for column in _S1[group])
        return tuple(_full(pair) for pair in zip(first, second, strict=True))
    return (_full(tuple(_UNIFORM[space].split())),) * _EDGES


def _full(names: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(ABBREVIATIONS[name] for name in names)
