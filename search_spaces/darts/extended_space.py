"""The DARTS space with hypercomplex convolutions and attention among the candidates; torch-free."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from search_spaces.darts.space import DartsSpace

if TYPE_CHECKING:
    from torch import nn

    from search_spaces.choose import Choose
    from search_spaces.layers import Build
    from search_spaces.supernet import Supernet

__all__ = ["ExtendedSpace"]


class ExtendedSpace(DartsSpace):
    """DARTS cells with eleven candidates: those of DARTS, and two kinds of layer more.

    Hypercomplex 3x3 convolutions with n = 2 and 4 have about 1/n of a dense one's parameters and
    all of its multiply-accumulates; SOFT attention sees the whole map at linear cost. Architectures
    of the DARTS space are members. The supernet is the plain one: the operations that leave a state
    are not computed together.
    """

    multiple: Mapping[str, int] = {"channels": 4}

    def __init__(self) -> None:
        super().__init__("darts-extended")

    def _tables(self) -> Mapping[str, tuple[str, str]]:
        from search_spaces.darts import members

        return members.MEMBERS

    def _parts(self) -> tuple[Callable[..., nn.Module], Build]:
        from search_spaces.darts.extended import ExtendedNetwork, build_extended_operation

        return ExtendedNetwork, build_extended_operation

    def _fast_supernet(self, build: Callable[[Choose], nn.Module], partial: int) -> Supernet:
        from search_spaces.plain import PlainSupernet

        return PlainSupernet(build, self.edges, partial=partial)
