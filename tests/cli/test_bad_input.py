"""Bad input: one clear line, the right exit code, no traceback, nothing written."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from search_spaces import get_space

BAD_INPUT = 2
MISSING = 4

SEARCH = ("search", "--space", "darts")
ON_201 = ("search", "--space", "nasbench201", "--strategy")
ON_201 = ("search", "--space", "nasbench201", "--strategy")

CASES = [
    # what is asked, exit code, words of the error
    (("serch",), BAD_INPUT, "search"),
    (("search", "--foo"), BAD_INPUT, "--foo"),
    (("search",), BAD_INPUT, "--space"),
    (("search", "--space", "dart"), BAD_INPUT, "did you mean darts"),
    ((*SEARCH, "--strategy", "randon"), BAD_INPUT, "did you mean random"),
    ((*SEARCH, "--data", "digit"), BAD_INPUT, "did you mean digits"),
    ((*SEARCH, "--data", "images"), BAD_INPUT, "images:FOLDER"),
    ((*SEARCH, "--data", "digits:x"), BAD_INPUT, "built in"),
    ((*SEARCH, "--data", "images:nowhere"), MISSING, "does not exist"),
    ((*SEARCH, "--data", "npz:nothing.npz"), MISSING, "does not exist"),
    ((*SEARCH, "--data", "cifar10:nowhere"), MISSING, "does not exist"),
    ((*SEARCH, "--scale", "qick"), BAD_INPUT, "did you mean quick"),
    ((*SEARCH, "--set", "epochs"), BAD_INPUT, "KEY=VALUE"),
    ((*SEARCH, "--set", "epoch=3"), BAD_INPUT, "did you mean epochs"),
    ((*SEARCH, "--set", "epochs=many"), BAD_INPUT, "'many'"),
    ((*SEARCH, "--set", "epochs=0"), BAD_INPUT, "greater than or equal to 1"),
    ((*SEARCH, "--set", "selection.mode=magic"), BAD_INPUT, "'paired' or 'paper'"),
    ((*SEARCH, "--set", "selection.mod=paper"), BAD_INPUT, "did you mean mode"),
    ((*SEARCH, "--set", "recipe=3"), BAD_INPUT, "recipe.KEY=VALUE"),
    ((*SEARCH, "--set", "recipe.epoch=3"), BAD_INPUT, "epochs"),
    ((*SEARCH, "--set", "recipe.optimizer=sdg"), BAD_INPUT, "did you mean sgd"),
    ((*SEARCH, "--set", "recipe.learning_rate=-1"), BAD_INPUT, "learning_rate"),
    ((*SEARCH, "--set", "final.seeds=0"), BAD_INPUT, "final.seeds"),
    ((*SEARCH, "--set", "network.channel=8"), BAD_INPUT, "did you mean channels"),
    ((*SEARCH, "--set", "network.channels=wide"), BAD_INPUT, "a whole number"),
    ((*SEARCH, "--set", "data_settings.limits=8"), BAD_INPUT, "did you mean limit"),
    ((*SEARCH, "--objective", "eror"), BAD_INPUT, "did you mean error"),
    ((*SEARCH, "--objective", "error:small"), BAD_INPUT, "METRIC[:min|max]"),
    ((*SEARCH, "--objective", "test_error"), BAD_INPUT, "test split"),
    ((*SEARCH, "--objective", "error", "--objective", "error"), BAD_INPUT, "twice"),
    ((*SEARCH, "--objective", "params:min>=2"), BAD_INPUT, "wrong side"),
    ((*SEARCH, "--budget", "lots"), BAD_INPUT, "50evaluations"),
    ((*SEARCH, "--budget", "0epochs"), BAD_INPUT, "0epochs"),
    ((*SEARCH, "--seed", "-1"), BAD_INPUT, "--seed"),
    ((*SEARCH, "--seed", "one"), BAD_INPUT, "--seed"),
    ((*SEARCH, "--workers", "0"), BAD_INPUT, "--workers"),
    ((*SEARCH, "--device", "gpu"), BAD_INPUT, "device"),
    ((*SEARCH, "--device", "cuda:99"), MISSING, "cuda:99"),
    ((*SEARCH, "--executor", "process"), BAD_INPUT, "did you mean processes"),
    ((*SEARCH, "--plugin", "nothing.py"), BAD_INPUT, "does not exist"),
    ((*SEARCH, "--config", "nothing.yaml"), BAD_INPUT, "does not exist"),
    ((*ON_201, "rank-nosh", "--set", "encoding=nonsense"), BAD_INPUT, "unknown encoding"),
    ((*ON_201, "rank-nosh", "--set", "predictor=mpl"), BAD_INPUT, "did you mean mlp"),
    ((*ON_201, "rank-nosh", "--objective", "params"), BAD_INPUT, "training changes none"),
    ((*ON_201, "bananas", "--set", "encoding=paths+onehot"), BAD_INPUT, "did you mean path"),
    ((*ON_201, "bananas", "--set", "predictor_settings.trees=3"), BAD_INPUT, "'trees'"),
    ((*ON_201, "random", "--evaluator", "nowhere_at_all:f"), BAD_INPUT, "no evaluator and no mod"),
    ((*ON_201, "random", "--evaluator", "json.nowhere:f"), BAD_INPUT, "json.nowhere"),
    ((*ON_201, "random", "--evaluator", "json:nothing"), BAD_INPUT, "no attribute 'nothing'"),
    ((*ON_201, "random", "--evaluator", "json:__doc__"), BAD_INPUT, "expected a function"),
    ((*ON_201, "random", "--evaluator", ":f"), BAD_INPUT, "no evaluator and no module"),
    (("resume", "nowhere"), BAD_INPUT, "does not exist"),
    (("resume", "."), BAD_INPUT, "holds no run"),
    (("status", "nowhere"), BAD_INPUT, "does not exist"),
    (("report", "nowhere"), BAD_INPUT, "does not exist"),
    (("show", "dart"), BAD_INPUT, "did you mean darts"),
    (("show", "darts:DARTS_V9"), BAD_INPUT, "DARTS_V2"),
    (("show", "darts:Genotype(normal=[])"), BAD_INPUT, "Genotype"),
    (("show", "nasbench201:|conv~0|"), BAD_INPUT, "expected"),
    (("show", "nothing.json"), BAD_INPUT, "does not exist"),
    (("show", "darts:DARTS_V2", "--input", "32"), BAD_INPUT, "CHANNELSxHEIGHTxWIDTH"),
    (("show", "darts:DARTS_V2", "--set", "layer=3"), BAD_INPUT, "did you mean layers"),
    (("show", "\x00"), BAD_INPUT, "no search space"),
    (("show", "x" * 5000), BAD_INPUT, "no search space"),
    (("list", "space"), BAD_INPUT, "did you mean spaces"),
    (("check", "dart"), BAD_INPUT, "did you mean darts"),
    (("check", "nothing.py"), BAD_INPUT, "does not exist"),
    (("export", "darts:DARTS_V2"), BAD_INPUT, "--to"),
    (("export", "darts:DARTS_V2", "--to", "tflite"), BAD_INPUT, "known"),
    (("export", "darts", "--to", "json"), BAD_INPUT, "darts:DARTS_V1"),
    (("train", "darts"), BAD_INPUT, "whole space"),
    (("train", "darts:DARTS_V2", "--epochs", "0"), BAD_INPUT, "--epochs"),
    (("train", "darts:DARTS_V2", "--recipe", "digit"), BAD_INPUT, "did you mean digits"),
    (("train", "darts:DARTS_V2", "--recipe", "my.yaml"), BAD_INPUT, "does not exist"),
    (("train", "darts:DARTS_V2", "--set", "epoch=3"), BAD_INPUT, "epochs"),
    (("train", "darts:DARTS_V2", "--data", "images:nowhere"), MISSING, "does not exist"),
]


def one_line(text: str) -> str:
    """The error of `text`, which has exactly that one line."""
    assert text.endswith("\n")
    line = text.rstrip("\n")
    assert "\n" not in line
    assert line.startswith("error: ")
    assert all(char.isprintable() for char in line)
    return line


@pytest.mark.parametrize(("arguments", "code", "words"), CASES, ids=lambda v: str(v)[:60])
def test_one_clear_line(program, tmp_path: Path, arguments, code: int, words: str) -> None:
    said = program(*arguments)
    assert words in one_line(said.err)
    assert said.code == code
    assert said.out == ""
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("space: [", "cannot be read"),
        ("- darts", "no mapping"),
        ("space: darts\nspaces: 3", "unknown setting 'spaces'"),
        ("space: darts\nseed: soon", "'seed'"),
        ("space: darts\nbudget: 12", "'budget'"),
        ("space: darts\nsettings: {epoch: 3}", "did you mean epochs"),
        ("a: &a [x]\nspace: *a", "cannot be read"),
        ("", "no search space"),
        ("\x00", "cannot be read"),
    ],
)
def test_configuration_files(program, tmp_path: Path, text: str, words: str) -> None:
    file = tmp_path / "search.yaml"
    file.write_text(text)
    said = program("search", "--config", str(file))
    assert words in one_line(said.err)
    assert said.code == BAD_INPUT


def test_a_plugin_that_fails_is_named(program, tmp_path: Path) -> None:
    file = tmp_path / "broken.py"
    file.write_text("1 / 0")
    said = program(*SEARCH, "--plugin", str(file))
    assert said.code == BAD_INPUT
    assert "ZeroDivisionError" in one_line(said.err)


def architecture_files(folder: Path) -> dict[str, str]:
    """Files that are no architecture of ours, and what is said of each."""
    good = get_space("nasbench201").members["resnet"].to_dict()
    edited = {**good, "choices": {**good["choices"], "cell/1<-0": "conv_9x9"}}
    swapped = {**good, "choices": {**good["choices"], "cell/1<-0": "skip_connect"}}
    texts = {
        "truncated": (json.dumps(good)[:-20], "JSON"),
        "newer": (json.dumps({**good, "format": 99}), "newer"),
        "foreign": (json.dumps({**good, "space": "nasbench999"}), "nasbench999"),
        "other": (json.dumps({**good, "space": "darts"}), "choice"),
        "invalid": (json.dumps(edited), "conv_9x9"),
        "edited": (json.dumps(swapped), "id"),
        "list": ("[]", "JSON object"),
        "binary": ("\udcff\x00", "JSON"),
        "empty": ("", "JSON"),
    }
    found = {}
    for name, (text, words) in texts.items():
        (folder / f"{name}.json").write_bytes(text.encode(errors="surrogateescape"))
        found[f"{name}.json"] = words
    return found


def test_architecture_files(program, tmp_path: Path) -> None:
    for name, words in architecture_files(tmp_path).items():
        for arguments in (("show", name), ("export", name, "--to", "json"), ("check", name)):
            said = program(*arguments)
            assert said.code == BAD_INPUT, name
            assert words in one_line(said.err), name


def test_nothing_is_overwritten(program, tmp_path: Path) -> None:
    run = tmp_path / "run"
    run.mkdir()
    (run / "store.sqlite").write_text("precious")
    said = program(*SEARCH, "--out", str(run))
    assert said.code == BAD_INPUT
    assert "nas resume" in one_line(said.err)
    assert (run / "store.sqlite").read_text() == "precious"

    other = tmp_path / "other"
    other.mkdir()
    (other / "thesis.txt").write_text("precious")
    said = program(*SEARCH, "--out", str(other))
    assert said.code == BAD_INPUT
    assert "not empty" in one_line(said.err)

    said = program(*SEARCH, "--out", str(other / "thesis.txt"))
    assert said.code == BAD_INPUT
    assert "is a file" in one_line(said.err)
    said = program(*SEARCH, "--out", str(other / "thesis.txt" / "run"))
    assert said.code == BAD_INPUT
    one_line(said.err)

    (tmp_path / "DARTS_V2.json").write_text("precious")
    said = program("export", "darts:DARTS_V2", "--to", "json")
    assert said.code == BAD_INPUT
    assert (tmp_path / "DARTS_V2.json").read_text() == "precious"


def test_a_store_that_is_none(program, tmp_path: Path) -> None:
    run = tmp_path / "runs" / "broken"
    run.mkdir(parents=True)
    (run / "store.sqlite").write_bytes(b"\0" * 100)
    (run / "config.yaml").write_text("space: darts\nstrategy: darts\n")
    for arguments in (("status", str(run)), ("show", str(run)), ("resume", str(run))):
        said = program(*arguments)
        assert said.code == BAD_INPUT, arguments
        assert "store" in said.err.splitlines()[-1]
    said = program("status")
    assert said.code == 0
    assert "unreadable" in said.out


def test_debugging_shows_the_traceback(program, monkeypatch: pytest.MonkeyPatch) -> None:
    from nas.core.errors import NasError

    monkeypatch.setenv("NAS_DEBUG", "1")
    with pytest.raises(NasError, match="unknown search space"):
        program("search", "--space", "dart")
