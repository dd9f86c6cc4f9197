"""What a finished run leaves for others: `best/`, pictures of the front, the report."""

from __future__ import annotations

from dataclasses import replace
from math import inf
from pathlib import Path
from typing import Any, Final

from nas.core.errors import PluginError
from nas.core.work import Evaluate
from nas.engine.checkpoints import scratch_folder
from nas.engine.folder import CHECKPOINTS
from nas.engine.records import Entry
from nas.engine.report_data import report_data
from nas.engine.results import SHARE, compared, network_of
from nas.engine.run import Run
from nas.evaluators import (
    PRUNED,
    WEIGHTS,
    account_of,
    inputs_of,
    looking_up,
    weights_of_share,
)
from nas.export import ExportRequest, ExportResult, export
from nas.export.files import write_bytes
from nas.export.front_picture import Dot
from nas.export.paint import costs_of, directions_of
from nas.export.picture_files import write_front_png
from nas.export.report import write_report
from nas.export.request import NoSuchFormError
from nas.strategies.finale import FOUND

BEST: Final = "best"
FORMS: Final = (
    ("json", "architecture.json"),
    ("python", "model.py"),
    ("onnx", "model.onnx"),
    ("svg", "cells.svg"),
)
SMALLER: Final = "pruned"
"""Folder, in that of the best, of the networks that its training left with fewer channels."""
DRAWN: Final = ("json", "svg")
"""Forms that compute nothing."""

NO_INPUTS: Final = "its evaluator does not say what its networks take (inputs)"


def deliver(run: Run) -> list[str]:
    """Write everything that can be made of a run's store; notices of what could not.

    Raises:
        ExportError: A form was written but does not compute what the network does.
    """
    folder = run.folder
    if folder is None:
        return []
    notices: list[str] = []
    exports: list[dict[str, Any]] = []
    best = run.best
    if best is not None:
        exports, notices = export_best(run, best)
        front, goal = run.pareto.to_dict(), account_of(run.config.evaluator).goal
        write_front_png(
            folder / "front.png",
            dots(run),
            target=goal,
            costs=costs_of(front, goal),
            directions=directions_of(front),
        )
    write_report(folder / "report.html", report_data(run, exports))
    return notices


def export_best(run: Run, best: Entry) -> tuple[list[dict[str, Any]], list[str]]:
    """Export the best network with its trained weights, each form compared with it.

    A form that the network cannot have, or whose libraries are not installed, is left out, which a
    notice says, and so are all that compute where nobody says what the networks take; the weights
    are there in any case.
    """
    assert run.folder is not None
    folder = run.folder / BEST
    folder.mkdir(exist_ok=True)
    request = best_request(run, best)
    written: list[dict[str, Any]] = []
    notices: list[str] = []
    wanted = set(DRAWN)
    if looking_up(run.config.evaluator) is not None:
        wanted.add("python")
        notices.append(f"{BEST}/model.py has no weights: its figures were looked up, not trained")
    fed = request.weights is not None and inputs_of(run.config) is not None
    if request.weights is not None and not fed:
        names = " and ".join(name for form, name in FORMS if form not in wanted)
        notices.append(f"{BEST}/{names} were left out: {NO_INPUTS}")
    for form, name in FORMS:
        if form not in wanted and not fed:
            continue
        try:
            result = export(form, replace(request, out=folder / name))
        except (NoSuchFormError, PluginError) as error:
            notices.append(f"{BEST}/{name} was left out: {error}")
            continue
        written.append(described(result, run.folder))
    if request.weights is not None:
        if not (folder / WEIGHTS).exists():
            write_bytes(folder / WEIGHTS, request.weights.read_bytes())
        for path in request.weights.parent.glob("*.png"):  # what its training drew beside them
            write_bytes(folder / path.name, path.read_bytes())
        for path in request.weights.parent.glob(f"{PRUNED}*"):
            place = smaller_weights(run.folder, float(path.stem.removeprefix(PRUNED)))
            place.parent.mkdir(parents=True, exist_ok=True)
            write_bytes(place, path.read_bytes())
    return written, notices


def smaller_weights(folder: Path, share: float) -> Path:
    """Where a run has the weights of its best network without a share of its channels."""
    return folder / BEST / SMALLER / f"{share:g}" / WEIGHTS


def best_request(run: Run, best: Entry) -> ExportRequest:
    """What to export: the best candidate at its scale, with the weights of its best training."""
    config = run.config
    candidate, share = best.candidate, best.tags.get(SHARE)
    scale = {**config.network, **candidate.scale}
    weights = weights_of(run, candidate.id)
    if weights is not None and share is not None:
        weights = weights.with_name(weights_of_share(share))
    request = ExportRequest(candidate.architecture, Path(), scale, weights=weights)
    inputs = inputs_of(config)
    if inputs is None:
        return request
    return replace(
        request,
        input_shape=inputs.shape,
        num_classes=inputs.classes,
        images=inputs.examples,
        part=inputs.part,
    )


def weights_of(run: Run, candidate: str) -> Path | None:
    """Weights of the candidate's full training that is best by what a search sees."""
    assert run.folder is not None
    goal = account_of(run.config.evaluator).goal
    found: list[tuple[float, int, Path]] = []
    for entry in run.history:
        work = entry.work
        if not isinstance(work, Evaluate) or not entry.ok or work.candidate.id != candidate:
            continue
        path = scratch_folder(run.folder / CHECKPOINTS, work) / WEIGHTS
        if work.split == "test" and path.is_file():
            found.append((entry.figures.get(goal, inf), work.seed or 0, path))
    return min(found)[2] if found else None


def described(result: ExportResult, root: Path) -> dict[str, Any]:
    """An export as the report lists it."""
    return {
        "form": result.form,
        "path": str(result.files[0].relative_to(root)),
        "bytes": sum(file.stat().st_size for file in result.files),
        "difference": result.difference,
        "detail": result.detail,
    }


def dots(run: Run) -> list[Dot]:
    """Every network trained in full, or else everything evaluated, for the front's picture."""
    on_front = {network_of(entry) for entry in run.front}
    result = []
    for entry in compared(run.history):
        arm = str(entry.tags.get("arm", FOUND))
        result.append(Dot(entry.figures, arm, "", network_of(entry) in on_front and arm == FOUND))
    return result
