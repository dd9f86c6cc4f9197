"""Search spaces: what can be chosen, and the networks that the choices build.

``get_space("darts")`` gives a space by name; nothing here imports torch until a network is built.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import TYPE_CHECKING, TypeAlias

from nas.core.errors import NasError, PluginError
from nas.core.registry import Registry

if TYPE_CHECKING:
    from nas.core.space import Space

__all__ = ["SPACES", "SpaceFactory", "get_space", "list_spaces"]

SpaceFactory: TypeAlias = "Callable[[], Space]"
"""What is registered: a function or class that makes the space."""

SPACES: Registry[SpaceFactory] = Registry("search space", "nas.search_spaces")
"""All spaces; ``@SPACES.register(name)`` adds one."""

_TABLE = {
    "darts": ("darts.space:darts", "DARTS cells, supernet with 8 operations"),
    "darts-s1": ("darts.space:darts_s1", "DARTS cells, 2 operations per edge, chosen per edge"),
    "darts-s2": ("darts.space:darts_s2", "DARTS cells, skip and 3x3 separable convolution"),
    "darts-s3": ("darts.space:darts_s3", "S2, with none in the supernet"),
    "darts-s4": ("darts.space:darts_s4", "DARTS cells, 3x3 separable convolution and noise"),
    "darts-s5": ("darts.space:darts_s5", "DARTS cells, supernet with 7 operations, without none"),
    "darts-extended": (
        "darts.extended_space:ExtendedSpace",
        "DARTS cells, with hypercomplex convolutions and SOFT attention",
    ),
    "fbnetv3": (
        "fbnetv3.space:fbnetv3",
        "FBNetV3: mobile networks stage by stage, image resolution included",
    ),
    "fbnetv3-small": (
        "fbnetv3.space:fbnetv3_small",
        "stages as of FBNetV3, for images of 8 to 32 pixels",
    ),
    "gan": ("gan.space:gan", "GANs of cells as of EAGAN: a generator and a discriminator"),
    "gan-baselines": (
        "gan.baselines.space:gan_baselines",
        "GANs to compare with: SNGAN, a small R3GAN, AutoGAN",
    ),
    "gan-discriminator": (
        "gan.space:gan_discriminator",
        "the discriminators of gan, with one generator",
    ),
    "gan-generator": ("gan.space:gan_generator", "the generators of gan, with one discriminator"),
    "nasbench101": (
        "nasbench101.space:nasbench101",
        "NAS-Bench-101 cells, 423,624 distinct architectures",
    ),
    "nasbench201": ("nasbench201.space:nasbench201", "NAS-Bench-201 cells, 15,625 architectures"),
    "recipe": ("recipes.grids:recipe", "training recipes from the zoo; join it: SPACE+recipe"),
    "recipe-fbnetv3": ("recipes.grids:recipe_fbnetv3", "the recipes that FBNetV3 searched"),
}

for _name, (_target, _summary) in _TABLE.items():
    SPACES.add(_name, f"search_spaces.{_target}", _summary)


def get_space(name: str) -> Space:
    """The space of a name; the same one, with all it has worked out, whenever it is asked for.

    Args:
        name: One of ``list_spaces()``; or two joined by a plus, networks and recipes, such as
            ``darts+recipe``; or a member of a space and recipes, ``nasbench201:resnet+recipe``.

    Raises:
        PluginError: There is no space of that name, and the message lists close ones; or making
            it fails.
        SpaceError: The two cannot be joined.
    """
    networks, plus, recipes = name.rpartition("+")
    if plus and name not in SPACES:
        return _joined(networks, recipes)
    return _made(name, SPACES.get(name))


@cache
def _joined(networks: str, recipes: str) -> Space:
    from search_spaces.recipes.joint import join

    base, _, member = networks.partition(":")
    return join(get_space(base), member, get_space(recipes))


@cache
def _made(name: str, factory: SpaceFactory) -> Space:
    try:
        return factory()
    except NasError:
        raise
    except Exception as error:  # whatever a plug-in's space raises is about that space
        raise PluginError(
            f"search space {name!r} cannot be made: {type(error).__name__}: {error}", "mend it"
        ) from error


def list_spaces() -> list[str]:
    """Names of all spaces, those of installed plug-ins included."""
    return SPACES.names()
