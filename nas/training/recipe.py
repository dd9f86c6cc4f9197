"""How a network is trained, as plain checked settings; torch-free."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal

from pydantic import AfterValidator, Field, field_validator, model_validator

from nas.core.architecture import Recipe
from nas.core.config import Settings, build_settings
from nas.core.errors import UnsupportedError
from nas.core.registry import Registry
from nas.layers import NORMALIZATIONS, WEIGHTS
from nas.optimizers import (
    OPTIMIZERS,
    PLAIN,
    check_package,
    check_schedule,
    check_step,
    settings_model,
)
from nas.training.criteria import LOSSES
from nas.training.pruning import HessoSettings, check_shares
from nas.training.reweighting import REWEIGHTINGS
from nas.training.schedules import SCHEDULES

if TYPE_CHECKING:
    from nas.training.data.dataset import DataSet

Setting = bool | int | float | str


def _told_once(settings: dict[str, Setting]) -> dict[str, Setting]:
    for name in ("learning_rate", "weight_decay"):
        if name in settings:
            raise ValueError(f"{name} to stand beside it, as a setting of the recipe")
    return settings


OptimizerSettings = Annotated[dict[str, Setting], AfterValidator(_told_once)]
"""Settings of an optimizer but for its rate and decay, which are a recipe's own."""

AverageDecay = Annotated[float | None, AfterValidator(lambda decay: decay or None)]
"""Decay of a moving average; 0 is no average at all, as None."""

TABLES: Final[Mapping[str, Registry[Any]]] = {
    "schedule": SCHEDULES,
    "normalization": NORMALIZATIONS,
    "weights": WEIGHTS,
    "loss": LOSSES,
    "reweighting": REWEIGHTINGS,
}
"""Fields that name a member, whose settings stand in the field `<name>_settings`."""


