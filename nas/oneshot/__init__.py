"""What lives beside the device while a supernet is searched: sessions and their numerics.

`session` answers a strategy's calls; `training` alternates the steps of weights and alphas,
`bilevel` holds the gradients of the latter, `measuring` what a supernet loses without a part of
it, `curvature` the sign of collapse. Importing this package imports none of them.
"""

from __future__ import annotations

from typing import Any

from nas.core.registry import Registry

__all__ = ["SESSIONS"]

SESSIONS: Registry[Any] = Registry("session", "nas.sessions")
"""A member is called with the run's specification and a `Context` and gives a `Session`."""

SESSIONS.add(
    "supernet", "nas.oneshot.session:open_supernet", "a weight-sharing network and its training"
)
SESSIONS.add(
    "gan-supernet",
    "nas.oneshot.gan:open_gan_supernet",
    "generators that share weights, and pairs with discriminators that do",
)
