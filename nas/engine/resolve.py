"""From defaults, a preset, a file, flags and `--set` to one checked configuration.

Later ones win, in that order. Everything that can be known to be wrong before work starts is
found here, one clear line each. torch is imported only where a CUDA device was asked for.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, ClassVar, Final
from uuid import uuid4

from pydantic import Field

from nas.core.config import (
    RunConfig,
    Settings,
    build_settings,
    merge,
    parse_assignments,
    preset,
    read_yaml,
)
from nas.core.errors import (
    ConfigError,
    DataError,
    NasError,
    SpaceError,
    StoreError,
    UnsupportedError,
)
from nas.core.registry import close_matches, load_plugin
from nas.core.space import Space
from nas.engine.budget import Budget
from nas.engine.executors.base import EvaluatorTarget
from nas.engine.fitting import (
    check_data,
    check_drawn,
    check_evaluator,
    check_measures,
    check_recipe,
    check_strategy,
    preset_for,
)
from nas.engine.folder import OURS, present_in
from nas.engine.placement import allow_sharing, check_executor
from nas.engine.reach import check_reachable
from nas.evaluators import looking_up
from nas.strategies import STRATEGIES
from nas.training.data import DATASETS
from search_spaces import get_space
from search_spaces.scale import read_scale

SECTIONS: Final = (
    *("recipe", "final", "limits", "network", "data_settings"),
    *("evaluator_settings", "measures"),
)
"""First parts of `--set` keys that address the run; all others are the strategy's settings."""

SCALES: Final = ("quick", "default", "paper")
BY_SPACE: Final = "by_space"
BY_EVALUATOR: Final = "by_evaluator"


class DeviceError(NasError):
    """A device that was asked for is not there (exit code 4)."""

    exit_code: ClassVar[int] = 4


class DataSettings(Settings):
    """Options of `nas.training.data.load_data`.

    Attributes:
        limit: Keep at most so many images of each split.
        image_size: Side of the square that the pictures of a folder are brought to.
        validation: Share of the training images held out.
        one_class: Take data that has one class only; evaluators set it that need no classes.
    """

    limit: int | None = Field(None, ge=1)
    image_size: int | None = Field(None, ge=4, le=1024)
    validation: float | None = Field(None, gt=0, lt=1)
    one_class: bool | None = None


def resolve(
    asked: Mapping[str, Any],
    *,
    file: Path | None = None,
    assignments: Iterable[str] = (),
    function: EvaluatorTarget | None = None,
) -> RunConfig:
    """The configuration of a run.

    Args:
        asked: Fields of `RunConfig` given explicitly; None means not given. `settings` is
            addressed as `--set` is: its keys `recipe`, `final`, `limits`, `network`,
            `data_settings`, `evaluator_settings` and `measures` go to the run.
        file: A YAML file with fields of `RunConfig`, such as another run's `config.yaml`.
        assignments: Texts `KEY=VALUE` of `--set`.
        function: Given as the evaluator itself: its name need not be importable here.

    Raises:
        ConfigError: Something is unknown, of the wrong type, out of range or does not fit.
        DataError: The data is not there.
        DeviceError: The device is not there.
        ClusterError: The cluster, or the package to reach it with, is not there.
    """
    flags = {key: value for key, value in asked.items() if value is not None}
    addressed = _address(flags.pop("settings", {}), "settings")
    given = merge(merge(read_yaml(file) if file else {}, flags), addressed)
    given = merge(given, _address(parse_assignments(assignments), "--set"))
    given["plugins"] = load_plugins(given.get("plugins") or ())
    space = _space(given)
    evaluator = given["evaluator"] = str(given.get("evaluator") or space.evaluator)
    name = given.setdefault("strategy", default_strategy(space, evaluator))
    STRATEGIES.summary(str(name))  # an unknown name is no reason to look for its presets
    scale = given.setdefault("preset", "quick")
    defaults = preset_for(_preset(str(name), scale, space, evaluator), evaluator)
    return check(build_settings(RunConfig, allow_sharing(defaults, given)), function)


