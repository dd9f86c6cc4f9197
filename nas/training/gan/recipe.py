"""How a GAN is trained, as plain checked settings; torch-free."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final, Literal

from pydantic import Field, field_validator, model_validator

from nas.core.architecture import Recipe
from nas.core.config import Settings, build_settings
from nas.core.errors import UnsupportedError
from nas.core.registry import Registry
from nas.optimizers import OPTIMIZERS, check_package, check_schedule, settings_model
from nas.training.gan.criteria import GAN_LOSSES
from nas.training.recipe import AverageDecay, OptimizerSettings, Setting
from nas.training.schedules import SCHEDULES

if TYPE_CHECKING:
    from nas.training.data.dataset import DataSet

__all__ = ["GAN_RECIPES", "GanRecipe", "default_gan_recipe"]

Augmentation = Literal["translation", "cutout", "colour"]

GAMMA: Final = 0.5
"""Weight of the gradient penalties at 8x8 pixels in batches of 32, where it was measured."""
PIXELS: Final = 64
BATCH: Final = 32
EXCLUDED: Final = frozenset({"sophia-g"})
"""Optimizers that need labels."""
BETAS: Final = {"beta1": 0.0, "beta2": 0.9}


class GanRecipe(Settings):
    """Settings of one training of a pair.

    Attributes:
        epochs: Passes of the discriminator over the training images; a search's budget overrides
            it.
        batch_size: Real images a step of the discriminator, and as many generated ones.
        generator_batch: Images a step of the generator; None for `batch_size`.
        n_critic: Steps of the discriminator for one of the generator.
        loss: A member of `nas.training.gan.criteria.GAN_LOSSES`.
        gamma: Weight of the gradient penalties at real (R1) and at generated images (R2), 0 for
            none. None for what the loss needs: without spectral normalisation 0.5 at 8x8 pixels in
            batches of 32, in proportion to pixels and inversely to the batch. A quarter and four
            times as much are worth trying.
        penalty_every: Steps from one penalty to the next, which then weighs as much more.
        augment: What real and generated images undergo alike before the discriminator sees them;
            "colour" is for 3 channels only.
        optimizer: A member of `nas.optimizers.OPTIMIZERS`, for both networks.
        optimizer_settings: Its settings beside rate and decay; of "adam" beta1 is 0 and beta2 0.9
            unless given.
        learning_rate: Of the generator, at its highest.
        discriminator_rate: Of the discriminator; None for the same.
        weight_decay: As the optimizer means it.
        schedule: A member of `nas.training.schedules.SCHEDULES`.
        schedule_settings: Its settings.
        warmup_epochs: Epochs in which the rates rise; fractions count.
        clip_norm: Largest norm of the gradient of a network, or None.
        ema_decay: Decay of the moving average of the generator's weights and buffers, which is
            measured and kept; None or 0 for the weights themselves. It is lower in the first steps:
            (1 + t) / (10 + t).
        collapse_factor: How many times its best the distance may be once it has come to half of
            the first epoch's, 0 for no such guard. More is forgiven that gives back less than a
            quarter of what was won.
        collapse_checks: Epochs on end that it may be so before the pair is given up.
        saturation: Largest mean size of a score before the pair is given up.
        channels_last: Memory layout of convolutions; faster on CPU and on tensor cores.
    """

    epochs: int = Field(default=100, ge=1)
    batch_size: int = Field(default=64, ge=2)
    generator_batch: int | None = Field(default=None, ge=2)
    n_critic: int = Field(default=1, ge=1)
    loss: str = "rpgan"
    gamma: float | None = Field(default=None, ge=0)
    penalty_every: int = Field(default=1, ge=1)
    augment: tuple[Augmentation, ...] = ()
    optimizer: str = "adam"
    optimizer_settings: OptimizerSettings = Field(default_factory=dict)
    learning_rate: float = Field(default=2e-4, gt=0)
    discriminator_rate: float | None = Field(default=None, gt=0)
    weight_decay: float = Field(default=0.0, ge=0)
    schedule: str = "constant"
    schedule_settings: dict[str, Setting] = Field(default_factory=dict)
    warmup_epochs: float = Field(default=0.0, ge=0)
    clip_norm: float | None = Field(default=None, gt=0)
    ema_decay: AverageDecay = Field(default=0.999, ge=0, lt=1)
    collapse_factor: float = Field(default=1.5, ge=0)
    collapse_checks: int = Field(default=3, ge=1)
    saturation: float = Field(default=1e4, gt=0)
    channels_last: bool = True

    @field_validator("augment", mode="before")
    @classmethod
    def _one_alone(cls, value: Any) -> Any:
        return (value,) if isinstance(value, str) else value

    @model_validator(mode="after")
    def _plugins_take_their_settings(self) -> GanRecipe:
        GAN_LOSSES.get(self.loss)
        build_settings(
            settings_model(self.optimizer),
            self.all_optimizer_settings(),
            f"{self.optimizer} setting",
        )
        if OPTIMIZERS.get(self.optimizer).traits.averages or self.optimizer in EXCLUDED:
            raise UnsupportedError(
                f"{self.optimizer} cannot train a GAN", "use another optimizer, e.g. adam"
            )
        check_package(self.optimizer)
        check_schedule(self.optimizer, self.schedule, averaged=self.ema_decay is not None)
        row = SCHEDULES.get(self.schedule)
        if row.search:
            raise UnsupportedError(
                f"schedule {self.schedule!r} looks for the rate by the loss, which of a GAN says"
                " nothing",
                "use another schedule",
            )
        build_settings(row.settings, self.schedule_settings, f"{self.schedule} setting")
        return self

    def all_optimizer_settings(self, *, discriminator: bool = False) -> dict[str, Any]:
        """What `nas.optimizers.build` takes for one of the two networks."""
        rate = self.discriminator_rate if discriminator else None
        return {
            **(BETAS if self.optimizer == "adam" else {}),
            **self.optimizer_settings,
            "learning_rate": self.learning_rate if rate is None else rate,
            "weight_decay": self.weight_decay,
        }

    def gamma_for(self, shape: tuple[int, int, int]) -> float:
        """Weight of the gradient penalties for images of (channels, height, width)."""
        if self.gamma is not None:
            return self.gamma
        if not GAN_LOSSES.get(self.loss).penalised:
            return 0.0
        return GAMMA * (shape[1] * shape[2] / PIXELS) * (BATCH / self.batch_size)

    def check_images(self, shape: tuple[int, int, int]) -> None:
        """Refuse what cannot be done to images of (channels, height, width).

        Raises:
            UnsupportedError: Their colours are to be changed, and they have none.
        """
        if "colour" in self.augment and shape[0] != 3:
            raise UnsupportedError(
                f"augment = colour is for 3 channels, and images have {shape[0]}",
                "use translation or cutout",
            )

    def but(self, **settings: Any) -> GanRecipe:
        """This recipe with other settings.

        Raises:
            ConfigError: A setting is unknown or out of range.
            PluginError: The optimizer or schedule is unknown.
        """
        return GanRecipe.from_settings(settings, base=self)

    @classmethod
    def from_settings(
        cls, settings: Mapping[str, Any] | Recipe, base: GanRecipe | None = None
    ) -> GanRecipe:
        """The recipe that differs from `base` in `settings`.

        Settings of another optimizer or schedule than the base's do not carry over.

        Raises:
            ConfigError: A setting is unknown or out of range.
            PluginError: The optimizer or schedule is unknown.
        """
        given = settings.to_dict() if isinstance(settings, Recipe) else dict(settings)
        start = {} if base is None else base.model_dump()
        for kind in ("optimizer", "schedule"):
            if start and given.get(kind, start[kind]) != start[kind]:
                start[f"{kind}_settings"] = {}
        return build_settings(cls, {**start, **given}, "recipe setting")


GAN_RECIPES: Registry[GanRecipe] = Registry("GAN recipe", "nas.gan_recipes")
GAN_RECIPES.add(
    "gan-digits",
    GanRecipe(epochs=40, batch_size=32, learning_rate=4e-3),
    "small grey images, some hundreds of them, and narrow networks (wide ones want half the rate)",
)
GAN_RECIPES.add(
    "gan-images",
    GanRecipe(augment=("translation", "cutout")),
    "pictures, tens to hundreds of epochs",
)
GAN_RECIPES.add(
    "eagan-cifar10",
    GanRecipe(
        epochs=600,
        batch_size=80,  # as the paper says; the released code has the two the other way round
        generator_batch=40,
        n_critic=5,
        loss="hinge",
        collapse_factor=0.0,
    ),
    "as published for CIFAR-10 (EAGAN, ECCV 2022): 600 epochs of the discriminator, batches of 80",
)


def default_gan_recipe(data: DataSet) -> GanRecipe:
    """A recipe that suits the images: few and small ones, or pictures."""
    channels, height, width = data.input_shape
    if height * width <= 4 * PIXELS:
        return GAN_RECIPES.get("gan-digits")
    images = GAN_RECIPES.get("gan-images")
    return images.but(augment=("colour", *images.augment)) if channels == 3 else images
