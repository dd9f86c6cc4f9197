"""Settings: frozen models, one-line errors, `key=value` texts, YAML files and presets."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any, Final, Literal, TypeAlias, TypeVar, get_args

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    GetCoreSchemaHandler,
    ValidationError,
    field_validator,
)
from pydantic_core import CoreSchema

from nas.core.canonical import plain
from nas.core.errors import ConfigError
from nas.core.objective import parse_objectives
from nas.core.registry import close_matches
from nas.core.yaml_text import dump_yaml, load_yaml, read_scalar

MAX_FILE_BYTES: Final = 100_000
"""A configuration file larger than this is refused: reading it would take more than a second."""


_RELAXED: Final = frozenset({"tuple", "lax-or-strict"})  # pydantic's names of tuples and paths


def _relax(schema: Any) -> None:
    """Let lists be tuples and texts be paths: files and commands cannot write either."""
    if isinstance(schema, dict):
        if schema.get("type") in _RELAXED:
            schema["strict"] = False
        for key, part in schema.items():
            if key not in ("metadata", "serialization"):
                _relax(part)
    elif isinstance(schema, list | tuple):
        for part in schema:
            _relax(part)


class Settings(BaseModel):
    """Base of every settings model: immutable, unknown keys refused, no silent conversions.

    `3` is a number with a point where one is wanted, a list is a tuple, a text is a path; `"3"`
    is no number, `true` no 1, `3.0` no whole number and `"yes"` no truth value.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, strict=True)

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        schema = handler(source)
        _relax(schema)
        return schema


def _jsonable(value: dict[str, Any]) -> dict[str, Any]:
    try:
        return dict(plain(value))
    except TypeError as error:
        raise ValueError(f"JSON data ({error})") from None
    except ValueError as error:
        raise ValueError(f"JSON data ({error})") from None


Json: TypeAlias = Annotated[dict[str, Any], AfterValidator(_jsonable)]
"""Settings whose own model is not known yet; copied, and checked to be JSON data."""

MAX_PARTS: Final = 16
"""Parts of a key of `--set`."""

M = TypeVar("M", bound=BaseModel)


def build_settings(model: type[M], values: Mapping[str, Any], what: str = "setting") -> M:
    """An instance of `model`.

    Raises:
        ConfigError: A key is unknown (close matches are named), or a value is of the wrong type
            or out of range. The first mistake is reported in one line.
    """
    if not isinstance(values, Mapping):
        raise ConfigError(f"{what}s are {_short(values)}", "expected names with values")
    try:
        return model.model_validate(dict(values))
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        place = ".".join(str(part) for part in first["loc"])
        if first["type"] == "extra_forbidden":
            hint = close_matches(str(first["loc"][-1]), _fields_at(model, first["loc"][:-1]))
            raise ConfigError(f"unknown {what} {place!r}", hint) from None
        if first["type"] == "missing":
            raise ConfigError(f"{what} {place!r} is missing", "give it a value") from None
        reason = re.sub(r"^(Value error, |Input should be |\w+ should )", "", first["msg"])
        got = _short(first["input"])
        raise ConfigError(f"{what} {place!r} is {got}", f"expected {reason}") from None


def _short(value: Any) -> str:
    try:
        text = repr(value)
    except (RecursionError, ValueError):  # endless nesting, or a number with too many digits
        return f"of type {type(value).__name__}"
    return text if len(text) <= 60 else text[:57] + "..."


def _fields_at(model: type[BaseModel], path: tuple[int | str, ...]) -> list[str]:
    for part in path:
        field = model.model_fields.get(str(part))
        below = _models_in(field.annotation) if field else []
        model = below[0] if below else model
    return list(model.model_fields)


def _models_in(kind: Any) -> list[type[BaseModel]]:
    if isinstance(kind, type) and issubclass(kind, BaseModel):
        return [kind]
    return [model for part in get_args(kind) for model in _models_in(part)]


