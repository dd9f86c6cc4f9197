"""Proxies: figures of an untrained network that say something about the trained one."""

from __future__ import annotations

from typing import Any

from nas.core.registry import Registry

__all__ = ["PROXIES"]

PROXIES: Registry[Any] = Registry("proxy", "nas.proxies")
"""All proxies."""
