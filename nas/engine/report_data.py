"""What `report.html` shows of a run, gathered from its store."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any

from nas.core.config import RunConfig
from nas.core.errors import NasError, PluginError, UnsupportedError
from nas.core.objective import parse_objectives
from nas.core.work import Call, Evaluate
from nas.engine.baseline import baseline
from nas.engine.credit import CREDIT, credit
from nas.engine.records import Entry
from nas.engine.results import compared
from nas.engine.run import Run
from nas.engine.story import announced, labels, point_of
from nas.engine.tables import coverage_of, data_of
from nas.evaluators import Account, account_of, looking_up
from nas.export.axes import metric_name
from nas.export.report import ReportData, comparison_of
from nas.strategies.finale import FOUND
from search_spaces import get_space


def report_data(run: Run, exports: Sequence[Mapping[str, Any]] = ()) -> ReportData:
    """Everything the page can say of a run, whatever state it is in."""
    history, config, status = run.history, run.config, run.status()
    told = [(topic, payload) for _, topic, payload in run.announced]
    events = _numbered(told)
    best = run.best
    name = run.folder.name if run.folder else "run"
    note = data_note(config)
    account = known_account(config)
    return ReportData(
        name=name,
        status=str(status.get("status", "done")),
        space=config.space,
        strategy=config.strategy,
        data=_told(config, data_of, config.data) if _reads_data(config) else "",
        seed=config.seed,
        created=time.strftime("%Y-%m-%d %H:%M", time.localtime(status.get("created", 0))),
        best=None if best is None else _best(best),
        spent=dict(status.get("spent") or {}),
        settings=config.model_dump(mode="json"),
        versions=dict(status.get("versions") or {}),
        front=_front(run) if best is not None else None,
        curves=_curves(history, account.goal),
        alphas=_heat_maps(run),
        decisions=[e for e in events if e["event"] == "decision"],
        collapse=[e for e in events if e["event"] == "collapse"],
        comparison=_comparison(history, account),
        credit=credit(history, account).get(CREDIT),
        seeds=_seeds(history),
        exports=exports,
        commands={
            "reproduce": str(status.get("command", "")),
            "go on": f"nas resume {run.folder}",
            "train the best for longer": f"nas train {run.folder} --epochs 200",
        },
        notes=[note] if note else [],
        input_shape=None,
    )


def _numbered(told: Sequence[tuple[str, Any]]) -> list[Mapping[str, Any]]:
    events, decisions = [], 0
    for topic, payload in told:
        decisions += topic == "decision"
        event = announced(topic, payload, decisions)
        if event is not None:
            events.append(event)
    return events


def _best(best: Entry) -> dict[str, Any]:
    candidate = best.candidate
    result = {
        "architecture": candidate.architecture.to_dict(),
        "figures": dict(best.figures),
        "scale": dict(candidate.scale),
        "recipe": None if candidate.recipe is None else candidate.recipe.to_dict(),
    }
    space = get_space(candidate.architecture.space)
    with suppress(UnsupportedError):
        result["notation"] = space.format(candidate.architecture)
    return result


def _front(run: Run) -> dict[str, Any]:
    front = run.pareto.to_dict()
    on_front = {point["id"] for point in front["points"]}
    points = [
        point_of(
            entry.candidate,
            entry.figures,
            entry.tags,
            front=entry.candidate.id in on_front and entry.tags.get("arm", FOUND) == FOUND,
        )
        for entry in compared(run.history)
    ]
    return {**front, "points": points, "goal": known_account(run.config).goal}


def _curves(history: Sequence[Entry], goal: str) -> dict[str, Any]:
    """Losses and errors of the session's epochs, and of full trainings."""
    series: dict[str, dict[str, list[list[float]]]] = {}
    for entry in history:
        if isinstance(entry.work, Call) and isinstance(entry.value, Mapping):
            epoch = entry.value.get("epoch")
            for name, value in entry.figures.items():
                if epoch is not None:
                    chart = "supernet error" if "error" in name else "supernet loss"
                    series.setdefault(chart, {}).setdefault(name, []).append([epoch, value])
        elif isinstance(entry.work, Evaluate) and entry.tags.get("stage") == "final":
            told = entry.curve.get(goal) or []
            arm, seed = entry.tags.get("arm"), entry.work.seed
            scale = " ".join(str(v) for v in entry.candidate.scale.values())
            if seed == 0:
                points = [[i + 1, value] for i, value in enumerate(told)]
                label = f"{arm} {scale}".strip()
                title = f"{metric_name(goal)} in full training (seed 0)"
                series.setdefault(title, {})[label] = points
    return {
        title: {"series": lines, "x": "epoch", "metric": _unit(title, goal)}
        for title, lines in series.items()
    }


