"""Settings: frozen models, one-line errors, `key=value` texts, YAML files and presets."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Final, Literal, TypeVar

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from nas.core.errors import ConfigError
from nas.core.objective import parse_objectives
from nas.core.registry import close_matches

MAX_FILE_BYTES: Final = 1_000_000
"""A configuration or architecture file larger than this is refused unread."""


class Settings(BaseModel):
    """Base of every settings model: immutable, unknown keys refused, no silent conversions."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


M = TypeVar("M", bound=BaseModel)


def build_settings(model: type[M], values: Mapping[str, Any], what: str = "setting") -> M:
    """An instance of `model`.

    Raises:
        ConfigError: A key is unknown (close matches are named), or a value is of the wrong type
            or out of range. The first mistake is reported in one line.
    """
    try:
        return model.model_validate(dict(values))
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        place = ".".join(str(part) for part in first["loc"])
        if first["type"] == "extra_forbidden":
            known = _fields_at(model, first["loc"][:-1])
            hint = close_matches(str(first["loc"][-1]), known)
            raise ConfigError(f"unknown {what} {place!r}", hint) from None
        reason = re.sub(r"^(Value error, |Input should be )", "", first["msg"])
        if first["type"] == "missing":
            raise ConfigError(f"{what} {place!r} is missing", "give it a value") from None
        got = _short(first["input"])
        raise ConfigError(f"{what} {place!r} is {got}", f"expected {reason}") from None


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."


def _fields_at(model: type[BaseModel], path: tuple[int | str, ...]) -> list[str]:
    for part in path:
        field = model.model_fields.get(str(part))
        kind = field.annotation if field else None
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            model = kind
    return list(model.model_fields)


def parse_assignments(texts: Iterable[str]) -> dict[str, Any]:
    """Nested values from `a.b=value` texts; a value is read as a YAML scalar or flow list.

    Raises:
        ConfigError: A text has no `=`, an empty key, or sets a key twice in conflicting ways.
    """
    result: dict[str, Any] = {}
    for text in texts:
        key, equals, value = text.partition("=")
        parts = key.strip().split(".")
        if not equals or not all(parts):
            raise ConfigError(f"--set {text!r}", "expected KEY=VALUE or SECTION.KEY=VALUE")
        level = result
        for part in parts[:-1]:
            level = level.setdefault(part, {})
            if not isinstance(level, dict):
                raise ConfigError(f"--set {text!r} sets a part of a plain value", "set it once")
        level[parts[-1]] = _scalar(value, f"--set {text!r}")
    return result


_FLOAT = re.compile(r"[-+]?(\d+\.?\d*|\.\d+)[eE][-+]?\d+")


def _scalar(text: str, what: str) -> Any:
    if _FLOAT.fullmatch(text.strip()):  # YAML 1.1 takes 3e-4 for text
        return float(text)
    try:
        return yaml.safe_load(text) if text.strip() else ""
    except (yaml.YAMLError, ValueError, RecursionError):
        raise ConfigError(f"{what} has a value that is no YAML", "quote it") from None


