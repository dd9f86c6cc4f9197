"""Alternating optimisation of a supernet: a step of the alphas, a step of the weights.

DARTS, Liu et al., ICLR 2019, algorithm 1. The two halves of the training data come from two
endless streams that are reshuffled every epoch, so that every alpha step sees another batch.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from nas.core.errors import CandidateError, Interrupted
from nas.core.protocols import Context
from nas.oneshot.bilevel import WeightStep, gradients, second_order
from nas.strategies.darts import DartsSettings
from nas.training.augment import Augmentation, Pipeline
from nas.training.data.dataset import DataSet
from nas.training.device import autocast, deterministic, full_precision
from nas.training.graphs import Pool, Recorded
from nas.training.randomness import generator, seeded
from nas.training.stream import Placed, Stream
from search_spaces.supernet import EDGES, Mixture, Supernet

Slopes = tuple[Tensor, Tensor, Sequence[Tensor | None]]

TUNING_RATE = 0.1
"""Share of the search's learning rate that weights are tuned with between decisions."""

PASSES = {"first": 3, "second": 12, "second-exact": 12}
"""Forward passes that an alpha step amounts to, a backward pass counted as two."""


def perturbed(mixture: Mixture, epsilon: float, chance: torch.Generator) -> dict[str, Tensor]:
    """A mixture moved by uniform noise in [-epsilon, epsilon], clamped and renormalised by row.

    SDARTS-RS (Chen & Hsieh, ICML 2020, equation 5; uniform, as in their code). Rows that are
    one-hot or zero are decided and stay as they are, and so do weights of whole edges.
    """
    result = {}
    for group, table in mixture.items():
        if group.endswith(EDGES):
            result[group] = table
            continue
        noise = torch.rand(table.shape, generator=chance, dtype=torch.float32).to(table)
        moved = (table + (2 * noise - 1) * epsilon).clamp(0, 1)
        total = moved.sum(dim=1, keepdim=True)
        decided = ((table == 0) | (table == 1)).all(dim=1, keepdim=True)
        # With many operations and a wide noise all of a row may be clamped to zero.
        stays = decided | (total == 0)
        result[group] = torch.where(stays, table, moved / total.masked_fill(stays, 1))
    return result


@dataclass
class Progress:
    """Where a training is; with both optimisers' states and the supernet's, all there is.

    Attributes:
        epochs: Epochs done.
        tuning: Whether decisions are being made.
        begun: Epoch at which tuning began.
    """

    epochs: int = 0
    tuning: bool = False
    begun: int = 0