def check(config: RunConfig, function: EvaluatorTarget | None = None) -> RunConfig:
    """`config` with the strategy's settings complete and the data's path absolute.

    Args:
        config: What was asked for.
        function: As of `resolve`.

    Raises:
        ConfigError, DataError, DeviceError, ClusterError: As `resolve`.
    """
    space = get_space(config.space)
    Budget.parse(config.budget)
    networks = _networks_of(space)
    _check_network(config.network, networks, "network")
    for scale in config.final.scales:
        _check_network(scale, networks, "final.scales")
    check_recipe(config)
    check_drawn(config)
    settings = _strategy_settings(config, space)
    evaluating = check_evaluator(config, settings, function)
    options = build_settings(DataSettings, config.data_settings, "data setting")
    data_settings = options.model_dump(exclude_none=True)
    data = locate_data(config.data)
    if function is None:
        data_settings |= check_data(config)
    check_reachable(config, space)
    if config.address is None:  # else the devices are the cluster's
        check_device(config.device)
    check_executor(config)
    changes = {
        **evaluating,
        "measures": check_measures(config, function),
        "settings": settings,
        "data": data,
        "data_settings": data_settings,
    }
    complete = config.model_copy(update=changes)
    check_strategy(complete, function)
    return complete


def default_strategy(space: Space, evaluator: str = "train") -> str:
    """The space's own; `darts` for one with a supernet; else (and on a table) one that samples."""
    if looking_up(evaluator) is not None:
        return "regularized-evolution"
    own = space.strategy
    if own and STRATEGIES.get(own).sessions and evaluator.partition(":")[0] != space.evaluator:
        own = ""  # its sessions train and judge as the space's own evaluator does
    return own or ("darts" if has_supernet(space) else "regularized-evolution")


def has_supernet(space: Space) -> bool:
    """Whether the space overrides `supernet`, and it classifies, as session "supernet" asks."""
    return type(space).supernet is not Space.supernet and space.evaluator == "train"


def load_plugins(files: Iterable[Any]) -> list[str]:
    """Run plug-in files; their absolute paths, so that a run can go on from another folder.

    Raises:
        PluginError: A file is missing or fails.
    """
    paths = [Path(str(file)).expanduser().resolve() for file in files]
    for path in paths:
        load_plugin(path)
    return [str(path) for path in paths]


def check_device(device: str) -> None:
    """Refuse a CUDA device that is not there; torch is imported only to look for one.

    Raises:
        DeviceError: It is not there.
    """
    if not device.startswith("cuda"):
        return
    import torch

    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if int(device.partition(":")[2] or 0) >= count:
        there = f"this machine has {count} CUDA device{'' if count == 1 else 's'}"
        raise DeviceError(f"device {device!r} is not there: {there}", "use --device auto or cpu")


def locate_data(data: str) -> str:
    """`data` with its path made absolute, so that a run can go on from another folder.

    Raises:
        PluginError: No data set has that name.
        ConfigError: It needs a path and has none.
        DataError: The path does not exist or is of the wrong kind.
    """
    name, _, argument = data.partition(":")
    DATASETS.summary(name)
    wants = {"images": "FOLDER", "npz": "FILE"}.get(name)
    if wants and not argument:
        raise ConfigError(f"data {data!r} lacks its path", f"expected {name}:{wants}")
    if name == "digits" and argument:
        raise ConfigError(f"data {data!r} has a path but digits are built in", "say digits")
    if not argument:
        return data
    path = Path(argument).expanduser()
    if not path.exists():
        if wants or name == "cifar10":
            raise DataError(f"data {data!r}: {argument!r} does not exist", "check the path")
        return data
    if wants == "FOLDER" and not path.is_dir():
        raise DataError(f"data {data!r}: {argument!r} is no folder", "name the folder of classes")
    if wants == "FILE" and not path.is_file():
        raise DataError(f"data {data!r}: {argument!r} is no file", "name an .npz file")
    return f"{name}:{path.resolve()}"


def default_out(config: RunConfig, base: Path = Path("runs")) -> Path:
    """A new folder's name: date, space, strategy and four random digits."""
    day = time.strftime("%Y%m%d")
    space = config.space.replace("/", "-")
    return base / f"{day}-{space}-{config.strategy}-{uuid4().hex[:4]}"


def check_out(out: Path) -> None:
    """Refuse an output folder in which something would be overwritten or nothing can be written.

    Raises:
        StoreError: It holds a run or other files, is a file, or may not be written.
    """
    present = present_in(out)
    if present.intersection(OURS):
        raise StoreError(
            f"output folder {str(out)!r} holds a run",
            f"go on with it by `nas resume {out}`, or choose another --out",
        )
    if present:
        raise StoreError(f"output folder {str(out)!r} is not empty", "choose another --out")