def known_account(config: RunConfig) -> Account:
    """What an evaluator says of itself; of one that has moved since, what the objectives tell."""
    try:
        return account_of(config.evaluator)
    except PluginError:
        return Account(goal=parse_objectives(config.objectives)[0].metric)


def _unit(title: str, goal: str) -> str:
    if not title.startswith("supernet"):
        return goal
    return "loss" if "loss" in title else "error"


def _heat_maps(run: Run) -> list[dict[str, Any]]:
    """The mixture after the last epoch of search, before decisions."""
    names = labels(run.config)
    values = [
        e.value
        for e in run.history
        if isinstance(e.work, Call) and isinstance(e.value, Mapping) and "mixture" in e.value
    ]
    searched = [value for value in values if "epoch" in value and not value.get("tuning")]
    if not names or not searched:
        return []
    last = searched[-1]
    decided = {}
    for _, topic, payload in run.announced:
        if topic == "decision" and payload.get("what") == "operation":
            decided[payload["edge"]] = payload["kept"][0]
    maps = []
    for group, rows in last["mixture"].items():
        operations = names["operations"][group]
        columns = list(dict.fromkeys(name for row in operations for name in row))
        # Operations may differ by edge (S1): those that an edge does not have stay blank.
        weights = [dict(zip(*pair, strict=True)) for pair in zip(operations, rows, strict=True)]
        maps.append(
            {
                "group": group,
                "rows": names["edges"][group],
                "columns": columns,
                "values": [[row.get(column) for column in columns] for row in weights],
                "step": last["epoch"],
                "decided": {e: o for e, o in decided.items() if e in names["edges"][group]},
            }
        )
    return maps


def _comparison(history: Sequence[Entry], account: Account) -> dict[str, Any] | None:
    result = baseline(history, account).get("baseline")
    return None if result is None else comparison_of(result)


def _seeds(history: Sequence[Entry]) -> list[dict[str, Any]]:
    return [
        {
            "seed": entry.work.seed,
            "arm": entry.tags.get("arm", FOUND),
            "figures": dict(entry.figures),
            "label": ", ".join(f"{k} {v}" for k, v in entry.candidate.scale.items()),
            "status": entry.status,
        }
        for entry in history
        if isinstance(entry.work, Evaluate) and entry.tags.get("stage") == "final"
    ]


def _told(config: RunConfig, about: Callable[[RunConfig], str], otherwise: str) -> str:
    """What is to be said of a table; of one that has moved since, what else is known."""
    try:
        return about(config)
    except NasError:
        return otherwise


def _reads_data(config: RunConfig) -> bool:
    """Whether figures are of a data set: our trainings', or what a table was made on."""
    return config.evaluator == "train" or looking_up(config.evaluator) is not None


def data_note(config: RunConfig) -> str:
    """What a reader must know of the data, if there are any."""
    if looking_up(config.evaluator) is not None:
        coverage = _told(config, coverage_of, "")
        text = "Nothing was trained: all figures were looked up in a published table."
        return f"{text} {coverage[:1].upper()}{coverage[1:]}." if coverage else text
    if config.data == "digits" and _reads_data(config):
        return (
            "The data are scikit-learn's 1,797 digits of 8x8 pixels: enough to see everything "
            "work, too little to tell good architectures apart. Name your own with --data."
        )
    return ""
