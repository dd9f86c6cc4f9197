from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.plugins.hparams import metadata, plugin_data_pb2

from nas.monitors import Monitor, monitors
from nas.monitors.tensorboard import TensorBoardMonitor, decision_text
from nas.monitors.writer import RunWriter

# 1 x 1, black
PNG = bytes.fromhex(
    "89504e470d0a1a0a0000000d4948445200000001000000010800000000"
    "3a7e9b550000000a49444154789c6360000000020001e221bc330000000049454e44ae426082"
)
ARCHITECTURE = {"format": 1, "space": "darts", "choices": {}, "id": "ab" * 8}


def painter(seen: list[Any]) -> Any:
    def paint(payload: Any) -> bytes:
        seen.append(payload)
        return PNG

    return paint


def read(folder: Path) -> EventAccumulator:
    accumulator = EventAccumulator(str(folder), size_guidance={"images": 0, "scalars": 0})
    accumulator.Reload()
    return accumulator


def outcome(number: int = 1, **more: Any) -> dict[str, Any]:
    return {
        "event": "outcome",
        "id": f"{number:016x}",
        "candidate": {
            "architecture": ARCHITECTURE,
            "recipe": {"optimizer": {"name": "sgd", "lr": 0.1}},
            "scale": {"channels": 8, "auxiliary": True},
        },
        "status": "ok",
        "figures": {"error": 0.1 * number, "params": 1e5},
        "curve": {"error": [0.5, 0.3, 0.1 * number]},
        "seed": 3,
        "budget": 3.0,
        "tags": {"arm": "random"},
        **more,
    }


EVENTS: list[dict[str, Any]] = [
    {"event": "start", "run": "x", "config": {"a": {"b": 1}}, "versions": {"torch": "2"}},
    {
        "event": "progress",
        "phase": "search",
        "step": 1,
        "scalars": {
            "train_loss": 2.0,
            "accuracy": 0.5,
            "learning_rate": 0.1,
            "alpha_rate": 3e-4,
            "broken": float("nan"),
        },
    },
    {
        "event": "alphas",
        "step": 1,
        "groups": {"normal": [[0.2, 0.8]], "reduce": [[0.5, 0.5]]},
        "operations": ["skip_connect", "sep_conv_3x3"],
        "edges": ["normal/0<-0", "reduce/0<-0"],
    },
    {
        "event": "collapse",
        "step": 1,
        "skips": {"normal": 2},
        "entropy": 0.7,
        "eigenvalue": 0.25,
        "alarm": "6 skips",
    },
    {
        "event": "decision",
        "step": 2,
        "edge": "normal/0<-0",
        "group": "normal",
        "operation": "sep_conv_3x3",
        "measurements": {"sep_conv_3x3": {"mean_difference": 0.1, "confidence": 0.02}},
        "images": 1204,
        "reason": "separated",
    },
    {"event": "cells", "step": 2, "architecture": ARCHITECTURE, "label": "found"},
    outcome(),
    {"event": "front", "step": 1, "points": [], "hypervolume": 0.4},
    {"event": "something new", "step": 1},
    {"event": "stop", "status": "done"},
]


@pytest.fixture
def written(tmp_path: Path) -> tuple[Path, list[Any]]:
    seen: list[Any] = []
    names = ("alphas", "decision", "cells", "front")
    monitor = TensorBoardMonitor(tmp_path, painters={name: painter(seen) for name in names})
    for event in EVENTS:
        monitor.handle(event)
    monitor.close()
    return tmp_path, seen


def test_scalars_of_the_run(written: tuple[Path, list[Any]]) -> None:
    log = read(written[0])
    assert set(log.Tags()["scalars"]) == {
        "search/train_loss",
        "search/accuracy",
        "search/learning_rate",
        "search/alpha_rate",
        "alphas/entropy_normal",
        "alphas/entropy_reduce",
        "alphas/skips_normal",
        "alphas/skips_reduce",
        "collapse/skips_normal",
        "collapse/entropy",
        "collapse/eigenvalue",
        "collapse/alarm",
        "search/best_error",
        "front/hypervolume",
    }
    (point,) = log.Scalars("collapse/eigenvalue")
    assert (point.step, point.value) == (1, 0.25)
    assert log.Scalars("alphas/entropy_reduce")[0].value == pytest.approx(1.0)


def test_pictures_and_texts_of_the_run(written: tuple[Path, list[Any]]) -> None:
    log = read(written[0])
    assert set(log.Tags()["images"]) == {
        "alphas/normal",
        "alphas/reduce",
        "decisions/normal/0<-0",
        "cells/found",
        "front",
    }
    image = log.Images("front")[0]
    assert (image.width, image.height, image.encoded_image_string) == (1, 1, PNG)
    assert set(log.Tags()["tensors"]) == {
        "run/text_summary",
        "collapse/alarm/text_summary",
        "decisions/normal/0<-0/text_summary",
    }
    text = log.Tensors("decisions/normal/0<-0/text_summary")[0].tensor_proto.string_val[0].decode()
    assert "1,204 images" in text
    assert "| sep_conv_3x3 | 0.1 | 0.02 |" in text
    run = log.Tensors("run/text_summary")[0].tensor_proto.string_val[0].decode()
    assert "| a.b | 1 |" in run


