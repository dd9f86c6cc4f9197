"""Predictors of a candidate's figures, and proxies for them; none is registered yet."""

from __future__ import annotations

from typing import Any

from nas.core.registry import Registry

__all__ = ["PREDICTORS", "PROXIES"]

PREDICTORS: Registry[Any] = Registry("predictor", "nas.predictors")
PROXIES: Registry[Any] = Registry("proxy", "nas.proxies")
