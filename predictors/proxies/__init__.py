"""Proxies: figures of an untrained network that say something about the trained one.

``measure(network, images, labels, ["synflow", "naswot"])`` works them out on a copy: the network
stays as it was. Importing this imports no torch.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from nas.core.registry import Registry

if TYPE_CHECKING:
    from torch import Tensor, nn

    from predictors.proxies.base import Proxy

__all__ = ["PROXIES", "list_proxies", "measure"]

PROXIES: Registry[Proxy] = Registry("proxy", "nas.proxies")
"""All proxies; ``PROXIES.add(name, Proxy(...), summary)`` adds one."""

_TABLE = {
    "synflow": ("saliency:SYNFLOW", "how much all paths carry: log of weights times gradients"),
    "snip": ("saliency:SNIP", "how much the loss feels each weight's removal"),
    "grasp": ("saliency:GRASP", "how much the gradient feels each weight's removal"),
    "fisher": ("saliency:FISHER", "how much the loss feels each channel's removal"),
    "grad-norm": ("saliency:GRAD_NORM", "length of the loss's gradient"),
    "jacov": ("separation:JACOV", "how differently images change the output"),
    "naswot": ("separation:NASWOT", "how differently images switch the rectifiers"),
    "rankme": ("separation:RANKME", "effective rank of the last features"),
    "zen": ("expressivity:ZEN", "how much noise in the input moves the last feature map"),
    "params": ("size:PARAMS", "parameters"),
    "macs": ("size:MACS", "multiply-accumulates for one image"),
}

for _name, (_target, _summary) in _TABLE.items():
    PROXIES.add(_name, f"predictors.proxies.{_target}", _summary)


def list_proxies() -> list[str]:
    """Names of all proxies, those of installed plug-ins included."""
    return PROXIES.names()


def measure(
    network: nn.Module, images: Tensor, labels: Tensor, names: Iterable[str], seed: int = 0
) -> dict[str, float]:
    """Work out proxies of a network; higher promises better, whatever the proxy.

    Args:
        network: An untrained classifier, on any device; neither its parameters nor its statistics
            nor its mode are changed.
        images: One batch ``(B, C, H, W)`` as in training, on the same device.
        labels: Classes ``(B,)``.
        names: Members of `PROXIES`.
        seed: Of the noise that some draw; torch's own generators are left alone.

    Returns:
        By name; NaN where the proxy is not defined, e.g. for a network through which nothing
        flows, or is not finite.

    Raises:
        PluginError: A proxy is unknown.
        ValueError: Images and labels do not fit, or there is none.
    """
    from predictors.proxies.base import measure_all

    return measure_all(network, images, labels, {name: PROXIES.get(name) for name in names}, seed)