class SupernetTraining:
    """The optimisers, the data and the loop over an epoch.

    Args:
        supernet: On its device.
        data: Its training split is divided into two halves, for weights and alphas.
        settings: Of the strategy.
        seed: Governs the division, the order and the augmentation.
        device: Where the supernet is.
    """

    def __init__(
        self,
        supernet: Supernet,
        data: DataSet,
        settings: DartsSettings,
        seed: int,
        device: torch.device,
    ) -> None:
        self.supernet = supernet
        self.settings = settings
        self.seed = seed
        self.device = device
        self.progress = Progress()
        weights_half, alphas_half = data.halves(seed)
        size = settings.weights.batch_size
        self.validation = Placed(alphas_half, device)
        self._train_stream = Stream(Placed(weights_half, device), size, seed, "weights", fixed=True)
        self._valid_stream = Stream(self.validation, size, seed, "alphas", fixed=True)
        pictures = settings.pictures
        self.pipeline = Pipeline(
            data.mean,
            data.std,
            Augmentation(bool(pictures.flip), pictures.crop_padding or 0, pictures.cutout),
            device,
        )
        self._groups = tuple(supernet.mixture())
        pool = Pool()
        self._weight_gradients = self._recorded(self._find_weight_gradients, pool)
        self._alpha_gradients = self._recorded(self._find_alpha_gradients, pool)
        self.weight_optimizer = self._new_weight_optimizer(settings.weights.learning_rate)
        alphas = settings.alphas
        self.alpha_optimizer = torch.optim.Adam(
            supernet.alpha_parameters(),
            lr=alphas.learning_rate,
            betas=alphas.betas,
            weight_decay=alphas.weight_decay,
        )

    @property
    def steps(self) -> int:
        """Steps of an epoch."""
        return self._train_stream.steps

    def images(self) -> int:
        """Pictures an epoch takes from either half."""
        return self.steps * min(self.settings.weights.batch_size, len(self.validation))

    def loss(
        self, inputs: Tensor, labels: Tensor, mixture: Mixture, precision: str = "auto"
    ) -> tuple[Tensor, Tensor]:
        """Mean cross-entropy, and the logits `(B, classes)` in float32."""
        with autocast(self.device, precision):
            logits = self.supernet(inputs, mixture)
        logits = logits.float() if logits.dtype is torch.bfloat16 else logits
        return functional.cross_entropy(logits, labels), logits

    def begin_tuning(self) -> None:
        """New weight optimiser with a small constant rate (DARTS-PT, appendix; a tenth)."""
        chosen = self.settings.selection.learning_rate
        rate = chosen or TUNING_RATE * self.settings.weights.learning_rate
        self.weight_optimizer = self._new_weight_optimizer(rate)
        self.progress.tuning = True
        self.progress.begun = self.progress.epochs

    def forget_dead(self) -> None:
        """Drop optimiser state of weights that a decision has freed."""
        live = self.supernet.weight_parameters()
        (group,) = self.weight_optimizer.param_groups
        group["params"] = live
        keep = {id(p) for p in live}
        for parameter in list(self.weight_optimizer.state):
            if id(parameter) not in keep:
                del self.weight_optimizer.state[parameter]
        for recorded in (self._weight_gradients, self._alpha_gradients):
            recorded.forget()

    def epoch(self, context: Context) -> dict[str, Any]:
        """Train for one epoch.

        Raises:
            CandidateError: The loss is no longer finite.
            Interrupted: The context asked to stop; the state is then that of half an epoch.
        """
        number = self.progress.epochs
        (group,) = self.weight_optimizer.param_groups
        if not self.progress.tuning:
            group["lr"] = self._cosine(number)
        train, valid = _Sums(self.device), _Sums(self.device)
        chance = {
            "host": generator(self.seed, "mixture", number),
            "train": generator(self.seed, "pictures", "train", number, device=self.device),
            "valid": generator(self.seed, "pictures", "valid", number, device=self.device),
        }
        with deterministic(), seeded(self.seed, "supernet", number, device=self.device):
            for step in range(self.steps):
                if context.should_stop():
                    raise Interrupted
                index = number * self.steps + step
                images, labels = self._train_stream.batch(index)
                batch = self.pipeline.train(images, chance["train"]), labels
                if self._alphas_learn(number):
                    images, labels = self._valid_stream.batch(index)
                    held_out = self.pipeline.train(images, chance["valid"]), labels
                    self._alpha_step(batch, held_out, valid)
                self._weight_step(batch, train, chance["host"])
                context.emit(
                    "progress",
                    {
                        "phase": "tune" if self.progress.tuning else "supernet",
                        "step": number,
                        "unit": "epoch",
                        "steps": self.settings.epochs,
                        "scalars": {"batch": step + 1, "batches": self.steps},
                    },
                )
        self.progress.epochs = number + 1
        figures = {"train_loss": train.loss(), "train_error": train.error()}
        if valid.images:
            figures |= {"loss": valid.loss(), "error": valid.error()}
        if not all(math.isfinite(value) for value in figures.values()):
            raise CandidateError(
                "the supernet diverged: its loss is not finite", "lower weights.learning_rate"
            )
        return {"learning_rate": group["lr"], **figures}

    def epoch_passes(self, number: int) -> int:
        """Forward passes per picture of the weights' half that epoch `number` amounts to."""
        alphas = PASSES[self.settings.alphas.order] if self._alphas_learn(number) else 0
        return 3 + alphas

    def state(self) -> dict[str, Any]:
        """Everything but the supernet."""
        return {
            "weights": self.weight_optimizer.state_dict(),
            "alphas": self.alpha_optimizer.state_dict(),
            "progress": dict(self.progress.__dict__),
        }

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Undo of `state`; the supernet must have its structure already."""
        self.forget_dead()
        self.weight_optimizer.load_state_dict(state["weights"])
        if self.device.type != "cuda":
            # How a step is computed comes with the state; the fused form of CPUs takes gradients
            # in another order in memory than their weights' for what they are not.
            (group,) = self.weight_optimizer.param_groups
            group["fused"], group["foreach"] = None, True
        self.alpha_optimizer.load_state_dict(state["alphas"])
        self.progress = Progress(**state["progress"])

    def _alphas_learn(self, epoch: int) -> bool:
        return not self.settings.alphas.fixed and epoch >= self.settings.warmup

    def _alpha_step(
        self, batch: tuple[Tensor, Tensor], held_out: tuple[Tensor, Tensor], sums: _Sums
    ) -> None:
        supernet, order = self.supernet, self.settings.alphas.order
        alphas = supernet.alpha_parameters()

        def objective(pair: tuple[Tensor, Tensor], into: _Sums | None) -> Callable[[], Tensor]:
            def compute() -> Tensor:
                # Weights move by 0.01 in all for the finite difference: bfloat16 would not see it.
                loss, logits = self.loss(*pair, supernet.mixture(), "float32")
                if into is not None:
                    into.add(loss, logits, pair[1])
                return loss

            return compute

        if order == "first":
            loss, logits, found = self._alpha_gradients(*held_out)
            sums.add(loss, logits, held_out[1])
        else:
            with full_precision():
                found, _ = second_order(
                    alphas,
                    self._weights(),
                    (objective(batch, None), objective(held_out, sums)),
                    WeightStep.of(self.weight_optimizer),
                    exact=order == "second-exact",
                )
        for alpha, gradient in zip(alphas, found, strict=True):
            alpha.grad = gradient
        self.alpha_optimizer.step()
        self.alpha_optimizer.zero_grad()

    def _weight_step(
        self, batch: tuple[Tensor, Tensor], sums: _Sums, chance: torch.Generator
    ) -> None:
        mixture: Mixture = {k: v.detach() for k, v in self.supernet.mixture().items()}
        epsilon = self._epsilon()
        if epsilon:
            mixture = perturbed(mixture, epsilon, chance)
        weights = self._weights()
        loss, logits, found = self._weight_gradients(*batch, *mixture.values())
        for weight, gradient in zip(weights, found, strict=True):
            weight.grad = gradient
        torch.nn.utils.clip_grad_norm_(weights, self.settings.weights.clip_norm)
        self.weight_optimizer.step()
        self.weight_optimizer.zero_grad()
        sums.add(loss, logits, batch[1])

    def _find_alpha_gradients(self, images: Tensor, labels: Tensor) -> Slopes:
        """Loss, logits, and the gradient of each alpha with the weights held (first order)."""
        supernet = self.supernet
        with supernet.alphas_only():
            loss, logits = self.loss(images, labels, supernet.mixture())
        return loss.detach(), logits.detach(), gradients(loss, supernet.alpha_parameters())

    def _find_weight_gradients(self, images: Tensor, labels: Tensor, *tables: Tensor) -> Slopes:
        """Loss, logits, and the gradient of each weight; None for those that took no part."""
        mixture = dict(zip(self._groups, tables, strict=True))
        loss, logits = self.loss(images, labels, mixture)
        found = torch.autograd.grad(loss, self._weights(), allow_unused=True)
        return loss.detach(), logits.detach(), found

    def _recorded(self, function: Callable[..., Slopes], pool: Pool) -> Recorded[Slopes]:
        """As graphs of the GPU, unless the supernet draws random numbers on the way."""
        return Recorded(function, pool, record=not self.supernet.random)

    def _epsilon(self) -> float:
        variant = self.settings.variant
        if variant.name != "sdarts-rs":
            return 0.0
        if self.progress.tuning:
            return variant.tuning_epsilon
        first, last = variant.epsilon
        return first + (last - first) * self.progress.epochs / self.settings.epochs

    def _cosine(self, epoch: int) -> float:
        weights = self.settings.weights
        high, low = weights.learning_rate, weights.final_learning_rate
        return low + (high - low) * (1 + math.cos(math.pi * epoch / self.settings.epochs)) / 2

    def _weights(self) -> Sequence[Tensor]:
        (group,) = self.weight_optimizer.param_groups
        return group["params"]  # type: ignore[no-any-return]

    def _new_weight_optimizer(self, rate: float) -> torch.optim.SGD:
        weights = self.settings.weights
        return torch.optim.SGD(
            self.supernet.weight_parameters(),
            lr=rate,
            momentum=weights.momentum,
            weight_decay=weights.weight_decay,
            **({"fused": True} if self.device.type == "cuda" else {"foreach": True}),
        )


class _Sums:
    """Loss and mistakes of an epoch, summed on the device so that no step waits for it."""

    def __init__(self, device: torch.device) -> None:
        self._loss = torch.zeros((), device=device, dtype=torch.float64)
        self._wrong = torch.zeros((), device=device, dtype=torch.int64)
        self.images = 0

    def add(self, loss: Tensor, logits: Tensor, labels: Tensor) -> None:
        self._loss += loss.detach() * len(labels)
        self._wrong += (logits.detach().argmax(1) != labels).sum()
        self.images += len(labels)

    def loss(self) -> float:
        return float(self._loss) / self.images

    def error(self) -> float:
        return float(self._wrong) / self.images
