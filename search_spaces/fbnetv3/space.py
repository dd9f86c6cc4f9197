"""FBNetV3: resolution, widths, depths, kernels and expansions of a mobile network, and a small one.

Both spaces are one class; what may be chosen is declared in `search_spaces.fbnetv3.ranges`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final

from nas.core.architecture import Architecture
from nas.core.errors import SpaceError
from nas.core.registry import close_matches
from nas.core.space import Space
from search_spaces.costs import Cost
from search_spaces.fbnetv3.costs import Account, network_account
from search_spaces.fbnetv3.drawing import network_graph
from search_spaces.fbnetv3.members import PADDINGS, member_choices
from search_spaces.fbnetv3.plan import Stage
from search_spaces.fbnetv3.ranges import FBNETV3, HEAD, RESOLUTION, SMALL, STEM, Ranges
from search_spaces.scale import InputShape, check_input, read_scale

if TYPE_CHECKING:
    import networkx as nx
    from torch import nn

__all__ = ["FBNetV3Space", "fbnetv3", "fbnetv3_small"]

PUBLISHED: Final = "published"
SAME: Final = "same"

_IMAGENET: Final = 1000


class FBNetV3Space(Space):
    """The space of FBNetV3 (Dai et al., CVPR 2021), or another one of such stages.

    Resolution is a choice as in the paper, while images have the size they have: a network resizes
    what it is given to a square of its resolution. So an architecture costs and computes the same
    on images of every size, and equal choices are one network.

    Args:
        name: Under which it is registered.
        ranges: What may be chosen.
        members: Choices of published networks by name.
        paddings: Name to the padding with which stages of a published network begin, where that
            is less than half the kernel.
    """

    strategy = "fbnetv3"

    def __init__(
        self,
        name: str,
        ranges: Ranges,
        members: Mapping[str, Mapping[str, Any]] | None = None,
        paddings: Mapping[str, Mapping[str, int]] | None = None,
    ) -> None:
        super().__init__(name, ranges.tree())
        self._ranges = ranges
        self._members = dict(members or {})
        self._paddings = dict(paddings or {})

    @property
    def scale(self) -> Mapping[str, Any]:
        """Defaults of ``network``.

        ``dropout`` is the share of features dropped before the classifier. ``padding`` is there
        where networks were published: "published" builds these as they were released, in which
        some stages begin with less padding, and every other network as "same", with half the
        kernel everywhere.
        """
        return {"dropout": 0.0, **({"padding": PUBLISHED} if self._paddings else {})}

    def check_scale(self, scale: Mapping[str, Any]) -> None:
        """Refuse a dropout that is no probability below 1, or an unknown padding.

        Raises:
            SpaceError: A setting is out of range.
        """
        dropout, padding = scale["dropout"], scale.get("padding", SAME)
        if not 0.0 <= dropout < 1.0:
            raise SpaceError(f"scale setting dropout is {dropout}", "expected 0 to below 1")
        if padding not in (PUBLISHED, SAME):
            hint = close_matches(padding, (PUBLISHED, SAME))
            raise SpaceError(f"scale setting padding is {padding!r}", hint)

    @cached_property
    def members(self) -> Mapping[str, Architecture]:
        """Published networks by name."""
        return {name: self.architecture(choices) for name, choices in self._members.items()}

    def default_input(self, architecture: Architecture) -> tuple[InputShape, int]:
        """ImageNet at the architecture's resolution; CIFAR-10 where that is no choice."""
        side = self._mine(architecture).get(RESOLUTION)
        return super().default_input(architecture) if side is None else ((3, side, side), _IMAGENET)

    def canonical(self, architecture: Architecture) -> Architecture:
        """The member that builds the same network with channels as they are after rounding.

        Choices for the blocks after the first are the smallest ones where there are no such blocks.
        """
        choices = dict(self._mine(architecture))
        for name, stage in self._ranges.named.items():
            choices.update(stage.canonical(name, choices))
        return self._member(choices)

    def stages(self, architecture: Architecture, padding: str = SAME) -> dict[str, Stage]:
        """What is built for each stage, by name.

        Args:
            architecture: A member.
            padding: As of `scale`.
        """
        choices = self._mine(architecture)
        known = self._released.get(self._code(architecture), {}) if padding == PUBLISHED else {}
        return {
            name: stage.read(name, choices, known.get(name))
            for name, stage in self._ranges.named.items()
        }

    @cached_property
    def _released(self) -> dict[str, Mapping[str, int]]:
        named = self.members
        return {self._code(named[name]): padding for name, padding in self._paddings.items()}

    def _code(self, architecture: Architecture) -> str:
        """Equal for architectures that differ in resolution only, as FBNetV3-A and B do."""
        choices = dict(self.canonical(architecture).choices)
        choices.pop(RESOLUTION, None)
        return Architecture(self.name, choices).id

    def graph(self, architecture: Architecture) -> nx.DiGraph:
        """Return stem, stages and head as chains of blocks (see `network_graph`)."""
        return network_graph(
            self.stages(architecture),
            resolution=self._resolution(architecture),
            **self._ends(architecture),
        )

    def network(
        self,
        architecture: Architecture,
        input_shape: InputShape = (3, 32, 32),
        num_classes: int = 10,
        **scale: Any,
    ) -> nn.Module:
        """Build the network of one architecture.

        Args:
            architecture: A member.
            input_shape: Channels, height, width.
            num_classes: Number of logits.
            **scale: Settings of `scale`.

        Raises:
            SpaceError: An argument is unknown or out of range.
        """
        from search_spaces.fbnetv3.network import FBNetV3Network

        settings = self._settings(input_shape, num_classes, scale)
        stages = self.stages(architecture, settings.get("padding", SAME))
        return FBNetV3Network(
            {name: asdict(stage) for name, stage in stages.items()},
            input_shape,
            num_classes,
            resolution=self._resolution(architecture),
            **self._ends(architecture),
            dropout=float(settings["dropout"]),
        )

    def cost(
        self,
        architecture: Architecture,
        input_shape: InputShape = (3, 32, 32),
        num_classes: int = 10,
        **scale: Any,
    ) -> Cost:
        """Count parameters and multiply-accumulates by arithmetic.

        Raises:
            SpaceError: An argument is unknown or out of range.
        """
        return self.account(architecture, input_shape, num_classes, **scale).cost

    def account(
        self,
        architecture: Architecture,
        input_shape: InputShape = (3, 32, 32),
        num_classes: int = 10,
        **scale: Any,
    ) -> Account:
        """As `cost`, and what the published tables of FBNetV3 count instead.

        Raises:
            SpaceError: An argument is unknown or out of range.
        """
        settings = self._settings(input_shape, num_classes, scale)
        side = self._resolution(architecture)
        return network_account(
            self.stages(architecture, settings.get("padding", SAME)).values(),
            input_shape[1:] if side is None else (side, side),
            input_shape[0],
            num_classes,
            **self._ends(architecture),
        )

    def _settings(
        self, input_shape: InputShape, num_classes: int, scale: Mapping[str, Any]
    ) -> dict[str, Any]:
        settings = read_scale(self.scale, scale, {})
        self.check_scale(settings)
        check_input(input_shape, num_classes)
        return settings

    def _resolution(self, architecture: Architecture) -> int | None:
        return self._mine(architecture).get(RESOLUTION)

    def _ends(self, architecture: Architecture) -> dict[str, int]:
        """What comes before and after the stages, as builder and cost take it."""
        choices, ranges = self._mine(architecture), self._ranges
        return {
            "stem": int(choices[STEM]),
            "stem_stride": ranges.stem_stride,
            "head": int(choices[HEAD]),
            "features": ranges.features,
        }


def fbnetv3() -> FBNetV3Space:
    """Make the space of the released networks, for pictures of ImageNet's size."""
    return FBNetV3Space("fbnetv3", FBNETV3, member_choices(), PADDINGS)


def fbnetv3_small() -> FBNetV3Space:
    """Make the space for images of 8 to 32 pixels."""
    return FBNetV3Space("fbnetv3-small", SMALL)
