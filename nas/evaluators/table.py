"""The evaluator `table:FOLDER`: looks figures up that others have trained.

A search sees validation figures only; test figures are given to works that ask for the test split,
which the final account alone does. Epochs are charged as if the trainings were done.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any, Final, Literal

import numpy as np

from nas.core.architecture import Candidate
from nas.core.config import RunConfig, Settings, build_settings
from nas.core.errors import CandidateError, ConfigError, UnsupportedError
from nas.core.objective import Objective, parse_objectives
from nas.core.protocols import Context, Reply
from nas.core.registry import close_matches
from nas.core.work import Evaluate, Spent
from nas.evaluators import Inputs
from nas.evaluators.tables.read import Table, Values, read_devices, read_table
from search_spaces.pool import PooledSpace

__all__ = ["TableEvaluator", "TableSettings", "TableView", "view_of"]

DEVICE_METRICS: Final = ("latency_ms", "energy_j")
SHAPE: Final = (3, 32, 32)
"""Of the images that the tables' networks were made for."""

CLASSES: Final = {"cifar10": 10, "cifar100": 100}
"""Data set to its number of classes."""


class TableSettings(Settings):
    """Settings of the evaluator `table`, under `evaluator_settings`.

    Attributes:
        dataset: Which data the figures are of; None for the table's first.
        charge: What an evaluation costs that continues a smaller budget: "continued" the epochs
            between, "anew" all of its epochs.
        latency_device: Device whose `latency_ms` (and `energy_j`) are given; None for none. Cells
            that were not measured on it are left out of the search.
        latency_file: File with the devices' figures, or its folder; None for the one in the
            folder beside the table's.
    """

    dataset: str | None = None
    charge: Literal["continued", "anew"] = "continued"
    latency_device: str | None = None
    latency_file: str | None = None


@dataclass(frozen=True, eq=False)
class TableView:
    """A table as one run sees it: one data set, perhaps one device.

    Attributes:
        table: The table.
        dataset: Name of the data.
        device: Name of the device, empty for none.
        devices: Metric to figures ``(rows,)`` on the device, NaN where it is not known.
    """

    table: Table
    dataset: str
    device: str
    devices: Mapping[str, Values]

    @cached_property
    def budgets(self) -> tuple[float, ...]:
        """Epochs at which there are validation figures, ascending."""
        return tuple(self.table.benchmark.budgets(self.dataset))

    @property
    def largest(self) -> float:
        """The largest budget."""
        return self.budgets[-1]

    @cached_property
    def tested(self) -> bool:
        """Whether there are test figures at the largest budget."""
        return self.largest in self.table.benchmark.budgets(self.dataset, "test_error")

    @cached_property
    def reports(self) -> tuple[str, ...]:
        """Names of the figures a search gets."""
        columns = self.table.columns(self.dataset)
        named = [c.metric for c in columns if c.metric != "test_error" and not c.proxy]
        return tuple(dict.fromkeys((*named, "epochs", *self.devices)))

    @cached_property
    def untrained(self) -> Mapping[str, Values]:
        """Figures ``(rows,)`` that are known without training, by metric."""
        columns = [c for c in self.table.columns(self.dataset) if c.budget is None]
        return {**{c.metric: self.table.figures[c.name] for c in columns}, **self.devices}

    def free(self, candidate: Candidate) -> dict[str, float]:
        """Figures of a candidate that are known without training.

        Raises:
            CandidateError: The table does not hold the candidate, or one of its figures.
        """
        row = self.row(candidate)
        figures = {metric: float(values[row]) for metric, values in self.untrained.items()}
        unknown = next((metric for metric, value in figures.items() if value != value), None)
        if unknown is not None:
            raise CandidateError(f"the table has no {unknown} of {candidate.architecture.id}")
        return figures

    def row(self, candidate: Candidate) -> int:
        """Number of the candidate's row.

        Raises:
            CandidateError: The table does not hold it.
        """
        if candidate.recipe is not None or candidate.scale:
            raise CandidateError("a table knows neither recipes nor scales but its own")
        known = self._rows.get(candidate.id)
        if known is None:
            known = self.table.row(candidate.architecture)
            if known is None:
                name = self.table.benchmark.name
                raise CandidateError(f"{candidate.architecture.id} is not in the table {name}")
            self._rows[candidate.id] = known
        return known

    @cached_property
    def _rows(self) -> dict[str, int]:
        """Rows by candidate, as far as they were looked up; those of a pool are known anyway."""
        if self.pool is None:
            return {}
        numbers = {a.id: number for number, a in enumerate(self.table.architectures)}
        return {a.id: numbers[a.id] for a in self.pool.enumerate()}

    @cached_property
    def known(self) -> np.ndarray[Any, np.dtype[np.bool_]]:
        """Which rows ``(rows,)`` have all figures."""
        there = np.ones(len(self.table.rows), bool)
        for values in self.devices.values():
            there &= np.isfinite(values)
        return there

    @cached_property
    def pool(self) -> PooledSpace | None:
        """The space of the architectures that have all figures; None if that is all of them."""
        if self.table.benchmark.whole and self.known.all():
            return None
        members = self.table.architectures
        kept = [members[number] for number in np.flatnonzero(self.known)]
        return PooledSpace(self.table.space, kept)

    @property
    def classes(self) -> int:
        """Number of classes of the data."""
        return CLASSES[self.dataset]

    @property
    def words(self) -> str:
        """Which figures these are, for people."""
        device = f", {self.device}" if self.device else ""
        return f"{self.dataset} (table {self.table.benchmark.name}{device})"

    @property
    def coverage(self) -> str:
        """How much of the space there is, for people; empty if it is all."""
        if self.pool is None:
            return ""
        of = {"nasbench101": "423,624"}.get(self.table.space.name, f"{self.table.space.size:,}")
        return (
            f"{self.pool.size:,} of {of} cells of {self.table.space.name} are in the table"
            f"{f' with figures of {self.device}' if self.device else ''}: sampling, mutation and"
            " crossover stay among them"
        )

    def values(self, metric: str, budget: float | None = None) -> Values | None:
        """Figures ``(rows,)`` of a metric, NaN where not known; None if nobody has them."""
        if metric in self.devices:
            return self.devices[metric]
        return self.table.column(metric, self.dataset, self.largest if budget is None else budget)

    def reachable(self, metric: str, direction: Literal["min", "max"]) -> float | None:
        """The best value of a metric that any known architecture has at the largest budget."""
        values = self.values(metric)
        if values is None:
            return None
        known = values[self.known]
        return float(known.min() if direction == "min" else known.max())


