"""What the two networks of a pair minimise, as functions of tensors alone."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, cast

import torch
from torch import Tensor, nn

from nas.core.registry import imported
from nas.training.gan.augment import View, policy_of
from nas.training.gan.criteria import GAN_LOSSES
from nas.training.gan.losses import gradient_penalty
from nas.training.gan.recipe import GanRecipe
from nas.training.gradients import Minimised
from nas.training.statistics import counted, counting

__all__ = ["Objective", "scored"]


@dataclass(frozen=True)
class Objective:
    """The losses of a recipe. Functions made here know the networks and nobody else.

    Attributes:
        generator: In its place.
        discriminator: In its place.
        losses: Of "discriminator" and "generator", see `nas.training.gan.losses`.
        pairs: Whether that of the generator needs scores of real images.
        weight: Of the penalty of the discriminator's gradients, where it is due.
        together: Whether real and generated images are scored in one batch.
        policy: What images undergo before they are scored, see `nas.training.gan.augment`.
    """

    generator: nn.Module
    discriminator: nn.Module
    losses: dict[str, Callable[..., Any]]
    pairs: bool
    weight: float
    together: bool
    policy: tuple[str, ...]

    @classmethod
    def of(
        cls, generator: nn.Module, discriminator: nn.Module, recipe: GanRecipe, gamma: float
    ) -> Objective:
        """That of a recipe.

        Args:
            generator: Maps latent vectors to images.
            discriminator: Maps images to scores.
            recipe: How to train.
            gamma: Weight of the penalties of every step.
        """
        row = GAN_LOSSES.get(recipe.loss)
        losses = {
            "discriminator": imported(row.discriminator),
            "generator": imported(row.generator),
        }
        apart = getattr(discriminator, "scores_apart", False) is True
        together = apart and not counted(discriminator)
        weight = gamma * recipe.penalty_every
        return cls(
            generator, discriminator, losses, row.pairs, weight, together, policy_of(recipe.augment)
        )

    def of_discriminator(self, due: bool, first: bool) -> Minimised:
        """From real and generated images and what is drawn of views: the loss with its penalty.

        The second result is the loss without, the third the scores of all images.

        Args:
            due: Whether the gradient is penalised.
            first: Whether running statistics count the batch.
        """
        network, weight, together = self.discriminator, self.weight, self.together
        policy = self.policy
        minimised = self.losses["discriminator"]

        def find(real: Tensor, fake: Tensor, *drawn: Tensor) -> tuple[Tensor, Tensor, Tensor]:
            count, view = len(real), View(policy, drawn)
            batches = [torch.cat([real, fake])] if together else [real, fake]

            def score(images: Tensor) -> Tensor:
                shown = [view(part) for part in torch.split(images, count)]
                return scored(network, torch.cat(shown))

            scores, penalties = [], []
            with counting(network, first):
                for batch in batches:
                    if due:
                        of_batch, penalty = gradient_penalty(score, batch)
                        penalties.append(penalty)
                    else:
                        of_batch = score(batch)
                    scores.append(of_batch)
            both = torch.cat(scores)
            found: Tensor = minimised(*torch.split(both, count))
            if not penalties:
                return found, found, both
            # Half of R1 and half of R2.
            return found + weight * torch.stack(penalties).mean(), found, both

        return find

    def of_generator(self, first: bool) -> Minimised:
        """From latent vectors, scores of real images where pairs are compared, and what is drawn.

        Args:
            first: Whether running statistics count the batch.
        """
        generator, discriminator, pairs = self.generator, self.discriminator, self.pairs
        policy = self.policy
        minimised = self.losses["generator"]

        def find(z: Tensor, *given: Tensor) -> tuple[Tensor]:
            real, drawn = (given[0], given[1:]) if pairs else (None, given)
            with counting(generator, first), counting(discriminator, first):
                fake = scored(discriminator, View(policy, drawn)(generator(z)))
            return (cast("Tensor", minimised(real, fake)),)

        return find

    def drawing(self) -> Callable[[Tensor], Tensor]:
        """From latent vectors to images that nothing is learnt from."""
        generator = self.generator

        @torch.no_grad()
        def draw(z: Tensor) -> Tensor:
            return cast("Tensor", generator(z))

        return draw

    def judging(self) -> Callable[..., Tensor]:
        """From images and what is drawn of views to scores that nothing is learnt from."""
        discriminator, policy = self.discriminator, self.policy

        @torch.no_grad()
        def judge(images: Tensor, *drawn: Tensor) -> Tensor:
            return scored(discriminator, View(policy, drawn)(images))

        return judge


def scored(discriminator: nn.Module, images: Tensor) -> Tensor:
    """Scores (n,)."""
    return cast("Tensor", discriminator(images)).flatten()
