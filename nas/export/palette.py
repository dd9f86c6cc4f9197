"""One colour and one printed label per operation, the same in every picture of a run.

The colours are those of Okabe and Ito, which stay apart under the usual forms
of colour blindness, and two greys. A picture never rests on colour alone: the
label is always written.
"""

from __future__ import annotations

import re
from typing import Final

_KNOWN: Final[dict[str, str]] = {
    "sep_conv_3x3": "#0072b2",
    "nor_conv_3x3": "#0072b2",
    "sep_conv_5x5": "#56b4e9",
    "nor_conv_1x1": "#56b4e9",
    "sep_conv_7x7": "#56b4e9",
    "dil_conv_3x3": "#009e73",
    "dil_conv_5x5": "#7fd1b4",
    "conv_7x1_1x7": "#7fd1b4",
    "max_pool_3x3": "#d55e00",
    "avg_pool_3x3": "#e69f00",
    "skip_connect": "#8a93a5",
    "noise": "#cc79a7",
    "none": "#c9ced8",
}
_FAMILIES: Final[dict[str, str]] = {"mbconv_3x3": "#0072b2", "mbconv_5x5": "#56b4e9"}
_OTHERS: Final = ("#cc79a7", "#f0e442", "#009e73", "#e69f00", "#56b4e9", "#d55e00", "#0072b2")
_WORDS: Final = {"skip_connect": "skip", "conv_7x1_1x7": "conv 7×1 1×7"}


def colour(operation: str) -> str:
    """'#rrggbb' of an operation; a name not known here gets one by its letters."""
    family = next((name for name in _FAMILIES if operation.startswith(name)), "")
    known = _KNOWN.get(operation) or _FAMILIES.get(family)
    return known or _OTHERS[sum(operation.encode()) % len(_OTHERS)]


def label(operation: str) -> str:
    """The name as printed: 'sep_conv_3x3' is 'sep conv 3×3'."""
    known = _WORDS.get(operation)
    if known:
        return known
    text = re.sub(r"(\d)x(\d)", "\\1\u00d7\\2", operation)
    return text.replace("_", " ")
