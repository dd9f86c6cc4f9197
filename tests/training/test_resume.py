"""Stopping anywhere and going on gives what an undisturbed training gives, bit for bit."""

from __future__ import annotations

import itertools
import runpy
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from nas.core.errors import Interrupted
from nas.core.protocols import Context
from nas.training import FitOptions, TrainingRecipe, TrainingResult, fit
from nas.training.data.dataset import DataSet
from nas.training.files import load_state, save_state, write_atomically

Make = Callable[..., nn.Module]

RECIPE = TrainingRecipe(
    epochs=3,
    batch_size=32,
    optimizer_settings={"momentum": 0.9},
    learning_rate=0.05,
    ema_decay=0.9,
    flip=True,
    crop_padding=1,
    cutout=2,
    mixup=0.2,
)
STEPS = 3 * 4


def context(
    folder: Path | None, steps: int | None = None, notices: list[str] | None = None
) -> Context:
    """One that asks to stop before the batch number `steps` from now."""
    batches = itertools.count()

    def emit(event: str, payload: Mapping[str, Any]) -> None:
        if event == "notice" and notices is not None:
            notices.append(payload["message"])

    return Context(
        scratch=folder,
        should_stop=lambda: steps is not None and next(batches) >= steps,
        emit=emit,
    )


def end(network: nn.Module, result: TrainingResult) -> tuple[Any, dict[str, Tensor]]:
    return (dict(result.figures), dict(result.curve)), network.state_dict()


def check_same(a: tuple[Any, dict[str, Tensor]], b: tuple[Any, dict[str, Tensor]]) -> None:
    assert a[0] == b[0]
    for name, tensor in a[1].items():
        assert torch.equal(tensor, b[1][name]), name


@pytest.fixture
def undisturbed(few_digits: DataSet, conv_net: Make) -> tuple[Any, dict[str, Tensor]]:
    network = conv_net(dropout=0.3)
    return end(network, fit(network, few_digits, RECIPE, seed=5))


@pytest.mark.parametrize("optimizer", ["sgd", "adamw", "nadamw"])
def test_stopped_at_every_batch(
    few_digits: DataSet, conv_net: Make, tmp_path: Path, optimizer: str
) -> None:
    recipe = RECIPE.but(optimizer=optimizer, learning_rate=0.01)
    network = conv_net(dropout=0.3)
    straight = end(network, fit(network, few_digits, recipe, seed=5))
    for attempt in range(STEPS - 1):
        network = conv_net(seed=attempt, dropout=0.3)  # the checkpoint has the weights
        if attempt == 0:
            network = conv_net(dropout=0.3)
        with pytest.raises(Interrupted):
            fit(network, few_digits, recipe, context=context(tmp_path, 1), seed=5)
        assert len(list(tmp_path.iterdir())) == 1
    network = conv_net(dropout=0.3)
    notices: list[str] = []
    result = fit(network, few_digits, recipe, context=context(tmp_path, notices=notices), seed=5)
    check_same(straight, end(network, result))
    assert not notices
    assert result.spent.epochs == 3
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("stop", [0, 1, 4, 7, 11])
def test_stopped_once(
    few_digits: DataSet,
    conv_net: Make,
    tmp_path: Path,
    undisturbed: tuple[Any, dict[str, Tensor]],
    stop: int,
) -> None:
    with pytest.raises(Interrupted):
        fit(conv_net(dropout=0.3), few_digits, RECIPE, context=context(tmp_path, stop), seed=5)
    network = conv_net(dropout=0.3)
    result = fit(network, few_digits, RECIPE, context=context(tmp_path), seed=5)
    check_same(undisturbed, end(network, result))


def test_killed_after_a_checkpoint(
    few_digits: DataSet,
    conv_net: Make,
    tmp_path: Path,
    undisturbed: tuple[Any, dict[str, Tensor]],
) -> None:
    """No chance to write at the end: the last timed checkpoint counts."""

    class Killed(BaseException):
        pass

    def die() -> bool:
        if next(batches) == 6:
            raise Killed
        return False

    batches = itertools.count()
    options = FitOptions(checkpoint_seconds=0.0)
    with pytest.raises(Killed):
        fit(
            conv_net(dropout=0.3),
            few_digits,
            RECIPE,
            context=Context(scratch=tmp_path, should_stop=die),
            seed=5,
            options=options,
        )
    (file,) = tmp_path.iterdir()
    state = load_state(file)
    assert state is not None
    assert (state["epoch"], state["stepper"]["step"]) == (1, 1)
    network = conv_net(dropout=0.3)
    result = fit(network, few_digits, RECIPE, context=context(tmp_path), seed=5)
    check_same(undisturbed, end(network, result))


