"""What a registered optimizer consists of; torch-free."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from nas.core.errors import ConfigError
from nas.core.registry import close_matches

if TYPE_CHECKING:
    import torch


class Settings(BaseModel):
    """Settings every optimizer has; members add theirs.

    Attributes:
        learning_rate: Step size before any schedule, greater than 0.
        weight_decay: L2 or decoupled decay, as the member says; 0 or more.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    learning_rate: float = Field(gt=0)
    weight_decay: float = Field(default=0.0, ge=0)


Params = Iterable[Any]
Factory = Callable[[Params, Settings], "torch.optim.Optimizer"]


@dataclass(frozen=True)
class Member:
    """A row of the optimizer table.

    Attributes:
        settings: The frozen model of its settings.
        factory: "module:function" of `(params, settings) -> torch.optim.Optimizer`, or the
            function itself. The text form keeps the settings readable without torch.
    """

    settings: type[Settings]
    factory: Factory | str

    def create(self, params: Params, settings: Settings) -> torch.optim.Optimizer:
        """The optimizer over `params`."""
        if not isinstance(self.factory, str):
            return self.factory(params, settings)
        module, _, name = self.factory.partition(":")
        made: torch.optim.Optimizer = getattr(importlib.import_module(module), name)(
            params, settings
        )
        return made


Model = TypeVar("Model", bound=BaseModel)


def checked(model: type[Model], values: Mapping[str, Any], what: str) -> Model:
    """`values` as an instance of `model`, its first mistake told in one line.

    Args:
        model: A pydantic model.
        values: The settings given.
        what: How messages name the thing, e.g. "optimizer 'sgd'".

    Raises:
        ConfigError: A setting is unknown, missing, of the wrong type or out of range.
    """
    try:
        return model.model_validate(dict(values))
    except ValidationError as error:
        errors = error.errors(include_url=False)
        # An unknown name often explains a missing one (lr given, learning_rate wanted).
        first = min(errors, key=lambda item: item["type"] != "extra_forbidden")
        name = ".".join(str(part) for part in first["loc"])
        if first["type"] == "extra_forbidden":
            known = model.model_fields
            hint = close_matches(name, known)
            raise ConfigError(f"{what} has no setting {name!r}", hint) from None
        if first["type"] == "missing":
            raise ConfigError(f"{what} needs the setting {name!r}", f"give {name}=...") from None
        problem = first["msg"].removeprefix("Value error, ")
        if not name:  # two settings that don't go together
            raise ConfigError(f"{what}: {problem}", "change one of them") from None
        raise ConfigError(
            f"{what}: {name} = {first['input']!r} is not allowed",
            problem[0].lower() + problem[1:],
        ) from None