def test_candidates_are_sub_runs_with_hparams(written: tuple[Path, list[Any]]) -> None:
    (folder,) = (written[0] / "candidates").iterdir()
    log = read(folder)
    assert set(log.Tags()["scalars"]) == {"curve/error", "error", "params"}
    assert [point.step for point in log.Scalars("curve/error")] == [1, 2, 3]
    content = log.SummaryMetadata(metadata.SESSION_START_INFO_TAG).plugin_data.content
    start = plugin_data_pb2.HParamsPluginData.FromString(content).session_start_info
    assert start.hparams["recipe.optimizer.lr"].number_value == 0.1
    assert start.hparams["channels"].number_value == 8
    assert start.hparams["auxiliary"].string_value == "True"
    assert start.hparams["tag.arm"].string_value == "random"
    assert start.hparams["architecture"].string_value == ARCHITECTURE["id"]
    content = log.SummaryMetadata(metadata.EXPERIMENT_TAG).plugin_data.content
    experiment = plugin_data_pb2.HParamsPluginData.FromString(content).experiment
    assert [info.name.tag for info in experiment.metric_infos] == ["error", "params"]


def test_a_resumed_run_does_not_fork(tmp_path: Path) -> None:
    """Steps after the one a run goes on from are dropped by TensorBoard itself."""
    for start in (0, 3):
        monitor = TensorBoardMonitor(tmp_path)
        for step in range(start, 6):
            scalars = {"loss": float(start)}
            monitor.handle({"event": "progress", "phase": "p", "step": step, "scalars": scalars})
        monitor.close()
    points = read(tmp_path).Scalars("p/loss")
    assert [(point.step, point.value) for point in points] == [
        (0, 0.0),
        (1, 0.0),
        (2, 0.0),
        (3, 3.0),
        (4, 3.0),
        (5, 3.0),
    ]


def test_a_stated_purge_step_wins(tmp_path: Path) -> None:
    for start, purge in ((0, None), (4, 2)):
        writer = RunWriter(tmp_path, purge)
        for step in range(start, 6):
            writer.scalar("loss", float(start), step)
        writer.close()
    assert [point.step for point in read(tmp_path).Scalars("loss")] == [0, 1, 4, 5]


def test_outcomes_told_again_are_not_written_again(tmp_path: Path) -> None:
    for _ in range(2):
        monitor = TensorBoardMonitor(tmp_path)
        monitor.handle(outcome())
        monitor.close()
    (folder,) = (tmp_path / "candidates").iterdir()
    assert len(read(folder).Scalars("curve/error")) == 3


def test_best_error_falls_and_ignores_test_and_failed(tmp_path: Path) -> None:
    monitor = TensorBoardMonitor(tmp_path)
    for number in (3, 1, 2):
        monitor.handle(outcome(number))
    monitor.handle(outcome(4, figures={"error": 0.01}, split="test"))
    monitor.handle(outcome(5, figures={}, status="failed", error="diverged"))
    monitor.close()
    values = [point.value for point in read(tmp_path).Scalars("search/best_error")]
    assert values == pytest.approx([0.3, 0.1, 0.1, 0.1])


def test_the_best_of_every_objective_is_drawn(tmp_path: Path) -> None:
    monitor = TensorBoardMonitor(tmp_path, objectives=("params:min", "error", "speed:max"))
    for number, params, speed in ((3, 5.0, 1.0), (1, 7.0, 3.0), (2, 4.0, 2.0)):
        figures = {"error": 0.1 * number, "params": params, "speed": speed}
        monitor.handle(outcome(number, figures=figures))
    monitor.close()
    log = read(tmp_path)
    expected = {"params": [5, 5, 4], "error": [0.3, 0.1, 0.1], "speed": [1, 3, 3]}
    for metric, values in expected.items():
        told = [point.value for point in log.Scalars(f"search/best_{metric}")]
        assert told == pytest.approx(values)


def test_many_candidates_keep_few_files_open(tmp_path: Path) -> None:
    monitor = TensorBoardMonitor(tmp_path)
    for number in range(40):
        monitor.handle(outcome(number))
    assert len(monitor._runs) <= 16
    monitor.close()
    assert len(list((tmp_path / "candidates").iterdir())) == 40


def test_live_curves_of_a_candidate_are_not_doubled(tmp_path: Path) -> None:
    monitor = TensorBoardMonitor(tmp_path)
    for step in (1, 2):
        monitor.handle(
            {
                "event": "progress",
                "phase": "train",
                "candidate": f"{1:016x}",
                "budget": 3.0,
                "seed": 3,
                "step": step,
                "scalars": {"error": 0.5},
            }
        )
    monitor.handle(outcome())
    monitor.close()
    (folder,) = (tmp_path / "candidates").iterdir()
    assert set(read(folder).Tags()["scalars"]) == {"train/error", "error", "params"}


def test_without_painters_there_are_no_pictures(tmp_path: Path) -> None:
    monitor = TensorBoardMonitor(tmp_path)
    for event in EVENTS:
        monitor.handle(event)
    monitor.close()
    assert read(tmp_path).Tags()["images"] == []


def test_topology_decisions_are_put_into_words() -> None:
    text = decision_text(
        {"edge": "normal/2", "kind": "topology", "operation": "normal/2<-1", "measurements": {}}
    )
    assert text == "**normal/2**: kept **normal/2<-1**"


def test_the_registry_knows_it_and_it_is_a_monitor(tmp_path: Path) -> None:
    monitor = monitors.get("tensorboard")
    made: Any = monitor
    instance = made(tmp_path)
    assert isinstance(instance, Monitor)
    instance.close()


def test_no_torch_is_imported() -> None:
    program = "import nas.monitors.tensorboard, nas.export, sys; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], check=False, timeout=60).returncode == 0
