"""From images to arrays of features: one path for real and for generated ones."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from typing import Any, Final

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from nas.core.errors import ConfigError
from nas.measure.gan.extractors import FeatureExtractor

__all__ = ["ModuleExtractor", "content_of", "features_of", "logits_of", "prepared"]

BATCH: Final = 250


class ModuleExtractor:
    """A `FeatureExtractor` of any module, for functions that load one from a file.

    Args:
        name: What its figures are called by.
        module: Maps images (n, channels, height, width) to features (n, d, ...); spatial
            dimensions are averaged. It is put into evaluation mode.
        dim: d.
        input_size: Height and width; None to take any.
        input_range: What black and white are.
        logits: Maps images to (n, classes), if the module can say.
        channels: 3 if grey images are to be repeated.
        facts: Plain data to keep with results.
    """

    def __init__(
        self,
        name: str,
        module: nn.Module,
        dim: int,
        *,
        input_size: tuple[int, int] | None = None,
        input_range: tuple[float, float] = (0.0, 1.0),
        logits: Callable[[Tensor], Tensor] | None = None,
        channels: int | None = None,
        facts: dict[str, Any] | None = None,
    ) -> None:
        self.name, self.dim = name, dim
        self.input_size, self.input_range, self.channels = input_size, input_range, channels
        self.facts = dict(facts or {})
        self.identity = content_of(module, f"{dim} {input_size} {input_range} {channels}")
        self._module = module.eval().requires_grad_(False)
        if logits is not None:
            self.logits = logits

    def features(self, images: Tensor) -> Tensor:
        """See `FeatureExtractor`."""
        found: Tensor = self._module(images)
        return found.flatten(2).mean(2) if found.ndim > 2 else found


def content_of(module: nn.Module, what: str = "") -> str:
    """Hash of a module's structure, parameters and buffers, 16 hexadecimal digits.

    Args:
        module: On any device.
        what: What else belongs to it.
    """
    digest = hashlib.sha256(f"{what}\0{module!r}".encode())
    for name, tensor in module.state_dict().items():
        array = tensor.detach().cpu().contiguous()
        digest.update(f"{name} {array.dtype} {tuple(array.shape)}".encode())
        digest.update(array.reshape(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()[:16]


def prepared(extractor: FeatureExtractor, images: Tensor) -> Tensor:
    """Images as an extractor takes them.

    Another size is reached by bicubic interpolation with a filter against aliasing, as Pillow has
    it, and rounded to whole grey levels again.

    Args:
        extractor: The extractor.
        images: uint8 (n, channels, height, width).
    """
    size = extractor.input_size
    if size is not None and tuple(images.shape[2:]) != tuple(size):
        scaled = F.interpolate(
            images.float(), size=size, mode="bicubic", align_corners=False, antialias=True
        )
        images = scaled.round_().clamp_(0, 255).to(torch.uint8)
    wanted = getattr(extractor, "channels", None)
    if wanted is not None and images.shape[1] != wanted:
        if images.shape[1] != 1:
            raise ConfigError(
                f"extractor {extractor.name!r} takes {wanted} channels, not {images.shape[1]}",
                "use another extractor",
            )
        images = images.expand(-1, wanted, -1, -1)
    low, high = extractor.input_range
    return images.float() * ((high - low) / 255) + low


def features_of(extractor: FeatureExtractor, images: Tensor, device: str) -> NDArray[np.float64]:
    """Features (n, d) in float64 of uint8 images (n, channels, height, width).

    Raises:
        ConfigError: The extractor gives something else than it says.
    """
    found = _gathered(extractor.features, extractor, images, device)
    if found.shape != (len(images), extractor.dim):
        raise ConfigError(
            f"extractor {extractor.name!r} gave features of the shape {found.shape}",
            f"expected {(len(images), extractor.dim)}",
        )
    return found


def logits_of(
    extractor: FeatureExtractor, images: Tensor, device: str
) -> NDArray[np.float64] | None:
    """Logits (n, classes) in float64; None if the extractor has none."""
    logits = getattr(extractor, "logits", None)
    return None if logits is None else _gathered(logits, extractor, images, device)


@torch.no_grad()
def _gathered(
    function: Callable[[Tensor], Tensor], extractor: FeatureExtractor, images: Tensor, device: str
) -> NDArray[np.float64]:
    parts = [
        function(prepared(extractor, batch)).double().cpu().numpy()
        for batch in _batches(images, device)
    ]
    return np.concatenate(parts)


def _batches(images: Tensor, device: str) -> Iterator[Tensor]:
    for start in range(0, len(images), BATCH):
        yield images[start : start + BATCH].to(device)
