"""All chance of training comes from here: seeds derived by name, and their generators.

Nothing draws from the global generators except inside `seeded`, which gives them back as
they were.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from nas.core.seeds import derive

__all__ = ["derive", "drawn_labels", "generator", "global_state", "seeded", "set_global_state"]


def generator(seed: int, *parts: str | int, device: torch.device | str = "cpu") -> torch.Generator:
    """A generator on `device`, seeded by `derive`."""
    made = torch.Generator(device=device)
    made.manual_seed(derive(seed, *parts))
    return made


@contextmanager
def seeded(seed: int, *parts: str | int, device: torch.device | str = "cpu") -> Iterator[None]:
    """Seed torch's global generators (of the host and `device`) for a while.

    For what draws from them and takes no generator: initial weights, dropout, drop-path.
    """
    with torch.random.fork_rng(devices=_accelerators(device)):
        torch.manual_seed(derive(seed, *parts))
        yield


def drawn_labels(logits: torch.Tensor, chance: torch.Generator | None) -> torch.Tensor:
    """Labels (batch,) drawn from what a network says; no host sync.

    They are those of `torch.multinomial`, which on a GPU looks at its arguments and waits.

    Args:
        logits: (batch, classes).
        chance: On their device; None for torch's own.
    """
    shares = logits.detach().float().softmax(1)
    return (shares / torch.empty_like(shares).exponential_(generator=chance)).argmax(1)


def global_state(device: torch.device | str) -> list[torch.Tensor]:
    """States of the global generators of the host and, if it has one, of `device`."""
    states = [torch.get_rng_state()]
    if torch.device(device).type == "cuda":
        states.append(torch.cuda.get_rng_state(device))
    return states


def set_global_state(states: list[torch.Tensor], device: torch.device | str) -> None:
    """Undo of `global_state`."""
    torch.set_rng_state(states[0])
    if len(states) > 1:
        torch.cuda.set_rng_state(states[1], device)


def _accelerators(device: torch.device | str) -> list[torch.device]:
    device = torch.device(device)
    if device.type != "cuda":
        return []
    return [torch.device("cuda", torch.cuda.current_device()) if device.index is None else device]