def parse_assignments(texts: Iterable[str]) -> dict[str, Any]:
    """Nested values from `a.b=value` texts; of two for the same key the last one counts.

    A value is a number, `true`, `false`, `null`, a YAML list or mapping in brackets, a quoted
    text, or else the text itself.

    Raises:
        ConfigError: A text has no `=`, an empty key, a broken value, or sets both a key and a
            part of it.
    """
    result: dict[str, Any] = {}
    for text in texts:
        key, equals, value = text.partition("=")
        parts = [part.strip() for part in key.split(".")]
        if not equals or not all(parts) or len(parts) > MAX_PARTS:
            raise ConfigError(f"--set {text!r}", "expected KEY=VALUE or SECTION.KEY=VALUE")
        level = result
        for part in parts[:-1]:
            level = level.setdefault(part, {})
            if not isinstance(level, dict):
                raise ConfigError(f"--set {text!r} sets a part of a plain value", "set it once")
        if isinstance(level.get(parts[-1]), dict):
            raise ConfigError(f"--set {text!r} sets what has parts already", "set it once")
        level[parts[-1]] = _assigned(value.strip(), f"--set {text!r}")
    return result


def _assigned(text: str, what: str) -> Any:
    try:
        if text.startswith(("[", "{", '"', "'")):
            return load_yaml(text)
        return read_scalar(text) if text else ""
    except ValueError as error:
        raise ConfigError(f"{what} has a value that cannot be read: {error}", "quote it") from None


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
        ConfigError: The file is missing, too large, not YAML (see `load_yaml`), or not a mapping.
    """
    what = f"configuration file {str(path)!r}"
    try:
        data = load_yaml(read_text(path, "configuration file"))
    except ValueError as error:
        raise ConfigError(f"{what} cannot be read: {error}", "expected YAML") from None
    if data is None:
        return {}
    if not isinstance(data, dict):
        raise ConfigError(f"{what} is no mapping", "expected lines of KEY: VALUE")
    return data


def read_text(path: Path, what: str) -> str:
    """The UTF-8 text of a small file, without a byte order mark.

    Raises:
        ConfigError: It is missing, a folder, unreadable, too large or not text.
    """
    what = f"{what} {str(path)!r}"
    try:
        with path.open("rb") as handle:
            content = handle.read(MAX_FILE_BYTES + 1)
        if len(content) > MAX_FILE_BYTES:
            raise ConfigError(
                f"{what} is larger than {MAX_FILE_BYTES} bytes", "is it the right one?"
            )
        return content.decode("utf-8-sig")
    except FileNotFoundError:
        raise ConfigError(f"{what} does not exist", "check the path") from None
    except IsADirectoryError:
        raise ConfigError(f"{what} is a folder", "name a file") from None
    except UnicodeDecodeError:
        raise ConfigError(f"{what} is not UTF-8 text", "is it the right one?") from None
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise ConfigError(f"{what} cannot be read: {reason}", "check the path") from None


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
        random_searches: On a table: random searches, each with the epochs of the search.
        credit: Whether a search of architectures and recipes together is followed by one of either
            alone, each with the epochs of the search, to tell what each has gained.
    """

    scales: tuple[dict[str, int | float | bool], ...] = ()
    seeds: int = Field(3, ge=1, le=100)
    epochs: int | None = Field(None, ge=1)
    recipe: Json = Field(default_factory=dict)
    random_arm: bool = True
    random_epochs: int = Field(5, ge=1)
    random_limit: int = Field(64, ge=1)
    random_searches: int = Field(20, ge=2, le=1000)
    credit: bool = True


