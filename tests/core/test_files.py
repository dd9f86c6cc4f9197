"""A file that is replaced is the old one or the new one, never half of either."""

from __future__ import annotations

from pathlib import Path

import pytest

from nas.core.files import replacing


def test_a_new_file_takes_the_place_of_the_old_one(tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    for text in ("old", "new"):
        with replacing(path) as new:
            assert new.suffix == ".onnx"
            assert new.parent == tmp_path
            new.write_text(text)
        assert path.read_text() == text
    assert [file.name for file in tmp_path.iterdir()] == ["model.onnx"]


@pytest.mark.parametrize("error", [OSError("disk full"), ValueError("bug"), KeyboardInterrupt()])
def test_the_old_file_stays_when_writing_fails(tmp_path: Path, error: BaseException) -> None:
    path = tmp_path / "a"
    path.write_text("old")

    def fail() -> None:
        with replacing(path) as new:
            new.write_text("half")
            raise error

    with pytest.raises(type(error)):
        fail()
    assert path.read_text() == "old"
    assert [file.name for file in tmp_path.iterdir()] == ["a"]


def test_two_writers_of_one_file_do_not_meet(tmp_path: Path) -> None:
    path = tmp_path / "a"
    with replacing(path) as one, replacing(path) as other:
        assert one != other
        one.write_text("one")
        other.write_text("other")
    assert path.read_text() == "one"


def test_nothing_is_written_where_there_is_no_folder(tmp_path: Path) -> None:
    with pytest.raises(OSError, match=r"."), replacing(tmp_path / "none" / "a") as new:
        new.write_text("x")


def test_others_may_read_it_whatever_the_writer_does(tmp_path: Path) -> None:
    (tmp_path / "plain").write_text("x")
    with replacing(tmp_path / "a") as new:
        new.unlink()
        new.touch(0o600)
    assert (tmp_path / "a").stat().st_mode == (tmp_path / "plain").stat().st_mode