class TableEvaluator:
    """Looks figures up.

    Args:
        spec: The run's configuration (`RunConfig.model_dump`).

    Attributes:
        reports: Names of the figures it gives.

    Raises:
        ConfigError, DataError: As `view_of`.
    """

    reports: tuple[str, ...] = ("error", "params", "macs", "epochs", *DEVICE_METRICS)

    def __init__(self, spec: Mapping[str, Any]) -> None:
        config = build_settings(RunConfig, spec)
        self._view = view_of(config)
        self.reports = self._view.reports
        self._anew = _settings(config).charge == "anew"

    def evaluate(self, work: Evaluate, context: Context) -> Reply:
        """Look the candidate up; a work on the test split costs nothing and gives `test_error`.

        A budget of 0 gives for nothing what is known without training.

        Raises:
            CandidateError: The table does not hold the candidate, or one of its figures.
            ConfigError: The table has no such budget, or no test figures.
        """
        view = self._view
        budget = view.largest if work.budget is None else work.budget
        if budget == 0:
            return Reply(view.free(work.candidate))
        if budget not in view.budgets:
            raise ConfigError(*_no_budget(view, budget))
        row = view.row(work.candidate)
        figures = {metric: self._figure(metric, budget, row) for metric in view.reports}
        if work.split == "test":
            if view.values("test_error", budget) is None:
                name = view.table.benchmark.name
                raise ConfigError(f"table {name} has no test figures", "use the validation split")
            figures["test_error"] = self._figure("test_error", budget, row)
            return Reply(figures)
        since = 0.0 if self._anew or work.since is None else work.since
        return Reply(figures, spent=Spent(epochs=max(0.0, budget - since)))

    def _figure(self, metric: str, budget: float, row: int) -> float:
        if metric == "epochs":
            return budget
        values = self._view.values(metric, budget)
        value = float("nan") if values is None else float(values[row])
        if value != value:
            raise CandidateError(f"the table has no {metric} of this architecture")
        return value

    # -- what is known before any work --------------------------------------------------------

    @classmethod
    def check(cls, config: RunConfig, levels: Sequence[float] = ()) -> dict[str, Any]:
        """Say what is wrong with a run on this table; the fields of `config` to be changed.

        Args:
            config: The run's configuration.
            levels: Budgets that the strategy will ask for.

        Raises:
            ConfigError: Folder, data set, device, space, network, budget or objective do not fit.
            DataError: The table is missing or damaged.
        """
        view = view_of(config)
        benchmark = view.table.benchmark
        if config.space != benchmark.space:
            raise ConfigError(
                f"table {benchmark.name} is of the space {benchmark.space!r}, not {config.space!r}",
                f"use --space {benchmark.space}",
            )
        if config.network:
            name = next(iter(config.network))
            raise ConfigError(
                f"network.{name} is set, but a table's figures are of its own networks",
                "leave it out",
            )
        for level in levels:
            if level != 0 and level not in view.budgets:
                raise ConfigError(*_no_budget(view, level))
        for objective in parse_objectives(config.objectives):
            _check_objective(view, objective)
        settings = _settings(config).model_dump(mode="json")
        settings["dataset"] = view.dataset
        if settings["latency_file"] is not None:
            settings["latency_file"] = str(Path(settings["latency_file"]).expanduser().resolve())
        return {"evaluator": f"table:{_folder(config).resolve()}", "evaluator_settings": settings}

    @staticmethod
    def inputs(config: RunConfig) -> Inputs:
        """What the table's own networks were made for."""
        return Inputs(SHAPE, view_of(config).classes)

    @classmethod
    def view(cls, config: RunConfig) -> TableView:
        """What a run with this configuration sees."""
        return view_of(config)


