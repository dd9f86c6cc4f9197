"""GANs to compare with, to be trained beside those that were found: pairs of known networks."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final

import networkx as nx

from nas.core.architecture import Architecture
from nas.core.choices import Categorical
from nas.core.space import Space
from nas.core.tree import ChoiceTree
from search_spaces.gan.scale import check_images
from search_spaces.scale import InputShape, read_scale

if TYPE_CHECKING:
    from torch import nn

__all__ = ["GanBaselineSpace", "gan_baselines"]

_KINDS: Final[Mapping[str, Mapping[str, int]]] = {
    "generator": {"sngan": 3, "r3gan": 4, "autogan": 3},
    "discriminator": {"sngan": 4, "r3gan": 4, "autogan": 4, "simple": 5},
}
"""Part to its kinds, and the blocks of each."""

_MEMBERS: Final = {
    "SNGAN": ("sngan", "sngan"),
    "R3GAN_tiny": ("r3gan", "r3gan"),
    "AutoGAN_A": ("autogan", "autogan"),
    "AutoGAN_A_simple": ("autogan", "simple"),
}
"""Name to the kinds of generator and discriminator."""


class GanBaselineSpace(Space):
    """Networks of SNGAN (Miyato et al., ICLR 2018), R3GAN (Huang et al., NeurIPS 2024) and AutoGAN.

    They are published for other sizes, too; here a generator doubles the size three times, so that
    images are those of ``gan``. ``SNGAN`` is the published network, ``AutoGAN_A`` what Gong et al.
    (ICCV 2019) found for CIFAR-10; ``R3GAN_tiny`` has the published block, one at each of four
    sizes, at constant width. The discriminator ``simple`` is that of EAGAN's ablation GD2.
    """

    evaluator = "gan"

    def __init__(self) -> None:
        choices = (Categorical(part, tuple(kinds)) for part, kinds in _KINDS.items())
        super().__init__("gan-baselines", ChoiceTree(tuple(choices)))

    @property
    def scale(self) -> Mapping[str, Any]:
        """Defaults of ``network``: SNGAN's; `spectral_norm` is of its discriminator only."""
        return {
            "generator_channels": 256,
            "latent": 128,
            "discriminator_channels": 128,
            "spectral_norm": True,
        }

    @cached_property
    def members(self) -> Mapping[str, Architecture]:
        """Pairs by name."""
        return {
            name: self.architecture(dict(zip(_KINDS, kinds, strict=True)))
            for name, kinds in _MEMBERS.items()
        }

    def shapes(
        self, input_shape: InputShape, num_classes: int, **scale: Any
    ) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """Latent vector and image.

        Raises:
            SpaceError: A setting is unknown or out of range.
        """
        return (read_scale(self.scale, scale, {})["latent"],), tuple(input_shape)

    def graph(self, architecture: Architecture) -> nx.DiGraph:
        """Return one part for each network, a chain of its blocks."""
        graph = nx.DiGraph(titles={part: part.capitalize() for part in _KINDS})
        for part, kinds in _KINDS.items():
            blocks = str(self._mine(architecture)[part])
            for place in range(kinds[blocks] + 1):
                graph.add_node(f"{part}/{place}", op="sum" if place else "input", cell=part)
                if place:
                    nodes = f"{part}/{place - 1}", f"{part}/{place}"
                    graph.add_edge(*nodes, op=f"{blocks}_block", cell=part)
        return graph

    def network(
        self,
        architecture: Architecture,
        input_shape: InputShape = (3, 32, 32),
        num_classes: int = 10,
        **scale: Any,
    ) -> nn.Module:
        """Build a pair (`search_spaces.gan.pair.Pair`).

        Args:
            architecture: A member.
            input_shape: Channels, height, width of an image, as of ``gan``.
            num_classes: Not used; the networks know no classes.
            **scale: Settings of `scale`.

        Raises:
            SpaceError: An argument is unknown or out of range.
        """
        from search_spaces.gan.baselines.pair import BaselinePair

        full = read_scale(self.scale, scale, {})
        check_images(input_shape)
        choices = self._mine(architecture)
        return BaselinePair(
            (str(choices["generator"]), str(choices["discriminator"])),
            input_shape,
            channels=(full["generator_channels"], full["discriminator_channels"]),
            latent=full["latent"],
            spectral_norm=full["spectral_norm"],
        )


def gan_baselines() -> GanBaselineSpace:
    """Make the space."""
    return GanBaselineSpace()
