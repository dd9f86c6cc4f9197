"""Drives the session "gan-supernet" on real, tiny networks, and looks into it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from nas.core.config import RunConfig, merge
from nas.core.protocols import Context
from nas.measure.gan.features import ModuleExtractor
from nas.oneshot.gan import GanSession, open_gan_supernet
from nas.training.data.dataset import DataSet
from search_spaces import get_space

NETWORK = {"generator_channels": 3, "discriminator_channels": 3, "latent": 6}
SETTINGS: dict[str, Any] = {
    "samples": 60,
    "groups": 3,
    "chunk": 2,
    "generators": {"warmup": 1, "rounds": 2, "epochs": 1, "population": 4, "paths": 2},
    "discriminators": {
        "rounds": 2,
        "warmup": 1,
        "steps": 2,
        "population": 3,
        "replicates": 1,
        "stop": False,
    },
}
GENERATORS: Any = get_space("gan-generator")
DISCRIMINATORS: Any = get_space("gan-discriminator")
AUTOGAN = DISCRIMINATORS.format(DISCRIMINATORS.members["AutoGAN"])


def halves(data: DataSet, seed: int, device: str) -> ModuleExtractor:
    """Means of eight parts: nothing to be trained."""
    return ModuleExtractor("halves", nn.Sequential(nn.AvgPool2d((4, 2)), nn.Flatten()), 8)


def config(limit: int = 40, recipe: Any = None, **settings: Any) -> RunConfig:
    return RunConfig(
        space="gan",
        strategy="eagan",
        evaluator=f"gan:{__name__}:halves",
        objectives=("fd_halves:min", "params:min"),
        network=NETWORK,
        data_settings={"limit": limit},
        recipe={"batch_size": 12, "learning_rate": 1e-2, "ema_decay": 0.9, **(recipe or {})},
        settings=merge(SETTINGS, settings),
    )


class Driver:
    """Calls a session with seeds that depend on the number of the call."""

    def __init__(self, calls: int = 0, device: str = "cpu", **given: Any) -> None:
        self.given, self.calls, self.device = given, calls, device
        spec = config(**given).model_dump(mode="json")
        self.session = open_gan_supernet(spec, Context(device=device))

    def __call__(self, method: str, **arguments: Any) -> Any:
        self.calls += 1
        context = Context(device=self.device, seed=self.calls)
        return self.session.call(method, arguments, context).value

    @property
    def one(self) -> Any:
        return self.session.generators

    @property
    def two(self) -> Any:
        return self.session.pairs

    def reopened(self, path: Path) -> Driver:
        self.session.save(path)
        other = Driver(self.calls, self.device, **self.given)
        chance = torch.get_rng_state()
        other.session.load(path)
        assert torch.equal(torch.get_rng_state(), chance)
        return other


def texts(space: Any, count: int, seed: int = 0) -> list[str]:
    rng = np.random.default_rng(seed)
    return [space.format(space.sample(rng)) for _ in range(count)]


def leaves(value: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    if isinstance(value, dict):
        for key, part in value.items():
            if key != "global_chance":  # set anew at the beginning of every epoch
                yield from leaves(part, f"{path}/{key}")
    elif isinstance(value, list | tuple):
        for number, part in enumerate(value):
            yield from leaves(part, f"{path}/{number}")
    else:
        yield path, value.detach().clone() if isinstance(value, Tensor) else value


def state(of: Any) -> dict[str, Any]:
    """A copy of everything: of a module, an optimizer, a learner, a stage, a session."""
    if isinstance(of, GanSession):
        return dict(leaves([p.state() if p else None for p in (of.generators, of.pairs)]))
    read = of.state_dict if hasattr(of, "state_dict") else of.state
    return dict(leaves(read()))


def same(first: dict[str, Any], second: dict[str, Any]) -> bool:
    return first.keys() == second.keys() and all(
        # What a state keeps for later stays on the host after it was read.
        torch.equal(value.cpu(), second[key].cpu())
        if isinstance(value, Tensor)
        else value == second[key]
        for key, value in first.items()
    )


def storages(of: Any) -> set[int]:
    """Where tensors lie that training writes to."""
    tensors = [t for t in of.state_dict().values()] if isinstance(of, nn.Module) else []
    if not tensors:
        tensors = [v for s in of.state.values() for v in s.values() if isinstance(v, Tensor)]
    return {t.untyped_storage().data_ptr() for t in tensors if t.numel()}


def stage_one(**given: Any) -> Driver:
    ask = Driver(**given)
    ask("begin", discriminator=AUTOGAN)
    return ask


def stage_two(**given: Any) -> Driver:
    ask = stage_one(**given)
    generator = texts(GENERATORS, 1)[0]
    ask("train", epochs=1, paths=[generator])
    ask("pair", generator=generator)
    return ask
