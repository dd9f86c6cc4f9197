"""Parameters and multiply-accumulates of generators and discriminators by arithmetic; torch-free.

Every operation that is built has parameters; those that have no part in the result are not computed
and so have no multiply-accumulates.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from search_spaces.costs import Cost, Size, conv, halve
from search_spaces.gan.genes import (
    CELLS,
    DISCRIMINATOR,
    GENERATOR,
    NONE,
    SKIP,
    Genotype,
    candidates,
    living_discriminator,
    living_generator,
)

__all__ = [
    "costs_of_parts",
    "dead_discriminator",
    "dead_generator",
    "dead_of_parts",
    "discriminator_cost",
    "generator_cost",
]


def generator_cost(
    path: Genotype, input_shape: tuple[int, int, int], channels: int, latent: int
) -> Cost:
    """Count a `Generator`."""
    side = input_shape[1] // 2**CELLS
    third = latent // CELLS
    params = macs = 0
    for number, (row, alive) in enumerate(zip(path, living_generator(path), strict=True)):
        outputs = channels * side * side
        params, macs = params + (third + 1) * outputs, macs + third * outputs
        side *= 2
        for gene, name in zip(GENERATOR, row, strict=True):
            cost = _up(name, channels, side) if gene.startswith("up") else _on(name, channels, side)
            params += cost.params
            macs += cost.macs * (gene in alive)
        skip = _biased(channels, channels, 1, (side, side)) * number
        params += skip.params
        macs += skip.macs * ("skips" in alive)
    head = _biased(channels, input_shape[0], 3, (side, side))
    return Cost(params + head.params + 2 * channels, macs + head.macs)


def discriminator_cost(path: Genotype, input_shape: tuple[int, int, int], channels: int) -> Cost:
    """Count a `Discriminator`."""
    size = input_shape[1], input_shape[2]
    total = _biased(input_shape[0], channels, 3, size) + _biased(channels, channels, 3, size)
    size = halve(size)
    total += _biased(input_shape[0], channels, 1, size)
    params, macs = total.params, total.macs
    for row, alive in zip(path, living_discriminator(path), strict=True):
        smaller = halve(size) if row[-1] != NONE else size
        for gene, name in zip(DISCRIMINATOR, row, strict=True):
            side = smaller if gene.startswith("down") else size
            cost = _sized(name, channels, side)
            params += cost.params
            macs += cost.macs * (gene in alive)
        size = smaller
    return Cost(params + channels, macs + channels)


def costs_of_parts(
    paths: Mapping[str, Genotype], input_shape: tuple[int, int, int], settings: Mapping[str, Any]
) -> dict[str, Cost]:
    """Count each part, by its name; settings as of `search_spaces.gan.scale`."""
    found = {}
    for part, path in paths.items():
        channels = settings[f"{part}_channels"]
        if part == "generator":
            found[part] = generator_cost(path, input_shape, channels, settings["latent"])
        else:
            found[part] = discriminator_cost(path, input_shape, channels)
    return found


def dead_of_parts(paths: Mapping[str, Genotype], settings: Mapping[str, Any]) -> dict[str, int]:
    """Parameters that have no part in what is computed; keys are ``generator/cell3/up0`` etc."""
    counts = {"generator": dead_generator, "discriminator": dead_discriminator}
    return {
        f"{part}/{place}": params
        for part, path in paths.items()
        for place, params in counts[part](path, settings[f"{part}_channels"]).items()
    }


def dead_generator(path: Genotype, channels: int) -> dict[str, int]:
    """Parameters that have no part in the image, by where they are.

    Keys are ``cell3/up0`` and the like, and ``cell3/skips`` for what cell 3 has from those before.
    """
    found = {}
    for number, (row, alive) in enumerate(zip(path, living_generator(path), strict=True), 1):
        for gene, name in zip(GENERATOR, row, strict=True):
            cost = _up(name, channels, 1) if gene.startswith("up") else _on(name, channels, 1)
            if gene not in alive and cost.params:
                found[f"cell{number}/{gene}"] = cost.params
        if "skips" not in alive and number > 1:
            found[f"cell{number}/skips"] = (number - 1) * (channels + 1) * channels
    return found


def dead_discriminator(path: Genotype, channels: int) -> dict[str, int]:
    """Parameters that have no part in the score, as of `dead_generator`."""
    found = {}
    for number, (row, alive) in enumerate(zip(path, living_discriminator(path), strict=True), 1):
        for gene, name in zip(DISCRIMINATOR, row, strict=True):
            params = _sized(name, channels, (1, 1)).params
            if gene not in alive and params:
                found[f"cell{number}/{gene}"] = params
    return found


def _biased(inputs: int, outputs: int, kernel: int, size: Size) -> Cost:
    return conv(inputs, outputs, kernel, size, norm=False) + Cost(outputs)


def _on(name: str, channels: int, side: int) -> Cost:
    return _sized(name, channels, (side, side))


def _sized(name: str, channels: int, size: Size) -> Cost:
    if name in (NONE, SKIP) or name.endswith("pool"):
        return Cost()
    return _biased(channels, channels, int(name[-1]), size)


def _up(name: str, channels: int, side: int) -> Cost:
    """Of what enlarges to `side`; the transposed convolution multiplies once a pixel it reads."""
    size = side, side
    if name != candidates("up")[-1]:
        return _biased(channels, channels, 1, size)
    spread = Cost(9 * channels, 9 * channels * (side // 2) ** 2)
    return spread + conv(channels, channels, 1, size, norm=False)
