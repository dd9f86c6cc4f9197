"""The public Python face: search, resume, evaluate, open a run, write its report."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

from nas.core.architecture import Architecture, Candidate, Recipe
from nas.core.config import RunConfig, merge
from nas.core.errors import (
    CandidateError,
    ConfigError,
    DataError,
    PluginError,
    UnsupportedError,
)
from nas.core.objective import Objective
from nas.core.work import Evaluate
from nas.engine import finding
from nas.engine.assemble import assemble
from nas.engine.deliver import deliver
from nas.engine.events import Event, Listener, Notice
from nas.engine.loop import Conversation, Stage
from nas.engine.placement import check_executor, in_process
from nas.engine.records import Entry
from nas.engine.resolve import check_out, load_plugins, resolve
from nas.engine.results import SHARE
from nas.engine.run import Plan, Run, read_config
from nas.engine.story import Story
from nas.evaluators import account_of, shares_of
from nas.export import painters
from nas.monitors.fanout import FanOut
from nas.monitors.tensorboard import TensorBoardMonitor
from nas.strategies.base import Finding
from search_spaces import get_space

__all__ = ["Run", "evaluate", "find", "open_run", "prune", "resume", "search", "write_report"]

EvaluatorFunction = Callable[[Candidate, float | None, int], Mapping[str, float]]

ALONE: Final = {"strategy": "random", "executor": "serial", "workers": 1}
"""How one candidate is evaluated: nothing is searched, in this process."""


def search(
    config: RunConfig | None = None,
    *,
    out: str | Path | None = None,
    listeners: Sequence[Listener] = (),
    evaluator: str | EvaluatorFunction | None = None,
    objectives: Sequence[str | Objective] | None = None,
    scale: str | None = None,
    **asked: Any,
) -> Run:
    """Search, and leave the result in a folder.

    Args:
        config: A resolved configuration; otherwise `asked` is resolved as the command line's
            flags are.
        out: The run's folder; None keeps it in memory, without exports.
        listeners: Told of every event.
        evaluator: A registered name, "module:function", or a function of candidate, budget
            and seed that gives figures; other processes must be able to import it.
        objectives: Texts such as "params:min<=2e6"; of a function "error:min" by default.
        scale: The preset: "quick", "default" or "paper".
        **asked: Fields of `RunConfig`: space, strategy, data, budget, seed, executor, ... Whatever
            the preset says, all runs in this process unless an executor or workers are asked for:
            other processes would import the caller's script.

    Returns:
        The finished (or stopped) run: `best`, `front`, `history`, `result`.

    Raises:
        NasError: The request is wrong, or the run failed.
    """
    function = evaluator if callable(evaluator) else None
    if config is None:
        if objectives is not None:
            asked["objectives"] = tuple(map(str, objectives))
        if function is not None and objectives is None:
            # a preset's would ask for figures that only our trainer gives
            asked.setdefault("objectives", ("error:min",))
        if evaluator is not None:
            asked["evaluator"] = _named(evaluator)
        if asked.get("executor") is None:
            several = (asked.get("workers") or 1) > 1
            asked["executor"] = "processes" if several else "serial"
        if in_process(asked["executor"]):
            asked["workers"] = 1
        config = resolve({**asked, "preset": scale}, function=function)
    elif asked or objectives is not None or scale is not None:
        raise ConfigError("a configuration and settings beside it", "give one of them")
    folder = None if out is None else Path(out)
    if folder is not None:
        check_out(folder)
    plan = assemble(config, function)  # first: what is wrong leaves no folder
    return _execute(Run.create(folder, config), plan, listeners)


def resume(
    folder: str | Path,
    *,
    budget: str | None = None,
    address: str | None = None,
    listeners: Sequence[Listener] = (),
    evaluator: EvaluatorFunction | None = None,
) -> Run:
    """Go on with a run, however it was stopped.

    Args:
        folder: The run's folder.
        budget: `+20epochs` adds to the search's budget, `300epochs` replaces it.
        address: HOST:PORT of a Ray cluster to go on with, whatever the executor was before.
        listeners: Told of every event.
        evaluator: The function it was begun with, if it was one.

    Raises:
        NasError: There is no such run, it is running, or it failed.
    """
    config = None
    if address is not None:
        moved = {"executor": "ray", "address": address}
        config = read_config(Path(folder)).model_copy(update=moved)
        check_executor(config)
    run = Run.resume(Path(folder), config=config, budget=budget)
    return _execute(run, assemble(run.config, evaluator), listeners)


def open_run(folder: str | Path) -> Run:
    """Look at a run, finished or not; it may be running in another process.

    Raises:
        StoreError: There is none.
    """
    return Run.look(Path(folder))


def find(folder: str | Path, targets: Sequence[str] = (), count: int = 1) -> list[Finding]:
    """What a run has learnt to expect the best of within new limits; nothing is trained.

    Args:
        folder: The run's folder; of a strategy that learns, such as `fbnetv3`.
        targets: Limits, such as "macs<=4e8"; several for one target are joined by commas.
        count: At most so many for each target.

    Raises:
        NasError: There is no such run, its strategy cannot tell, or the limits leave nothing.
    """
    return finding.find(Path(folder), targets, count)


def evaluate(
    architecture: Architecture,
    recipe: Mapping[str, Any] | None = None,
    data: str = "digits",
    epochs: int | None = None,
    seed: int = 0,
    *,
    data_settings: Mapping[str, Any] | None = None,
    scale: Mapping[str, Any] | None = None,
    device: str = "auto",
    out: str | Path | None = None,
    listeners: Sequence[Listener] = (),
    evaluator: str | EvaluatorFunction | None = None,
    evaluator_settings: Mapping[str, Any] | None = None,
    plugins: Sequence[str | Path] = (),
) -> Entry:
    """Evaluate one member of a space by the code path that searches use.

    Args:
        architecture: What to train; of a joint space by the recipe that it holds.
        recipe: Settings over the data set's default recipe, and over the member's own.
        data: Data set.
        epochs: Instead of the recipe's.
        seed: Of initial weights, order and augmentation.
        data_settings: As of `RunConfig`.
        scale: Macro settings of the network, e.g. `channels`, `layers`.
        device: Where.
        out: A folder for the store, the weights and exports; None keeps nothing.
        listeners: Told of progress.
        evaluator: As of `search`; None for the space's own, which is "train" for most.
        evaluator_settings: As of `RunConfig`.
        plugins: Python files that register what is named here; recorded in `out`.

    Returns:
        The evaluation: `figures` has the evaluator's goal, and `test_` of it if it tests.

    Raises:
        NasError: The request is wrong, or the training failed.
    """
    alone = _alone(
        architecture,
        recipe,
        data=data,
        seed=seed,
        data_settings=data_settings,
        scale=scale,
        device=device,
        evaluator=evaluator,
        evaluator_settings=evaluator_settings,
        plugins=plugins,
    )
    work = Evaluate(alone.candidate, None if epochs is None else float(epochs), seed, "test")
    return _answers(alone, [work], out, listeners)[-1]


def prune(
    architecture: Architecture,
    shares: Sequence[float],
    recipe: Mapping[str, Any] | None = None,
    *,
    epochs: int | None = None,
    seed: int = 0,
    out: str | Path | None = None,
    listeners: Sequence[Listener] = (),
    **asked: Any,
) -> list[Entry]:
    """Train one member once, and have it at several sizes: channels are removed on the way.

    Args:
        architecture: As of `evaluate`.
        shares: Of the groups of channels that can be removed, ascending; `nas.training.pruning`
            says how they divide the epochs.
        recipe: As of `evaluate`.
        epochs: Of the whole training, instead of the recipe's.
        seed: As of `evaluate`.
        out: A folder; the weights of each share are in `best/pruned/SHARE/weights.safetensors`,
            everything else in `best` is of the one that the objectives prefer.
        listeners: As of `evaluate`.
        **asked: The others of `evaluate`: data, data_settings, scale, device, evaluator, ...

    Returns:
        The evaluation of each share, with the figures of the network that is left.

    Raises:
        UnsupportedError: The member's network cannot be cut, or not by so much.
        NasError: The request is wrong, or the training failed.
    """
    alone = _alone(architecture, {**(recipe or {}), "prune": list(shares)}, seed=seed, **asked)
    works: list[Evaluate] = []
    for share, end in shares_of(alone.config, alone.candidate, epochs):
        before = works[-1].budget if works else None
        work = Evaluate(alone.candidate, end, seed, "test", {SHARE: share}, since=before)
        works.append(work)
    works = [replace(work, horizon=works[-1].budget) for work in works]
    return _answers(alone, works, out, listeners)


@dataclass(frozen=True)
class _Alone:
    """One candidate and how it is evaluated, checked."""

    candidate: Candidate
    config: RunConfig
    function: EvaluatorFunction | None


def _alone(
    architecture: Architecture,
    recipe: Mapping[str, Any] | None,
    *,
    scale: Mapping[str, Any] | None = None,
    evaluator: str | EvaluatorFunction | None = None,
    plugins: Sequence[str | Path] = (),
    **fields: Any,
) -> _Alone:
    function = evaluator if callable(evaluator) else None
    asked: dict[str, Any] = {
        **ALONE,
        **_evaluating(architecture.space, evaluator, plugins),
        "space": architecture.space,
        "network": dict(scale or {}),
        "recipe": dict(recipe or {}),
        **fields,
    }
    config = resolve(asked, function=function)
    return _Alone(candidate_of(architecture, recipe or {}, scale or {}), config, function)


def _named(evaluator: str | EvaluatorFunction) -> str:
    """An evaluator as a configuration names it."""
    if isinstance(evaluator, str):
        return evaluator
    return f"{evaluator.__module__}:{evaluator.__qualname__}"


def _evaluating(
    space: str, evaluator: str | EvaluatorFunction | None, plugins: Sequence[str | Path]
) -> dict[str, Any]:
    """Fields of a configuration that say who evaluates; the plug-ins are loaded."""
    files = load_plugins(plugins)
    name = get_space(space).evaluator if evaluator is None else _named(evaluator)
    account = account_of(name)
    fields: dict[str, Any] = {"evaluator": name, "plugins": files}
    if account.reports is None:  # a preset's objectives would ask for what it may not give
        fields["objectives"] = (f"{account.goal}:min",)
    return fields


def candidate_of(
    architecture: Architecture, recipe: Mapping[str, Any], scale: Mapping[str, Any]
) -> Candidate:
    """What is evaluated for a member, where `recipe` and `scale` go over what it holds itself."""
    own = get_space(architecture.space).candidate(architecture)
    if own.recipe is not None:
        own = replace(own, recipe=Recipe(merge(own.recipe.to_dict(), recipe)))
    return replace(own, scale={key: scale.get(key, value) for key, value in own.scale.items()})


def _in_turn(works: Sequence[Evaluate]) -> Conversation:
    for work in works:
        yield [work]
    return [works[-1].candidate]


def _answers(
    alone: _Alone,
    works: Sequence[Evaluate],
    out: str | Path | None,
    listeners: Sequence[Listener],
) -> list[Entry]:
    stage = Stage("search", lambda problem, rng, before: _in_turn(works))
    plan = replace(
        assemble(alone.config, alone.function),
        stages=[stage],
        summarize=None,
        scratch=len(works) > 1,
    )
    folder = None if out is None else Path(out)
    if folder is not None:
        check_out(folder)
    entries = _execute(Run.create(folder, alone.config), plan, listeners).history
    for entry in entries:
        if not entry.ok:
            raise CandidateError(f"the training failed: {entry.error}")
    return entries


def write_report(folder: str | Path) -> Path:
    """Write a run's `report.html` anew, whatever state the run is in.

    Raises:
        StoreError: There is no such run.
        ExportError: The page cannot be written.
    """
    from nas.engine.report_data import report_data
    from nas.export import write_report as write

    page = Path(folder) / "report.html"
    with Run.look(Path(folder)) as run:
        write(page, report_data(run))
    return page


def _execute(run: Run, plan: Plan, listeners: Sequence[Listener]) -> Run:
    """Run all phases, watched by TensorBoard, and deliver what a finished run leaves."""
    try:
        if run.folder is None:
            run.execute(plan, listeners)
            return run
        monitor = TensorBoardMonitor(
            run.folder / "tb", painters=painters(), objectives=run.config.objectives
        )
        with FanOut([monitor]) as watchers:
            story = Story(run.config, watchers.handle)
            result = run.execute(plan, (story, *listeners))
            story.close()
            if result.status == "done":
                _tell_cells(run, watchers)
                for text in deliver(run):
                    _notify(listeners, Notice(text=text))
    except (ConfigError, DataError, PluginError, UnsupportedError):
        run.discard()  # wrong data, say: once it is mended, the same command is to work
        raise
    except BaseException:
        run.close()
        raise
    run.release()
    return run


def _tell_cells(run: Run, watchers: FanOut) -> None:
    if run.best is not None:
        watchers.handle(
            {"event": "cells", "step": 0, "architecture": run.best.candidate.architecture.to_dict()}
        )


def _notify(listeners: Sequence[Listener], event: Event) -> None:
    for listener in listeners:
        listener(event)
