"""The one definition of FBNetV3 networks."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn
from torch.nn import functional

from search_spaces.fbnetv3.blocks import ConvNorm, InvertedResidual, resized
from search_spaces.fbnetv3.plan import Stage, lay_out, round8

__all__ = ["FBNetV3Network"]


class FBNetV3Network(nn.Module):
    """Stem, stages of inverted residual blocks, expansion, pooling, classifier.

    Weights begin normal with variance 2 / fan-in (He et al., ICCV 2015), for the paper says nothing
    of it: with torch's smaller ones normalisations see next to nothing at first, and what they
    remember for eval mode is of no use before the second epoch of few images.

    Args:
        stages: Name to the fields of a `Stage`, in order.
        input_shape: Channels, height, width of the images.
        num_classes: Number of logits.
        resolution: Side of the square that images are resized to first, whatever their own size
            and proportions; None for images as they are.
        stem: Channels of the stem, a convolution with a bias besides its normalisation.
        stem_stride: Its stride.
        head: Expansion of the convolution before the pooling.
        features: Length of the vector that the classifier reads.
        dropout: Probability in [0, 1) that one of these features is dropped in train mode.

    Attributes:
        arguments: The arguments.
        recordable: A pass does the same work every time (see `nas.training.gradients`).
    """

    recordable = True

    def __init__(
        self,
        stages: Mapping[str, Mapping[str, Any]],
        input_shape: tuple[int, int, int],
        num_classes: int,
        *,
        resolution: int | None,
        stem: int,
        stem_stride: int,
        head: int,
        features: int,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        self.arguments = {
            "stages": {name: dict(stage) for name, stage in stages.items()},
            "input_shape": tuple(input_shape),
            "num_classes": num_classes,
            "resolution": resolution,
            "stem": stem,
            "stem_stride": stem_stride,
            "head": head,
            "features": features,
            "dropout": dropout,
        }
        self.resolution = resolution
        self.stem = ConvNorm(input_shape[0], stem, 3, stride=stem_stride, bias=True)
        rows = lay_out(stem, (Stage(**stage) for stage in stages.values()))
        self.stages = nn.ModuleDict(
            {
                name: nn.Sequential(*(InvertedResidual(block) for block in row))
                for name, row in zip(stages, rows, strict=True)
            }
        )
        last = rows[-1][-1].outputs
        self.expand = ConvNorm(last, round8(head * last), 1)
        self.features = nn.Linear(round8(head * last), features, bias=False)
        self.dropout = nn.Dropout(dropout)
        self.classifier = nn.Linear(features, num_classes)
        for module in self.modules():
            if isinstance(module, nn.Conv2d) or module is self.features:
                nn.init.kaiming_normal_(module.weight)
                if module.bias is not None:
                    nn.init.zeros_(module.bias)

    def set_drop_path(self, p: float) -> None:
        """Drop residual branches for whole samples in train mode: the deepest with probability `p`.

        The l-th of L blocks has p l / L: stochastic depth with linear decay (Huang et al., ECCV
        2016). Blocks without a residual connection drop nothing.

        Raises:
            ValueError: `p` is not in [0, 1).
        """
        if not 0.0 <= p < 1.0:
            raise ValueError(f"drop-path probability must be in [0, 1), got {p}")
        blocks = [module for module in self.modules() if isinstance(module, InvertedResidual)]
        for number, block in enumerate(blocks, start=1):
            block.drop_path.p = p * number / len(blocks)

    def forward(self, x: Tensor) -> Tensor:
        """Map images ``(B, C, H, W)`` to logits ``(B, classes)``."""
        if self.resolution is not None:
            x = resized(x, self.resolution)
        x = self.stem(x)
        for stage in self.stages.values():
            x = stage(x)
        x = functional.hardswish(self.features(self.expand(x).mean((2, 3))))
        logits: Tensor = self.classifier(self.dropout(x))
        return logits
