"""Proxies from how differently a network treats different images."""

from __future__ import annotations

import math
from typing import Any, Final

import torch
from torch import Tensor, nn
from torch.autograd import grad
from torch.utils._python_dispatch import TorchDispatchMode

from predictors.proxies.base import Batch, Proxy, logits, outputs_of

__all__ = ["JACOV", "NASWOT", "RANKME"]

_SMALL: Final = 1e-5


def jacov(network: nn.Module, batch: Batch) -> float:
    """Minus the divergence of the correlations of the images' derivatives from none at all.

    Of each image: the derivative of the sum of its logits in its pixels. With the eigenvalues v of
    their correlation matrix: -sum(log(v + k) + 1 / (v + k)), k = 1e-5.
    """
    images = batch.images.detach().clone().requires_grad_(True)
    output = logits(network, images).sum()
    if not output.requires_grad:
        return math.nan
    (slope,) = grad(output, images, allow_unused=True)
    if slope is None:
        return math.nan
    rows = slope.flatten(1).double()
    rows = rows - rows.mean(1, keepdim=True)
    rows = rows / rows.norm(dim=1, keepdim=True)  # an image without effect: NaN
    correlation = rows @ rows.T
    if not torch.isfinite(correlation).all():
        return math.nan
    values = torch.linalg.eigvalsh(correlation).clamp(min=0) + _SMALL
    return -float((values.log() + 1 / values).sum())


class _Rectified(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Adds up, over all rectifiers, how many units are in the same state for two images."""

    def __init__(self, images: int) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.images = images
        self.same: Tensor | None = None

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        output = func(*args, **(kwargs or {}))
        # Networks call it as a module or as a function, in place or not: all end here.
        if func in _RECTIFIERS and len(output) == self.images:
            on = (output > 0).flatten(1).double()
            same = on @ on.T + (1 - on) @ (1 - on).T
            self.same = same if self.same is None else self.same + same
        return output


_RECTIFIERS: Final = (torch.ops.aten.relu.default, torch.ops.aten.relu_.default)


@torch.no_grad()
def naswot(network: nn.Module, batch: Batch) -> float:
    """Logarithm of the determinant of how alike the images' patterns of active units are."""
    with _Rectified(len(batch.images)) as counter:
        logits(network, batch.images)
    if counter.same is None:
        return math.nan
    sign, value = torch.linalg.slogdet(counter.same)
    return float(value) if sign > 0 else math.nan


@torch.no_grad()
def rankme(network: nn.Module, batch: Batch) -> float:
    """Exponential of the entropy of the singular values of what the last linear layer reads."""
    read: list[Tensor] = []

    def keep(module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        if isinstance(module, nn.Linear) and inputs[0].ndim == 2:
            read.append(inputs[0])

    with outputs_of(network, keep):
        logits(network, batch.images)
    if not read or not torch.isfinite(read[-1]).all():
        return math.nan
    values = torch.linalg.svdvals(read[-1].double())
    if not float(values.sum()) > 0:
        return math.nan
    share = values / values.sum()
    return float(torch.special.entr(share).sum().exp())


JACOV = Proxy(jacov, True, "backward", "Mellor et al., arXiv 2006.04647v1")
NASWOT = Proxy(naswot, True, "forward", "Mellor et al., ICML 2021")
RANKME = Proxy(rankme, True, "forward", "Garrido et al., ICML 2023")
