"""A space of mobile networks that exists on paper only, and an accuracy that depends on it.

For checks of predictors and searches where the size of a network matters and its range is wide, as
in the spaces of MobileNetV3 or FBNetV3: nothing of it is built or trained. The multiply-accumulates
are those of inverted residual blocks; the accuracy is made up.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Final

import numpy as np

from nas.core.architecture import Architecture
from nas.core.choices import Categorical, Choice, Integer
from nas.core.tree import ChoiceTree
from nas.core.work import Evaluate
from nas.testing.toys import ToySpace
from search_spaces.costs import Cost, conv, linear

__all__ = ["MobileSpace", "MobileTask"]

STAGES: Final = (
    # least and largest width, step, fewest and most blocks, stride
    (16, 24, 4, 1, 4, 1),
    (20, 32, 4, 3, 7, 2),
    (24, 48, 8, 3, 7, 2),
    (56, 88, 8, 4, 8, 2),
    (96, 144, 8, 5, 10, 1),
    (176, 224, 8, 4, 9, 2),
)
STEM: Final = 16
HEAD: Final = 1024


class MobileSpace(ToySpace):
    """Six stages of inverted residual blocks, with 47 numbers in an encoding.

    Each stage has a width and a depth; its first block and the others each have a kernel (3, 5) and
    an expansion (4 to 7 and 2 to 5; none in the first stage). The resolution goes from 192 to 288.
    Only choices and `cost` mean anything; graph and network are the toy's.
    """

    def __init__(self) -> None:
        super().__init__("mobile")
        choices: list[Choice] = [Integer("resolution", 192, 288, 32)]
        for stage, (low, high, step, fewest, most, _) in enumerate(STAGES):
            choices += [
                Integer(f"s{stage}/width", low, high, step),
                Integer(f"s{stage}/depth", fewest, most),
            ]
            for place, least in (("first", 4), ("rest", 2)):
                choices.append(Categorical(f"s{stage}/kernel_{place}", (3, 5)))
                if stage:
                    choices.append(Integer(f"s{stage}/expansion_{place}", least, least + 3))
        self.tree = ChoiceTree(tuple(choices))

    def cost(
        self,
        architecture: Architecture,
        input_shape: tuple[int, ...] = (3, 224, 224),
        num_classes: int = 1000,
        **scale: Any,
    ) -> Cost:
        """Parameters and multiply-accumulates; the resolution is the architecture's own."""
        choices: dict[str, Any] = dict(architecture.choices)
        side = math.ceil(choices["resolution"] / 2)
        total, inputs = conv(input_shape[0], STEM, 3, (side, side)), STEM
        for stage, (*_, stride) in enumerate(STAGES):
            width = choices[f"s{stage}/width"]
            for place, times in (("first", 1), ("rest", choices[f"s{stage}/depth"] - 1)):
                middle = inputs * choices.get(f"s{stage}/expansion_{place}", 1)
                kernel = choices[f"s{stage}/kernel_{place}"]
                before, side = side, math.ceil(side / (stride if place == "first" else 1))
                block = conv(inputs, middle, 1, (before, before))
                block += conv(middle, middle, kernel, (side, side), groups=middle)
                block += conv(middle, width, 1, (side, side))
                total += block * times
                inputs = width
        return total + conv(inputs, HEAD, 1, (side, side)) + linear(HEAD, num_classes)


class MobileTask:
    """A made-up accuracy in percent: it saturates in the cost, and kernels and depths matter.

    accuracy = 80 - 10 exp(-log10(MACs / 100 M)) + terms of kernels, depths and their agreement,
    whose standard deviation over the space is about that of the first part; a reading adds noise.

    Args:
        seed: Of the terms.
        noise: Standard deviation of a reading's noise.
    """

    def __init__(self, seed: int = 0, noise: float = 0.1) -> None:
        rng = np.random.default_rng(seed)
        self.space = MobileSpace()
        self.noise = noise
        self._kernels = rng.normal(0.05, 0.06, len(STAGES))
        self._depths = rng.normal(0.15, 0.12, len(STAGES))
        self._pairs = rng.normal(0.0, 0.05, (len(STAGES), len(STAGES)))

    def accuracy(self, architecture: Architecture) -> float:
        """The true accuracy in percent."""
        choices: dict[str, Any] = dict(architecture.choices)
        macs = float(self.space.cost(architecture).macs)
        rise = 80.0 - 10.0 * math.exp(-math.log10(macs / 1e8))
        kernels = np.array([(choices[f"s{i}/kernel_rest"] - 4.0) for i in range(len(STAGES))])
        depths = np.array(
            [
                2.0 * (choices[f"s{stage}/depth"] - fewest) / (most - fewest) - 1.0
                for stage, (_, _, _, fewest, most, _) in enumerate(STAGES)
            ]
        )
        shape = self._kernels @ kernels + self._depths @ depths + kernels @ self._pairs @ depths
        return rise + float(shape)

    def accuracies(self, architectures: Sequence[Architecture]) -> np.ndarray[Any, Any]:
        """True accuracies ``(n,)``."""
        return np.array([self.accuracy(member) for member in architectures])

    def figures(self, work: Evaluate) -> dict[str, float]:
        """Error in percent as it is read after a full training, and the multiply-accumulates."""
        member = self.space.member(work.candidate)
        rng = np.random.default_rng([int(member.id, 16) % 2**63, work.seed or 0])
        error = 100.0 - self.accuracy(member) + float(rng.normal(0.0, self.noise))
        cost = self.space.cost(member)
        return {"error": error, "macs": float(cost.macs), "params": float(cost.params)}