def test_checkpoints_are_not_written_more_often_than_asked(
    few_digits: DataSet, conv_net: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written = []
    monkeypatch.setattr("nas.training.checkpoint.save_state", lambda path, _: written.append(path))
    fit(conv_net(), few_digits, RECIPE, context=context(tmp_path))
    assert not written
    fit(
        conv_net(),
        few_digits,
        RECIPE,
        context=context(tmp_path),
        options=FitOptions(checkpoint_seconds=0.0),
    )
    assert len(written) == STEPS


def cut(content: bytes) -> bytes:
    return content[: len(content) // 2]


def flip(content: bytes) -> bytes:
    middle = len(content) // 2
    return (
        content[:middle]
        + bytes(255 - b for b in content[middle : middle + 64])
        + content[middle + 64 :]
    )


@pytest.mark.parametrize("damage", [cut, lambda content: b"", lambda content: b"nonsense"])
def test_a_damaged_checkpoint_is_passed_over(
    few_digits: DataSet,
    conv_net: Make,
    tmp_path: Path,
    undisturbed: tuple[Any, dict[str, Tensor]],
    damage: Callable[[bytes], bytes],
) -> None:
    with pytest.raises(Interrupted):
        fit(conv_net(dropout=0.3), few_digits, RECIPE, context=context(tmp_path, 5), seed=5)
    (file,) = tmp_path.iterdir()
    file.write_bytes(damage(file.read_bytes()))
    notices: list[str] = []
    network = conv_net(dropout=0.3)
    result = fit(network, few_digits, RECIPE, context=context(tmp_path, None, notices), seed=5)
    check_same(undisturbed, end(network, result))
    assert len(notices) == 1
    assert "damaged" in notices[0]


def test_a_checkpoint_of_another_training_is_never_taken_up(
    few_digits: DataSet, conv_net: Make, tmp_path: Path
) -> None:
    """Neither by its name nor, if someone moves it, by its content."""
    with pytest.raises(Interrupted):
        fit(conv_net(), few_digits, RECIPE, context=context(tmp_path, 5), seed=5)
    (theirs,) = tmp_path.iterdir()
    changes: list[dict[str, Any]] = [
        {"recipe": RECIPE.but(cutout=3)},
        {"seed": 6},
        {"data": few_digits.merged(), "split": "test"},
        {"options": FitOptions(identity="another candidate")},
        {"network": nn.Sequential(conv_net(), nn.Identity())},
    ]
    for change in changes:
        arguments = {
            "network": conv_net(),
            "data": few_digits,
            "recipe": RECIPE,
            "seed": 5,
            **change,
        }
        folder = tmp_path / "other"
        folder.mkdir()
        with pytest.raises(Interrupted):
            fit(**arguments, context=context(folder, 0))
        (ours,) = folder.iterdir()
        assert ours.name != theirs.name
        ours.write_bytes(theirs.read_bytes())
        notices: list[str] = []
        with pytest.raises(Interrupted):
            fit(**arguments, context=context(folder, 0, notices))
        assert len(notices) == 1
        assert "another training" in notices[0]
        ours.unlink()
        folder.rmdir()


def test_a_longer_training_goes_on_from_a_shorter_one(
    few_digits: DataSet, conv_net: Make, tmp_path: Path
) -> None:
    network = conv_net()
    straight = end(network, fit(network, few_digits, RECIPE, seed=5))
    state = tmp_path / "state.pt"
    network = conv_net()
    short = fit(
        network,
        few_digits,
        RECIPE,
        epochs=1,
        seed=5,
        options=FitOptions(horizon=3, keep_state=state),
    )
    assert short.spent.epochs == 1
    network = conv_net()
    options = FitOptions(horizon=3, macs=1.0)
    result = fit(network, few_digits, RECIPE, seed=5, resume_from=state, options=options)
    check_same(straight, end(network, result))
    assert result.spent.epochs == 2
    assert result.spent.macs == 2 * (3 * 100 + 100)


def test_a_state_that_does_not_fit_is_passed_over(
    few_digits: DataSet, conv_net: Make, tmp_path: Path
) -> None:
    network = conv_net()
    straight = end(network, fit(network, few_digits, RECIPE, epochs=1, seed=5))
    state = tmp_path / "state.pt"
    fit(conv_net(), few_digits, RECIPE, seed=5, options=FitOptions(keep_state=state))
    for path, words in ((state, "another training"), (tmp_path / "none.pt", "missing")):
        notices: list[str] = []
        network = conv_net()
        result = fit(
            network,
            few_digits,
            RECIPE,
            context=context(None, None, notices),
            epochs=1,
            seed=5,
            resume_from=path,
        )
        check_same(straight, end(network, result))
        assert len(notices) == 1
        assert words in notices[0]


def test_a_folder_that_cannot_be_written_costs_a_notice(
    few_digits: DataSet, conv_net: Make, tmp_path: Path
) -> None:
    notices: list[str] = []
    place = tmp_path / "gone"
    with pytest.raises(Interrupted):
        fit(conv_net(), few_digits, RECIPE, context=context(place, 2, notices))
    assert len(notices) == 1
    assert "could not be written" in notices[0]


def test_files_are_whole_or_not_there(tmp_path: Path) -> None:
    path = tmp_path / "a.pt"
    save_state(path, {"x": torch.arange(3)})

    def fail(name: Path) -> None:
        name.write_text("half")
        raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        write_atomically(path, fail)
    assert [file.name for file in tmp_path.iterdir()] == ["a.pt"]
    state = load_state(path)
    assert state is not None
    assert state["x"].tolist() == [0, 1, 2]
    with pytest.raises(OSError, match=r"."):
        save_state(tmp_path / "none" / "a.pt", {})


class Evil:
    """Would run code if checkpoints were unpickled carelessly."""

    def __reduce__(self) -> tuple[Any, ...]:
        return print, ("code ran",)


def test_checkpoints_run_no_code(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "a.pt"
    torch.save({"x": Evil()}, path)
    assert load_state(path) is None
    assert capsys.readouterr().out == ""


SCRIPT = """
import sys, torch
from pathlib import Path
from nas.core.errors import Interrupted
from nas.core.protocols import Context
from nas.training import TrainingRecipe, fit, load_data
from nas.training.randomness import seeded

class Net(torch.nn.Sequential):
    def extra_repr(self):
        return repr(lambda: 0)  # the address differs between processes

def train(folder, stop):
    with seeded(0, "weights"):
        net = Net(torch.nn.Flatten(), torch.nn.Dropout(0.2), torch.nn.Linear(64, 3))
    left = iter(range(10 ** 6))
    context = Context(scratch=folder, should_stop=lambda: stop >= 0 and next(left) >= stop)
    recipe = TrainingRecipe(epochs=3, batch_size=8, ema_decay=0.9, mixup=0.2, cutout=2)
    data = load_data(f"npz:{folder.parent / 'data.npz'}")
    try:
        result = fit(net, data, recipe, context=context, seed=1)
    except Interrupted:
        return "interrupted"
    return f"{sorted(result.figures.items())} {net[2].weight.sum().item().hex()}"

if __name__ == "__main__":
    print(train(Path(sys.argv[1]), int(sys.argv[2])))
"""


def test_going_on_in_another_process(
    tmp_path: Path, arrays: Callable[..., dict[str, np.ndarray]]
) -> None:
    script, folder = tmp_path / "script.py", tmp_path / "scratch"
    script.write_text(SCRIPT)
    folder.mkdir()
    np.savez(tmp_path / "data.npz", **arrays(60))
    train = runpy.run_path(str(script))["train"]
    straight = train(folder, -1)
    assert train(folder, 7) == "interrupted"
    assert len(list(folder.iterdir())) == 1
    command = [sys.executable, str(script), str(folder), "-1"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.stdout.strip() == straight, done.stderr
    assert not list(folder.iterdir())  # the checkpoint was recognised and used