class LimitSettings(Settings):
    """What one evaluation may take, and when failing candidates are a failing run.

    Attributes:
        timeout: Seconds an evaluation may take, trainings after the search included; None for
            no limit. One that takes longer has failed.
        memory_mb: Resident megabytes of a worker process of the executors `processes` and `ray`;
            None for no limit. An evaluation that takes more has failed.
        attempts: How often a work is begun before the death of its worker is its failure.
        per_device: Workers that may share a CUDA device when one is asked for by --device.
        first: The run ends if so many evaluations from its beginning on all failed.
        window: How many of the latest evaluations `rate` is about.
        rate: The run ends if more than this share of them failed; 1 for never.
    """

    timeout: float | None = Field(None, gt=0)
    memory_mb: float | None = Field(None, gt=0)
    attempts: int = Field(2, ge=1, le=100)
    per_device: int = Field(1, ge=1, le=64)
    first: int = Field(5, ge=1)
    window: int = Field(20, ge=1)
    rate: float = Field(0.5, ge=0, le=1)


class RunConfig(Settings):
    """Everything that determines a run, resolved: what `config.yaml` holds.

    Attributes:
        space: Registered space.
        strategy: Registered strategy.
        settings: The strategy's own settings.
        data: Data set, `NAME` or `NAME:PATH`, with `data_settings`.
        objectives: Texts such as `error:min`.
        measures: Settings of figures that objectives name (`nas.measure.MEASURES`), by name.
        preset: The scale the defaults came from.
        network: Macro settings of candidates, and of the supernet where there is one.
        recipe: Training settings (`nas.training.recipe.TrainingRecipe`).
        final: What follows the search.
        limits: Time and memory of an evaluation, and how many may fail.
        evaluator: Registered evaluator, `NAME` or `NAME:ARGUMENT`, such as `table:FOLDER`.
        evaluator_settings: Its own settings.
        budget: `50evaluations`, `300epochs`, `6h`, or None for the strategy's own end.
        seed: Governs everything.
        device: `auto`, `cpu`, `cuda` or `cuda:i`.
        executor: `serial`, `processes` or `ray`.
        workers: Parallel workers of the executor.
        address: HOST:PORT of the cluster of the executor `ray`; None for one on this machine.
        plugins: Python files that register plug-ins.
    """

    space: str
    strategy: str
    settings: Json = Field(default_factory=dict)
    data: str = "digits"
    data_settings: Json = Field(default_factory=dict)
    objectives: tuple[str, ...] = ("error:min",)
    measures: Json = Field(default_factory=dict)
    preset: Literal["quick", "default", "paper"] = "quick"
    network: Json = Field(default_factory=dict)
    recipe: Json = Field(default_factory=dict)
    final: FinalSettings = Field(default_factory=FinalSettings)
    limits: LimitSettings = Field(default_factory=LimitSettings)
    evaluator: str = "train"
    evaluator_settings: Json = Field(default_factory=dict)
    budget: str | None = None
    seed: int = Field(0, ge=0, lt=2**63)
    device: str = Field("auto", pattern=r"^(auto|cpu|cuda(:[0-9]+)?)$")
    executor: str = "serial"
    workers: int = Field(1, ge=1, le=4096)
    address: str | None = None
    plugins: tuple[str, ...] = ()

    @field_validator(
        "space", "strategy", "data", "budget", "executor", "address", "evaluator", "plugins"
    )
    @classmethod
    def _writable(cls, value: Any) -> Any:
        plain(value)  # a folder's name may hold bytes that are no text: no file could name it
        return value

    @field_validator("objectives")
    @classmethod
    def _readable(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(str(objective) for objective in parse_objectives(value))

    def to_yaml(self) -> str:
        """The text of `config.yaml`."""
        return dump_yaml(self.model_dump(mode="json"))


def preset(strategy: str, scale: str) -> dict[str, Any]:
    """The run settings that `configs/STRATEGY/SCALE.yaml` holds; empty where there is none.

    Presets lie beside the `nas` package: importing `configs` would find a user's own folder
    of that name first.
    """
    path = Path(__file__).resolve().parents[2] / "configs" / strategy / f"{scale}.yaml"
    return read_yaml(path) if path.is_file() else {}