def merge(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """`base` with the values of `over` on top, mappings merged key by key."""
    result = dict(base)
    for key, value in over.items():
        mine = result.get(key)
        if isinstance(mine, Mapping) and isinstance(value, Mapping):
            result[key] = merge(mine, value)
        else:
            result[key] = value
    return result


def read_yaml(path: Path) -> dict[str, Any]:
    """The mapping in a YAML file.

    Raises:
        ConfigError: The file is missing, too large, not YAML, or not a mapping.
    """
    text = read_text(path, "configuration file")
    if "&" in text and re.search(r"(^|[\s\[{,:-])\*\w", text):
        raise ConfigError(f"configuration file {str(path)!r} has aliases", "write values out")
    try:
        data = yaml.safe_load(text)
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        line = getattr(getattr(error, "problem_mark", None), "line", None)
        where = "" if line is None else f" in line {line + 1}"
        raise ConfigError(f"configuration file {str(path)!r} is no YAML{where}") from None
    if data is None:
        return {}
    if not isinstance(data, dict) or not all(isinstance(key, str) for key in data):
        raise ConfigError(f"configuration file {str(path)!r} is no mapping", "expected KEY: VALUE")
    return data


def read_text(path: Path, what: str) -> str:
    """The UTF-8 text of a small file.

    Raises:
        ConfigError: It is missing, a folder, unreadable, too large or not text.
    """
    try:
        if path.is_dir():
            raise ConfigError(f"{what} {str(path)!r} is a folder", "name a file")
        if path.stat().st_size > MAX_FILE_BYTES:
            raise ConfigError(f"{what} {str(path)!r} is larger than {MAX_FILE_BYTES} bytes")
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise ConfigError(f"{what} {str(path)!r} does not exist", "check the path") from None
    except UnicodeDecodeError:
        raise ConfigError(f"{what} {str(path)!r} is not UTF-8 text") from None
    except (OSError, ValueError) as error:
        raise ConfigError(f"{what} {str(path)!r} cannot be read: {error}") from None


class FinalSettings(Settings):
    """What happens after a strategy has found something: the honest account.

    Attributes:
        scales: Macro settings at which every found architecture is trained in full, so that the
            front means something; empty for the run's own scale only.
        seeds: Trainings of each, with different seeds.
        epochs: Epochs of each full training; None for the recipe's.
        recipe: Settings over the run's recipe for full trainings.
        random_arm: Whether random search gets the same compute as the strategy spent, and its
            pick is trained alike on the same seeds.
        random_epochs: Epochs of each short training of the random arm.
        random_limit: At most that many random candidates, however much compute was spent.
    """

    scales: tuple[dict[str, int | float | bool], ...] = ()
    seeds: int = Field(3, ge=1, le=100)
    epochs: int | None = Field(None, ge=1)
    recipe: dict[str, Any] = Field(default_factory=dict)
    random_arm: bool = True
    random_epochs: int = Field(5, ge=1)
    random_limit: int = Field(64, ge=1)


class RunConfig(Settings):
    """Everything that determines a run, resolved: what `config.yaml` holds.

    Attributes:
        space: Registered space.
        strategy: Registered strategy.
        settings: The strategy's own settings.
        data: Data set, `NAME` or `NAME:PATH`, with `data_settings`.
        objectives: Texts such as `error:min`.
        preset: The scale the defaults came from.
        network: Macro settings of candidates, and of the supernet where there is one.
        recipe: Training settings (`nas.training.recipe.TrainingRecipe`).
        final: What follows the search.
        evaluator: Registered evaluator.
        budget: `50evaluations`, `300epochs`, `6h`, or None for the strategy's own end.
        seed: Governs everything.
        device: `auto`, `cpu`, `cuda` or `cuda:i`.
        executor: `serial` or `processes`.
        workers: Parallel workers of the executor.
        plugins: Python files that register plug-ins.
    """

    space: str
    strategy: str
    settings: dict[str, Any] = Field(default_factory=dict)
    data: str = "digits"
    data_settings: dict[str, Any] = Field(default_factory=dict)
    objectives: tuple[str, ...] = ("error:min",)
    preset: Literal["quick", "default", "paper"] = "quick"
    network: dict[str, Any] = Field(default_factory=dict)
    recipe: dict[str, Any] = Field(default_factory=dict)
    final: FinalSettings = FinalSettings()
    evaluator: str = "train"
    budget: str | None = None
    seed: int = Field(0, ge=0, lt=2**63)
    device: str = Field("auto", pattern=r"^(auto|cpu|cuda(:\d+)?)$")
    executor: str = "serial"
    workers: int = Field(1, ge=1, le=4096)
    plugins: tuple[str, ...] = ()

    @field_validator("objectives")
    @classmethod
    def _readable(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(str(objective) for objective in parse_objectives(value))

    def to_yaml(self) -> str:
        """The text of `config.yaml`."""
        return yaml.safe_dump(self.model_dump(mode="json"), sort_keys=False)


def preset(strategy: str, scale: str) -> dict[str, Any]:
    """The run settings that `configs/STRATEGY/SCALE.yaml` holds; empty where there is none.

    Presets lie beside the `nas` package: importing `configs` would find a user's own folder
    of that name first.
    """
    path = Path(__file__).resolve().parents[2] / "configs" / strategy / f"{scale}.yaml"
    return read_yaml(path) if path.is_file() else {}