def _address(values: Any, what: str) -> dict[str, Any]:
    """Settings of the strategy, but those under a section's name go to the run."""
    if not isinstance(values, Mapping):
        raise ConfigError(f"{what} is {type(values).__name__}", "expected KEY: VALUE")
    flat = [key for key in values if "." in str(key)]
    nested = {key: value for key, value in values.items() if key not in flat}
    for key in flat:  # {"selection.mode": "paper"}, as a Python caller may write
        value = values[key]
        for part in reversed(str(key).split(".")):
            value = {part: value}
        nested = merge(nested, value)
    result: dict[str, Any] = {}
    for section in SECTIONS:
        if section in nested:
            body = nested.pop(section)
            if not isinstance(body, Mapping):
                raise ConfigError(
                    f"{what}: {section} is a section", f"expected {section}.KEY=VALUE"
                )
            result[section] = dict(body)
    if nested:
        result["settings"] = nested
    return result


def _space(given: Mapping[str, Any]) -> Space:
    name = given.get("space")
    if not name:
        raise ConfigError("no search space", "name one, e.g. --space darts")
    return get_space(str(name))


def _preset(strategy: str, scale: Any, space: Space, evaluator: str) -> dict[str, Any]:
    """The preset's values, those for this space on top; on a table only those for tables."""
    if scale not in SCALES:
        hint = close_matches(str(scale), SCALES)
        raise ConfigError(f"unknown scale {scale!r}", hint)
    values = preset(strategy, scale)
    special = values.pop(BY_SPACE, {})
    looked_up = values.pop(BY_EVALUATOR, {})
    table = looking_up(evaluator) is not None
    if table:  # the rest is about training
        values = dict(looked_up.get(evaluator.partition(":")[0], {}))
        special = values.pop(BY_SPACE, {})
    for pattern, over in special.items():
        if fnmatchcase(space.networks, pattern):
            values = merge(values, over)
    return values if table else _fitting(values, _networks_of(space))


def _networks_of(space: Space) -> Space:
    """The space whose networks candidates have: of a part of a pair, that of pairs."""
    return space if space.networks == space.name else get_space(space.networks)


def _fitting(values: dict[str, Any], space: Space) -> dict[str, Any]:
    """A preset without macro settings that the space has not, raised to what it can build."""
    known, least, multiple = space.scale, least_scale(space), scale_multiple(space)

    def fit(scale: Mapping[str, Any]) -> dict[str, Any]:
        there = {key: value for key, value in scale.items() if key in known}
        there |= {key: max(there[key], value) for key, value in least.items() if key in there}
        return there | {k: there[k] + -there[k] % m for k, m in multiple.items() if k in there}

    final = dict(values.get("final", {}))
    scales = [fit(scale) for scale in final.get("scales", ())]
    final["scales"] = [scale for i, scale in enumerate(scales) if scale and scale not in scales[:i]]
    return {**values, "network": fit(values.get("network", {})), "final": final}


def least_scale(space: Space) -> Mapping[str, int]:
    """The smallest macro settings that the space can build, where it is not 1 (its `least`)."""
    return getattr(space, "least", {})


def scale_multiple(space: Space) -> Mapping[str, int]:
    """What macro settings must be multiples of, where it is not 1 (the space's `multiple`)."""
    return getattr(space, "multiple", {})


def _check_network(network: Mapping[str, Any], space: Space, what: str) -> None:
    try:
        least, multiple = least_scale(space), scale_multiple(space)
        space.check_scale(read_scale(space.scale, network, least, multiple))
    except SpaceError as error:
        raise ConfigError(f"{what} of {space.name}: {error.message}", error.hint) from None


def _strategy_settings(config: RunConfig, space: Space) -> dict[str, Any]:
    kind = STRATEGIES.get(config.strategy)
    if "supernet" in kind.sessions.values() and not has_supernet(space):
        raise UnsupportedError(
            f"strategy {config.strategy!r} needs a supernet, which {space.name!r} has not",
            "use one that samples, e.g. --strategy random",
        )
    judge = config.evaluator.partition(":")[0]
    if "gan-supernet" in kind.sessions.values() and judge != space.evaluator:
        raise UnsupportedError(
            f"strategy {config.strategy!r} judges as evaluator {space.evaluator!r} does,"
            f" not {config.evaluator!r}",
            "use one that samples, e.g. --strategy random",
        )
    model = build_settings(kind.Settings, config.settings, f"setting of {config.strategy}")
    return model.model_dump(mode="json")