class TrainingRecipe(Settings):
    """Settings of one training.

    Attributes:
        epochs: Passes over the training images; a search's budget overrides it.
        batch_size: Images a step.
        optimizer: A member of `nas.optimizers.OPTIMIZERS`.
        optimizer_settings: Its settings beside the next ones, e.g. `{"momentum": 0.9}`.
        step: A member of `nas.optimizers.STEPS` that the optimizer is wrapped in, or "plain".
        step_settings: Its settings, e.g. `{"rho": 0.05}`.
        learning_rate: Step size at its highest.
        reference_batch: Batch size that `learning_rate` is meant for: with another one it grows
            linearly (optimizers like SGD) or as the root (like AdamW), or stays (those that find
            their own). None for the batch at hand.
        weight_decay: As the optimizer means it.
        schedule: A member of `nas.training.schedules.SCHEDULES`.
        schedule_settings: Its settings.
        normalization: A member of `nas.layers.NORMALIZATIONS`, in place of batch normalisation.
        normalization_settings: Its settings, e.g. `{"chunk": 16}`.
        weights: A member of `nas.layers.WEIGHTS`: what is trained in place of the weights.
        weights_settings: Its settings, e.g. `{"bits": 4}`.
        loss: A member of `nas.training.criteria.LOSSES`: what a step minimises.
        loss_settings: Its settings, e.g. `{"epsilon": 0.05}`.
        reweighting: A member of `nas.training.reweighting.REWEIGHTINGS`: what examples count.
        reweighting_settings: Its settings, e.g. `{"temperature": 1.0}`.
        prune: Shares of the groups of channels that are removed on the way, ascending; the network
            that is left is smaller. One number for one share, 0 or none for no removing. Several
            divide the epochs (see `nas.training.pruning`).
        prune_settings: When, as `nas.training.pruning.HessoSettings` has it, e.g. `{"periods": 4}`.
        warmup_epochs: Epochs in which the rate rises; fractions count.
        clip_norm: Largest norm of the gradient of all weights, or None.
        label_smoothing: Share of the target spread evenly over all classes.
        ema_decay: Decay of the moving average of the weights that is measured and kept, or None
            or 0 for the weights themselves. It is lower in the first steps: (1 + t) / (10 + t).
        dropout: Chance of dropping an input of the last linear layer.
        drop_path: Chance of dropping a path at the end of training, rising linearly from 0.
        auxiliary_weight: Weight of the loss of an auxiliary head, where the network has one.
        flip: Mirror half of the images left to right; wrong for digits and letters.
        crop_padding: Shift images by up to so many pixels.
        cutout: Side of the erased square, 0 for none.
        mixup: Both parameters of the Beta distribution of blends, 0 for none.
        precision: "auto" is bfloat16 where the device is fast with it, else float32.
        channels_last: Memory layout of convolutions; faster on CPU and on tensor cores.
    """

    epochs: int = Field(default=20, ge=1)
    batch_size: int = Field(default=64, ge=1)
    optimizer: str = "sgd"
    optimizer_settings: OptimizerSettings = Field(default_factory=dict)
    step: str = PLAIN
    step_settings: dict[str, Setting] = Field(default_factory=dict)
    learning_rate: float = Field(default=0.05, gt=0)
    reference_batch: int | None = Field(default=None, ge=1)
    weight_decay: float = Field(default=3e-4, ge=0)
    schedule: str = "cosine"
    schedule_settings: dict[str, Setting] = Field(default_factory=dict)
    normalization: str = "batch"
    normalization_settings: dict[str, Setting] = Field(default_factory=dict)
    weights: str = "plain"
    weights_settings: dict[str, Setting] = Field(default_factory=dict)
    loss: str = "cross-entropy"
    loss_settings: dict[str, Setting] = Field(default_factory=dict)
    reweighting: str = "uniform"
    reweighting_settings: dict[str, Setting] = Field(default_factory=dict)
    prune: tuple[float, ...] = ()
    prune_settings: dict[str, Setting] = Field(default_factory=dict)
    warmup_epochs: float = Field(default=0.0, ge=0)
    clip_norm: float | None = Field(default=5.0, gt=0)
    label_smoothing: float = Field(default=0.0, ge=0, lt=1)
    ema_decay: AverageDecay = Field(default=None, ge=0, lt=1)
    dropout: float = Field(default=0.0, ge=0, lt=1)
    drop_path: float = Field(default=0.0, ge=0, lt=1)
    auxiliary_weight: float = Field(default=0.0, ge=0)
    flip: bool = False
    crop_padding: int = Field(default=0, ge=0, le=64)
    cutout: int = Field(default=0, ge=0)
    mixup: float = Field(default=0.0, ge=0)
    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    channels_last: bool = True

    @field_validator("prune", mode="before")
    @classmethod
    def _one_share(cls, value: Any) -> Any:
        alone = isinstance(value, int | float) and not isinstance(value, bool)
        return value if not alone else (value,) if value else ()

    @field_validator("prune")
    @classmethod
    def _ascending(cls, shares: tuple[float, ...]) -> tuple[float, ...]:
        check_shares(shares)
        return shares

    @model_validator(mode="after")
    def _plugins_take_their_settings(self) -> TrainingRecipe:
        optimizer = settings_model(self.optimizer)
        build_settings(optimizer, self.all_optimizer_settings(), f"{self.optimizer} setting")
        check_step(self.optimizer, self.step, self.step_settings)
        averaged = self.ema_decay is not None
        check_schedule(self.optimizer, self.schedule, averaged=averaged)
        check_package(self.optimizer)
        for kind, table in TABLES.items():
            name, given = getattr(self, kind), getattr(self, f"{kind}_settings")
            build_settings(table.get(name).settings, given, f"{name} setting")
        build_settings(HessoSettings, self.prune_settings, "prune setting")
        self._check_prune()
        self._check_loss()
        return self

    def _check_prune(self) -> None:
        if not self.prune:
            return
        if OPTIMIZERS.get(self.optimizer).traits.averages:
            raise UnsupportedError(
                f"{self.optimizer} averages weights itself, and what prune removes would come back",
                "use another optimizer",
            )
        for kind, table in (("normalization", NORMALIZATIONS), ("weights", WEIGHTS)):
            if not table.get(getattr(self, kind)).keeps:
                raise UnsupportedError(
                    f"with {kind} = {getattr(self, kind)!r} no channels can be removed (prune)",
                    f"use another {kind}",
                )
        if SCHEDULES.get(self.schedule).search:
            raise UnsupportedError(
                f"schedule {self.schedule!r} goes back to earlier weights, which prune cannot",
                "use another schedule",
            )

    def _check_loss(self) -> None:
        row = LOSSES.get(self.loss)
        if self.mixup and not row.blends:
            raise UnsupportedError(
                f"mixup = {self.mixup:g} blends two labels, and the loss {self.loss!r} is of one",
                "set mixup to 0",
            )
        if self.optimizer in row.excludes:
            raise UnsupportedError(
                f"{self.optimizer} cannot minimise the loss {self.loss!r}", "use another optimizer"
            )

    def all_optimizer_settings(self) -> dict[str, Any]:
        """What `nas.optimizers.build` takes."""
        share = 1.0 if self.reference_batch is None else self.batch_size / self.reference_batch
        power = OPTIMIZERS.get(self.optimizer).traits.batch_power
        return {
            **self.optimizer_settings,
            "learning_rate": self.learning_rate * share**power,
            "weight_decay": self.weight_decay,
        }

    def but(self, **settings: Any) -> TrainingRecipe:
        """This recipe with other settings.

        Raises:
            ConfigError: A setting is unknown or out of range.
            PluginError: The optimizer or schedule is unknown.
        """
        return TrainingRecipe.from_settings(settings, base=self)

    @classmethod
    def from_settings(
        cls, settings: Mapping[str, Any] | Recipe, base: TrainingRecipe | None = None
    ) -> TrainingRecipe:
        """The recipe that differs from `base` in `settings`.

        A recipe from a search space may hold a few settings only; the base has the others.
        Settings of another member (optimizer, schedule, ...) than the base's do not carry over.

        Args:
            settings: Names and values, or a core recipe.
            base: What is not named; by default the defaults.

        Raises:
            ConfigError: A setting is unknown or out of range.
            PluginError: The optimizer or schedule is unknown.
        """
        given = settings.to_dict() if isinstance(settings, Recipe) else dict(settings)
        start = {} if base is None else base.model_dump()
        for kind in ("optimizer", "step", *TABLES):
            if start and given.get(kind, start[kind]) != start[kind]:
                start[f"{kind}_settings"] = {}
        return build_settings(cls, {**start, **given}, "recipe setting")

    def to_recipe(self) -> Recipe:
        """As the plain data that candidates carry."""
        return Recipe(self.model_dump())


