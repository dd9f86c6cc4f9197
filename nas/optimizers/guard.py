"""What every optimizer is watched for, ours or not: losses, gradients and states it cannot use."""

from __future__ import annotations

from itertools import chain
from typing import Any, Final

import torch
from torch import Tensor

from nas.core.errors import ConfigError, DivergenceError
from nas.optimizers.rule import dense
from nas.optimizers.stacks import laid_out

__all__ = ["guard"]

SIGNATURE: Final = "signature"


def guard(optimizer: torch.optim.Optimizer, title: str) -> torch.optim.Optimizer:
    """The same optimizer, whose steps and states are looked at before they change anything.

    A closure that gives no number raises a `DivergenceError` (looked at on CPUs only: elsewhere the
    host would wait for the device), a sparse gradient a `ConfigError`, and so does the state of an
    optimizer of another title or of parameters of other shapes. Gradients, and what a state keeps
    of a weight, are laid out in memory as the weight is: torch's fused steps take all of these to
    lie alike whatever their strides say, and would be wrong without a word on a CPU.

    Args:
        optimizer: Any.
        title: What it is, e.g. "sam(sgd)"; its states bear it.
    """
    shapes = [[list(p.shape) for p in group["params"]] for group in optimizer.param_groups]
    signature = {"optimizer": title, "shapes": shapes}

    def before_step(optimizer: Any, args: Any, kwargs: Any) -> tuple[Any, Any] | None:
        closure = kwargs.get("closure", args[1] if len(args) > 1 else None)
        if closure is None:
            _lay_out_gradients(dense(_parameters(optimizer)))
            return None
        return (optimizer, _Guarded(closure, optimizer)), {}

    def sign(optimizer: Any, state: dict[str, Any]) -> dict[str, Any]:
        return {**state, SIGNATURE: signature}

    def before_loading(optimizer: Any, state: dict[str, Any]) -> None:
        _compare(state.get(SIGNATURE), signature)

    optimizer.register_step_pre_hook(before_step)
    optimizer.register_state_dict_post_hook(sign)
    optimizer.register_load_state_dict_pre_hook(before_loading)
    optimizer.register_load_state_dict_post_hook(_lay_out)
    return optimizer


class _Guarded:
    """A closure that looks at what another gives."""

    def __init__(self, closure: Any, optimizer: torch.optim.Optimizer) -> None:
        self._closure, self._optimizer = closure, optimizer

    def __call__(self, **wishes: Any) -> Any:
        found = self._closure(**wishes)
        _lay_out_gradients(dense(_parameters(self._optimizer)))
        if found is None or (isinstance(found, Tensor) and found.device.type != "cpu"):
            return found
        value = torch.as_tensor(found).detach()
        if not bool(value.isfinite().all()):
            what = "gradient in the inputs" if wishes.get("inputs") else "loss"
            number = (
                f"is {float(value)}" if value.numel() == 1 else "has elements that are no number"
            )
            raise DivergenceError(
                f"diverged: the {what} {number}", "lower learning_rate or clip_norm"
            )
        return found

    def __getattr__(self, name: str) -> Any:
        return getattr(self._closure, name)


def _parameters(optimizer: torch.optim.Optimizer) -> list[Tensor]:
    return [p for group in optimizer.param_groups for p in group["params"]]


def _lay_out_gradients(weights: list[Tensor]) -> None:
    for weight in weights:
        if weight.grad is not None:
            weight.grad = laid_out(weight.grad, weight)


def _lay_out(optimizer: torch.optim.Optimizer) -> None:
    """Make what is kept of a weight lie in memory as the weight does."""
    for weight in _parameters(optimizer):
        kept = optimizer.state.get(weight, {})
        for name, value in kept.items():
            if isinstance(value, Tensor) and value.shape == weight.shape:
                kept[name] = laid_out(value, weight)


def _compare(theirs: Any, ours: dict[str, Any]) -> None:
    """Refuse a state by what it says of itself."""
    title = ours["optimizer"]
    if not isinstance(theirs, dict) or theirs.get("optimizer") != title:
        kind = theirs.get("optimizer") if isinstance(theirs, dict) else "an unknown optimizer"
        raise ConfigError(f"the state is of {kind}, not of {title}", "begin anew")
    found, wanted = theirs.get("shapes"), ours["shapes"]
    if found == wanted:
        return
    ways = zip(chain(*(found or [])), chain(*wanted), strict=False)
    first = next((f": {a} where {b} is" for a, b in ways if a != b), "")
    raise ConfigError(
        f"the state of {title} is of parameters of other shapes or groups{first}",
        "begin anew, or build the network it was saved from",
    )
