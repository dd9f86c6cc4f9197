"""Has every arm searched with every seed, some at a time, and keeps a trace of each.

A search that has its trace is not done again, so the same command goes on where it was stopped.
Searches that really train have a folder of their own besides, and are resumed from the middle.
"""

from __future__ import annotations

import multiprocessing
import signal
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, ClassVar, Final

import numpy as np

from nas.bench.arms import Arm
from nas.bench.trace import (
    SEARCHES,
    TRACES,
    Trace,
    read_trace,
    standing,
    trace_of,
    write_trace,
)
from nas.core.config import RunConfig, build_settings
from nas.core.errors import NasError, UnsupportedError
from nas.core.objective import parse_objectives
from nas.core.problem import Problem
from nas.core.registry import load_plugin
from nas.core.work import Evaluate, Outcome, Request
from nas.engine.assemble import SEARCH, assemble
from nas.engine.executors.threads import fair_share, limit_threads
from nas.engine.folder import CONFIG
from nas.engine.loop import PhaseResult, Stage
from nas.engine.run import Run
from nas.evaluators import account_of, looking_up
from nas.strategies import STRATEGIES

ACCOUNT: Final = "account"
"""The phase that reads test figures once the search is over."""

Told = Callable[[Trace, int, int], None]
"""Called with every trace as it comes, how many there are, and how many there will be."""


class SearchError(NasError):
    """A search of the comparison failed; those that were done are kept."""


class SearchStopped(SearchError):  # noqa: N818
    """The comparison was stopped by a signal; the same command goes on with it."""

    exit_code: ClassVar[int] = 130


def check_arms(arms: Iterable[Arm]) -> None:
    """Refuse strategies that evaluate no candidates.

    Raises:
        UnsupportedError: One trains a supernet; there is no incumbent to follow.
    """
    for arm in arms:
        if STRATEGIES.get(arm.config.strategy).sessions:
            raise UnsupportedError(
                f"strategy {arm.config.strategy!r} evaluates no candidates while it searches",
                "nas search compares its result with random search",
            )


def run_all(
    arms: Sequence[Arm], seeds: Sequence[int], folder: Path, workers: int, told: Told
) -> list[Trace]:
    """The traces of all searches, those done before included.

    Args:
        arms: The arms.
        seeds: Seeds; the same for every arm.
        folder: Where traces are kept.
        workers: Searches at a time, each in a process of its own.
        told: Told of every trace, those of earlier times first.

    Raises:
        SearchError: A search failed, or a process died.
        SearchStopped: A signal asked to stop.
    """
    todo, traces = [], []
    total = len(arms) * len(seeds)
    for seed in seeds:  # seed by seed, so that arms can be compared early
        for arm in arms:
            trace = read_trace(trace_file(folder, arm.name, seed))
            if trace is None or trace.key != arm.id:
                todo.append((arm, seed))
                continue
            traces.append(trace)
            told(trace, len(traces), total)
    for trace in _done(todo, folder, min(workers, max(1, len(todo)))):
        traces.append(trace)
        told(trace, len(traces), total)
    return traces


def trace_file(folder: Path, arm: str, seed: int) -> Path:
    """Where the trace of a search by the arm of that name lies."""
    return folder / TRACES / arm / f"seed-{seed}.json"


def _done(todo: Sequence[tuple[Arm, int]], folder: Path, workers: int) -> Iterator[Trace]:
    if workers == 1:
        for arm, seed in todo:
            yield search(arm.name, arm.id, _data(arm, seed), folder)
        return
    context = multiprocessing.get_context("forkserver")
    # Imported once, and where signals of the terminal do not reach.
    context.set_forkserver_preload([__name__])
    begin = partial(_begin, fair_share(workers))
    with ProcessPoolExecutor(workers, mp_context=context, initializer=begin) as pool:
        waiting: set[Future[Trace]] = set()
        rest = iter(todo)
        try:
            while True:
                while len(waiting) < 2 * workers and (next_one := next(rest, None)) is not None:
                    arm, seed = next_one
                    job = pool.submit(search, arm.name, arm.id, _data(arm, seed), folder)
                    waiting.add(job)
                if not waiting:
                    return
                finished, waiting = wait(waiting, return_when=FIRST_COMPLETED)
                for job in finished:
                    yield job.result()
        except KeyboardInterrupt:
            raise SearchStopped("stopped", "the same command goes on with the comparison") from None
        except BrokenProcessPool:
            raise SearchError(
                "a process of the comparison died", "the same command goes on; fewer --workers?"
            ) from None
        finally:
            pool.shutdown(wait=True, cancel_futures=True)


def _begin(threads: int) -> None:
    """In a new process: a run takes Ctrl-C for itself while it goes on, between runs we wait."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    limit_threads(threads)


def _data(arm: Arm, seed: int) -> dict[str, Any]:
    return {**arm.config.model_dump(mode="json"), "seed": seed}


def search(name: str, key: str, data: Mapping[str, Any], folder: Path) -> Trace:
    """Do one search and write its trace; runs in a process of the comparison.

    Args:
        name: Of the arm.
        key: Its hash.
        data: A dumped `RunConfig`.
        folder: The comparison's.

    Raises:
        SearchError: It failed.
        SearchStopped: A signal asked to stop.
    """
    config = build_settings(RunConfig, data)
    for plugin in config.plugins:
        load_plugin(Path(plugin))
    table = looking_up(config.evaluator)
    # What costs nothing to look up again needs no store on the disk.
    own = None if table is not None else folder / SEARCHES / name / f"seed-{config.seed}"
    if own is None:
        run = Run.create(None, config)
    else:
        own.mkdir(parents=True, exist_ok=True)
        run = Run.resume(own) if (own / CONFIG).exists() else Run.create(own, config)
    with run:
        plan = assemble(config)
        stages = list(plan.stages[:1])
        said = account_of(config.evaluator)
        tests = said.in_full or (table is not None and table.view(config).tested)
        if tests:
            stages.append(Stage(ACCOUNT, partial(_account, only_last=table is None)))
        result = run.execute(replace(plan, stages=stages, summarize=None))
        if result.status == "stopped":
            raise SearchStopped("stopped", "the same command goes on with the comparison")
        if result.status != "done":
            raise SearchError(f"search {name}, seed {config.seed}: {result.reason}", "run it again")
        objectives = parse_objectives(config.objectives)
        history = run.history
        trace = trace_of(name, key, config.seed, history, objectives, SEARCH, said.tested)
    write_trace(trace_file(folder, name, config.seed), trace)
    return trace


def _account(
    problem: Problem,
    rng: np.random.Generator,
    before: Mapping[str, PhaseResult],
    *,
    only_last: bool,
) -> Generator[Request, Any, None]:
    """Read the test figures of what was ever the best, or of the last best one only."""
    best: Outcome | None = None
    ever: dict[tuple[str, float | None], Outcome] = {}
    for outcome in before[SEARCH].outcomes:
        if problem.violation(outcome) > 0:
            continue
        mine = standing(outcome.budget or 0.0, problem.costs(outcome)[0])
        if best is None or mine < standing(best.budget or 0.0, problem.costs(best)[0]):
            best = outcome
            ever[outcome.candidate.id, outcome.budget] = outcome
    chosen = [best] if only_last and best is not None else list(ever.values())
    works = [o.work for o in chosen if isinstance(o.work, Evaluate)]
    yield [
        Evaluate(w.candidate, w.budget, w.seed, "test", {"stage": ACCOUNT}, w.horizon)
        for w in works
    ]