RECIPES: Registry[TrainingRecipe] = Registry("recipe", "nas.recipes")
RECIPES.add(
    "digits",
    TrainingRecipe(epochs=20, batch_size=64, learning_rate=0.1, label_smoothing=0.1),
    "small grey images that must not be mirrored",
)
RECIPES.add(
    "images",
    TrainingRecipe(
        epochs=50, batch_size=64, learning_rate=0.05, flip=True, crop_padding=4, warmup_epochs=1
    ),
    "small colour pictures, tens of epochs",
)
RECIPES.add(
    "darts-cifar10",
    TrainingRecipe(
        epochs=600,
        batch_size=96,
        optimizer="sgd",
        optimizer_settings={"momentum": 0.9},
        learning_rate=0.025,
        weight_decay=3e-4,
        schedule="cosine",
        clip_norm=5.0,
        drop_path=0.2,
        auxiliary_weight=0.4,
        flip=True,
        crop_padding=4,
        cutout=16,
    ),
    "as published for CIFAR-10 (Liu et al., 2019): 600 epochs",
)
RECIPES.add(
    "darts-imagenet",
    TrainingRecipe(
        epochs=250,
        batch_size=128,
        optimizer="sgd",
        optimizer_settings={"momentum": 0.9},
        learning_rate=0.1,
        weight_decay=3e-5,
        schedule="exponential",
        schedule_settings={"final": 0.97**250},
        clip_norm=5.0,
        label_smoothing=0.1,
        auxiliary_weight=0.4,
        flip=True,
        crop_padding=28,
    ),
    "as published for ImageNet (Liu et al., 2019), less its colour jitter and random scales",
)


def default_recipe(data: DataSet) -> TrainingRecipe:
    """A recipe that suits the images: mirrored only if in colour, shifted as their size allows.

    Shifts harm images as small as 8x8 (measured on digits: 2.7 against 1.2 % error).
    """
    channels, height, width = data.input_shape
    if channels == 1:
        return RECIPES.get("digits").but(crop_padding=min(height, width) // 16)
    return RECIPES.get("images").but(crop_padding=min(height, width) // 8)
