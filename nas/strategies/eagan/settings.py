"""Settings of `eagan`; what is None follows the mode."""

from __future__ import annotations

from typing import Any, Final, Literal, TypeVar

from pydantic import Field, model_validator

from nas.core.config import Settings
from nas.core.errors import ConfigError

__all__ = ["DiscriminatorStage", "EaganSettings", "GeneratorStage"]

S = TypeVar("S", bound=Settings)

OURS: Final[dict[str, dict[str, Any]]] = {
    "": {"confidence": 0.84, "cap": 2.0},
    "discriminators": {"replicates": 2, "weights": "own", "stop": True, "confirm": 6},
}
PUBLISHED: Final[dict[str, dict[str, Any]]] = {
    "": {"confidence": 0.0, "cap": 0.0},
    "discriminators": {"replicates": 1, "weights": "shared", "stop": False, "confirm": 0},
}


class GeneratorStage(Settings):
    """Stage 1: many generators against one discriminator.

    Attributes:
        discriminator: The one that is held: a member of `gan-discriminator` by name, or a genotype
            as published. A space that holds one itself has precedence.
        warmup: Epochs on uniformly drawn generators before there is a population.
        rounds: Selections.
        epochs: Epochs on the population before each.
        population: Generators; half of them are kept, as many are made.
        paths: Generators in one step of the discriminator, which share its batch. With one, as
            published, a supernet comes to shorter distances than with two or four, and a step is
            cheaper; which orders generators best could not be told (benchmarks/RESULTS.md).
    """

    discriminator: str = "AutoGAN"
    warmup: int = Field(50, ge=0)
    rounds: int = Field(18, ge=1)
    epochs: int = Field(10, ge=1)
    population: int = Field(32, ge=2, le=10_000)
    paths: int = Field(1, ge=1)


class DiscriminatorStage(Settings):
    """Stage 2: pairs of a discriminator and its own copy of the generator that was found.

    Attributes:
        rounds: Selections; 0 leaves the stage out.
        warmup: Epochs of uniformly drawn discriminators against the generator, which stays as it
            is.
        steps: Steps of the generator in each pair and round, rounded up to whole epochs.
        population: Discriminators, the one of stage 1 among them.
        replicates: Pairs of each discriminator, which differ in all chance but the initial weights;
            None for 2, in mode paper 1.
        weights: "shared": every discriminator is a path of one network, and pairs take turns of one
            step. "own": each pair begins with its path's weights and trains a copy, and the next
            round's new discriminators begin with the best one's. None for own, in mode paper
            shared.
        resetting: Begin every round with the generator of the last round's best pair. Without,
            every pair goes on with its own; a new pair has that of stage 1.
        moments: What becomes of the optimizer of a generator that is reset: "reset", or "copy" for
            the best pair's.
        stop: End the stage, with the discriminator that is held, at the first round that shows no
            sure gain over it. None for yes, in mode paper no; the best of the last round is found
            then.
        confirm: Pairs of the best challenger, and as many of the one that is held, which decide
            whether there is a gain: from the beginning of the round again, with other chance. 0 to
            let the round's own pairs decide. None for 6, in mode paper or with shared weights 0.
    """

    rounds: int = Field(4, ge=0)
    warmup: int = Field(10, ge=0)
    steps: int = Field(1000, ge=1)
    population: int = Field(8, ge=2, le=10_000)
    replicates: int | None = Field(None, ge=1, le=64)
    weights: Literal["own", "shared"] | None = None
    resetting: bool = True
    moments: Literal["reset", "copy"] = "reset"
    stop: bool | None = None
    confirm: int | None = Field(None, ge=0, le=64)


class EaganSettings(Settings):
    """Settings of the strategy `eagan`.

    Attributes:
        mode: "paper" for the published rules: no crowding distance, no cap, no standard errors,
            shared weights, no early end.
        crossover: Probability that a child has one edge of a second parent.
        mutation: Probability that one of its edges is then exchanged.
        confidence: How sure domination must be for standard errors to count; 0 compares figures as
            they are. None for 0.84 (one standard error), in mode paper 0.
        cap: A network whose first objective is above so many times the population's median is not
            feasible, 0 for no such cap: the smallest network would survive however bad it is. None
            for 2, in mode paper 0.
        samples: Generated images that a score is of, from the same latent vectors for all.
        groups: Of the jackknife that gives a score's standard error.
        picks: Generators that are given back, the best by the first objective and others of its
            front, all with the discriminator found.
        chunk: Epochs between two checkpoints at most.
    """

    mode: Literal["default", "paper"] = "default"
    crossover: float = Field(0.3, ge=0, le=1)
    mutation: float = Field(0.5, ge=0, le=1)
    confidence: float | None = Field(None, ge=0, lt=1)
    cap: float | None = Field(None, ge=0)
    samples: int = Field(2000, ge=40)
    groups: int = Field(10, ge=2, le=1000)
    picks: int = Field(1, ge=1, le=100)
    chunk: int = Field(10, ge=1)
    generators: GeneratorStage = GeneratorStage()
    discriminators: DiscriminatorStage = DiscriminatorStage()

    @model_validator(mode="after")
    def _what_can_be_told(self) -> EaganSettings:
        if 2 * self.groups > self.samples:
            raise ConfigError(
                f"groups={self.groups} of samples={self.samples} have fewer than 2 images",
                "lower groups",
            )
        last = self.resolved.discriminators
        if last.rounds and last.stop and (last.replicates or 1) < 2:
            raise ConfigError(
                "discriminators.replicates=1 tells nothing of chance, by which"
                " discriminators.stop=true decides",
                "say replicates=2, or stop=false",
            )
        if last.confirm and last.weights != "own":
            raise ConfigError(
                f"discriminators.confirm={last.confirm} begins a round again, which shared weights"
                " cannot",
                "say confirm=0, or weights=own",
            )
        return self

    @property
    def resolved(self) -> EaganSettings:
        """The settings with what follows the mode filled in."""
        table = PUBLISHED if self.mode == "paper" else OURS
        last = _filled(self.discriminators, table["discriminators"])
        if self.discriminators.confirm is None and last.weights != "own":
            last = last.model_copy(update={"confirm": 0})
        return _filled(self, table[""]).model_copy(update={"discriminators": last})


def _filled(settings: S, defaults: dict[str, Any]) -> S:
    missing = {key: value for key, value in defaults.items() if getattr(settings, key) is None}
    return settings.model_copy(update=missing)