def view_of(config: RunConfig) -> TableView:
    """The table that a configuration names; the same object for the same question.

    Raises:
        ConfigError: The evaluator names no folder, or the data set or device is unknown.
        DataError: The table, or the file of devices, is missing or damaged.
    """
    settings = _settings(config)
    table = read_table(str(_folder(config)))
    return _view(table, settings.dataset, settings.latency_device, settings.latency_file)


@lru_cache(maxsize=16)
def _view(
    table: Table, dataset: str | None, device: str | None, latency_file: str | None
) -> TableView:
    benchmark = table.benchmark
    name = benchmark.datasets[0] if dataset is None else dataset
    if name not in benchmark.datasets:
        raise ConfigError(
            f"table {benchmark.name} has no data set {name!r}",
            close_matches(name, benchmark.datasets),
        )
    if device is None:
        return TableView(table, name, "", {})
    extra = benchmark.extra
    if extra is None:
        raise UnsupportedError(
            f"table {benchmark.name} has no figures of devices", "leave latency_device out"
        )
    if device not in extra.columns:
        raise ConfigError(
            f"table {benchmark.name} has no device {device!r}", close_matches(device, extra.columns)
        )
    path = Path(latency_file or table.folder.resolve().parent / extra.folder).expanduser()
    path = path / extra.file if path.is_dir() or not path.suffix else path
    return TableView(table, name, device, read_devices(table, path, device))


def _settings(config: RunConfig) -> TableSettings:
    return build_settings(TableSettings, config.evaluator_settings, "evaluator setting")


def _folder(config: RunConfig) -> Path:
    folder = config.evaluator.partition(":")[2]
    if not folder:
        raise ConfigError("evaluator 'table' lacks its folder", "expected table:FOLDER")
    return Path(folder).expanduser()


def _check_objective(view: TableView, objective: Objective) -> None:
    metric = objective.metric
    extra = view.table.benchmark.extra
    if metric not in view.reports:
        hint = close_matches(metric, view.reports)
        if metric in DEVICE_METRICS and extra is not None:
            has = [name for name, c in extra.columns.items() if metric in [m for _, m, _ in c]]
            hint = f"set evaluator_settings.latency_device to one of {', '.join(has)}"
        raise ConfigError(
            f"table {view.table.benchmark.name} does not report the objective {metric!r}", hint
        )
    best = view.reachable(metric, objective.direction)
    if objective.limit is None or best is None or objective.feasible({metric: best}):
        return
    raise ConfigError(
        f"objective {str(objective)!r} cannot be reached",
        f"the best in the table is {best:.10g}",
    )


def _no_budget(view: TableView, budget: float) -> tuple[str, str]:
    there = ", ".join(f"{known:g}" for known in view.budgets)
    name = view.table.benchmark.name
    return f"table {name} has no figures at {budget:g} epochs of {view.dataset}", f"it has {there}"
