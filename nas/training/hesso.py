"""HESSO: channels become zero while a network is trained (see `nas.training.pruning`).

The optimizer is any: it takes its step, then the groups that are to go are made smaller, in step t
of T of a period by (T - t - 1) / (T - t), and those that are gone are zero again whatever momentum
wants. These have no gradient either, so that they count in no length and no optimizer's memory.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final, TypeAlias

import numpy as np
import torch
from torch import Tensor, nn

from nas.core.config import build_settings
from nas.core.errors import CandidateError
from nas.layers.adapt import adapt
from nas.layers.channels import Channels, Groups, find_channels
from nas.training.averaging import Average
from nas.training.pruning import HessoSettings, Period, periods, target
from nas.training.recipe import TrainingRecipe

__all__ = ["Hesso", "check_room", "choose", "removing", "scores"]

WEIGHT: Final = 0.2
"""Of each of the five criteria."""
TINY: Final = 1e-12
UNTOUCHED: Final = ("running_var",)
"""What a channel has that is not made zero with it: a normalisation divides by it."""

Numbers: TypeAlias = np.ndarray[Any, np.dtype[np.float64]]
Marks: TypeAlias = np.ndarray[Any, np.dtype[np.bool_]]


class Hesso:
    """Removes channels of a network in training.

    Args:
        network: On its device.
        channels: Its groups.
        periods: When, and how many.
        average: The moving average of its weights, if there is one: the same is done to it.

    Attributes:
        gone: Whether each group is zero for good `(count,)`.
    """

    def __init__(
        self,
        network: nn.Module,
        channels: Channels,
        periods: Sequence[Period],
        average: Average | None = None,
    ) -> None:
        self._channels, self._periods = channels, periods
        self.gone = np.zeros(channels.count, bool)
        self._going = np.zeros(channels.count, bool)
        tensors = {**dict(network.named_parameters()), **dict(network.named_buffers())}
        touched = {n: g for n, g in channels.rows.items() if not n.endswith(UNTOUCHED)}
        self._weights = [
            (tensors[name], groups)
            for name, groups in touched.items()
            if isinstance(tensors[name], nn.Parameter) and (groups >= 0).any()
        ]
        beside = {} if average is None else average.beside
        self._touched: list[Tensor] = []
        groups: list[Groups] = []
        for name, belong in touched.items():
            live = tensors[name]
            for tensor in [live, *([beside[id(live)]] if id(live) in beside else [])]:
                self._touched.append(tensor)
                groups.append(belong)
        device = self._touched[0].device if self._touched else torch.device("cpu")
        self._index = torch.as_tensor(np.concatenate([*groups, np.zeros(0, np.int64)])).to(device)
        self._lengths = [len(g) for g in groups]
        self._masks: list[Tensor] | None = None  # of what is gone

    def look(self, step: int) -> None:
        """Choose what is to go, if it is time for it, by weights and gradients as they are now.

        Args:
            step: Number of the step that is being taken.
        """
        period = self._period(step)
        if period is None:
            return
        wanted = period.count - int((self.gone | self._going).sum())
        if wanted > 0:
            found = scores(self._weights, self._channels.count)
            taken = self.gone | self._going
            self._going |= choose(found, taken, wanted, self._channels.crowds)

    @torch.no_grad()
    def hush(self) -> None:
        """Take the gradient of what is gone away."""
        if self.gone.any():
            self._scale([None if t.grad is None else t.grad for t in self._touched])

    @torch.no_grad()
    def shrink(self, step: int) -> None:
        """After a step: make smaller what is to go, and zero what is gone."""
        self.look(step)  # where there was no gradient to look at
        period = self._period(step)
        if period is not None and self._going.any():
            left = period.end - step
            factors = np.where(self._going, (left - 1) / left, 1.0)
            self._multiply(self._touched, self._spread(factors))
            if left == 1:
                self.gone, self._going = self.gone | self._going, np.zeros_like(self._going)
                self._masks = None
        if self.gone.any():
            self._scale(list(self._touched))

    def cut(self, network: nn.Module) -> float:
        """Remove what is zero from the network, for good; the share of groups that went.

        Args:
            network: The one in training, or one that has its weights.
        """
        kept = ~self.gone
        layers = self._channels.without(kept)
        if layers:
            weights = self._channels.selected(network.state_dict(), kept)
            adapt(network, "cut", channels=layers)
            network.load_state_dict(weights)
        return float(self.gone.mean()) if len(self.gone) else 0.0

    def state(self) -> dict[str, Tensor]:
        """What the next step depends on."""
        return {"gone": torch.as_tensor(self.gone), "going": torch.as_tensor(self._going)}

    def load_state(self, state: Mapping[str, Tensor]) -> None:
        """Become what gave `state`."""
        self.gone, self._going = state["gone"].numpy(), state["going"].numpy()
        self._masks = None

    def _period(self, step: int) -> Period | None:
        return next((p for p in self._periods if p.begin <= step < p.end), None)

    def _scale(self, tensors: Sequence[Tensor | None]) -> None:
        if self._masks is None:
            self._masks = self._spread(np.where(self.gone, 0.0, 1.0))
        self._multiply(tensors, self._masks)

    def _spread(self, factors: Numbers) -> list[Tensor]:
        """A factor of each group as factors of tensors, along the first dimension."""
        every = torch.as_tensor(np.append(factors, 1.0)).to(self._index.device)[self._index]
        return list(torch.split(every, self._lengths))

    @staticmethod
    def _multiply(tensors: Sequence[Tensor | None], factors: Sequence[Tensor]) -> None:
        for tensor, factor in zip(tensors, factors, strict=True):
            if tensor is not None:
                tensor.mul_(factor.to(tensor.dtype).view(-1, *[1] * (tensor.dim() - 1)))


def removing(
    network: nn.Module,
    input_shape: Sequence[int],
    recipe: TrainingRecipe,
    ends: Sequence[int],
    average: Average | None = None,
) -> Hesso | None:
    """What removes channels as a recipe wants; None where it wants none removed.

    Args:
        network: On its device.
        input_shape: Of one input; channels, height and width of an image.
        recipe: How it is trained.
        ends: Number of steps after which each of the recipe's shares is had.
        average: The moving average of its weights, if there is one.

    Raises:
        UnsupportedError: It is not known which channels of the network go together.
        CandidateError: So many cannot go.
    """
    if not recipe.prune:
        return None
    channels = find_channels(network, input_shape)
    check_room(channels, recipe.prune)
    settings = build_settings(HessoSettings, recipe.prune_settings, "prune setting")
    when = periods(recipe.prune, ends, channels.count, settings)
    return Hesso(network, channels, when, average)


def check_room(channels: Channels, shares: Sequence[float]) -> None:
    """Refuse a share that would leave a layer without channels.

    Raises:
        CandidateError: So many groups cannot go, or there is none.
    """
    if not channels.count:
        raise CandidateError(
            "the network has no channels that can be removed", "train it without pruning"
        )
    for share in shares:
        if target(share, channels.count) > channels.most:
            raise CandidateError(
                f"prune = {share:g} of {channels.count} groups of channels would empty a layer",
                f"at most {channels.most} can go",
            )


def scores(weights: Sequence[tuple[Tensor, Groups]], count: int) -> Numbers:
    """How much each group matters, the lower the less `(count,)`.

    The mean of five criteria, each divided by its length over all groups: with w all that makes
    and scales a group and g its gradient, |w|, |w| over the number of weights, 1 + cos(w, g),
    |<w, g>| and <w, g> squared over 2, the signs as in the authors' code. Without gradients the
    first two decide.

    Args:
        weights: Each with the group of each of its rows, -1 for none.
        count: Of groups.
    """
    sums = np.zeros((4, count + 1))
    for weight, groups in weights:
        rows = weight.detach().flatten(1) if weight.dim() > 1 else weight.detach()[:, None]
        slopes = torch.zeros_like(rows) if weight.grad is None else weight.grad.reshape(rows.shape)
        rows, slopes = rows.double(), slopes.double()
        sizes = rows.new_full((len(rows),), rows.shape[1])
        told = torch.stack(
            [rows.square().sum(1), slopes.square().sum(1), (rows * slopes).sum(1), sizes]
        )
        for total, values in zip(sums, told.cpu().numpy(), strict=True):
            total += np.bincount(groups + 1, values, count + 1)
    square, steep, product, size = sums[:, 1:]
    length = np.sqrt(square)
    criteria = [
        length,
        length / np.maximum(size, 1),
        1 + product / np.maximum(length * np.sqrt(steep), TINY),
        np.abs(product),
        product**2 / 2,
    ]
    found = np.zeros(count)
    for values in criteria:
        found += WEIGHT * values / max(float(np.sqrt((values**2).sum())), TINY)
    return found


def choose(found: Numbers, taken: Marks, count: int, crowds: Sequence[frozenset[int]]) -> Marks:
    """The groups with the lowest scores, but of each crowd the best of those still there stays.

    Args:
        found: Scores.
        taken: Groups chosen earlier.
        count: How many; fewer if there is no more room.
        crowds: Sets of groups of which one has to stay.
    """
    free = ~taken
    for crowd in crowds:
        free[max((g for g in crowd if not taken[g]), key=lambda g: (found[g], -g))] = False
    order = [g for g in np.argsort(found, kind="stable") if free[g]]
    chosen = np.zeros_like(taken)
    chosen[order[:count]] = True
    return chosen
