"""The kinds of decision a search space is made of.

A choice knows its own values and nothing of the tree around it; the walk over
choices and their conditional children is written once, in `nas.core.tree`.
Every kind is immutable and equal by content.
"""

from __future__ import annotations

from nas.core.choices.base import Choice, Option, Value
from nas.core.choices.categorical import Categorical
from nas.core.choices.integer import MAX_VALUES, Integer
from nas.core.choices.options import Children, typed
from nas.core.choices.real import NEARBY_STEP, Real
from nas.core.choices.subset import Subset

__all__ = [
    "MAX_VALUES",
    "NEARBY_STEP",
    "Categorical",
    "Children",
    "Choice",
    "Integer",
    "Option",
    "Real",
    "Subset",
    "Value",
    "typed",
]
