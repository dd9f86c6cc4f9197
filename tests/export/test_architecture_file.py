from __future__ import annotations

import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from nas.core.architecture import Architecture
from nas.core.errors import ExportError, NasError
from nas.export import ExportRequest, export, read_architecture, write_architecture
from nas.export.architecture_file import LARGEST

Member = Callable[..., Architecture]


def refused(path: Path, space: str | None = None) -> NasError:
    with pytest.raises(NasError) as caught:
        read_architecture(path, space)
    assert caught.value.exit_code == 2
    assert "\n" not in str(caught.value)
    assert path.name in str(caught.value)
    return caught.value


def edited(path: Path, architecture: Architecture, **changes: Any) -> Path:
    path.write_text(json.dumps({**architecture.to_dict(), **changes}))
    return path


@pytest.mark.parametrize("space", ["darts", "darts-s1", "nasbench201"])
def test_round_trip(tmp_path: Path, member: Member, space: str) -> None:
    architecture = member(space)
    result = export("json", ExportRequest(architecture, tmp_path / "sub" / "architecture.json"))
    assert read_architecture(result.files[0]) == architecture
    assert read_architecture(result.files[0], space).id == architecture.id
    data = json.loads(result.files[0].read_text())
    assert set(data) == {"format", "space", "choices", "id"}
    assert [path.name for path in result.files[0].parent.iterdir()] == ["architecture.json"]


def test_each_defect_has_its_own_message(tmp_path: Path, member: Member) -> None:
    architecture = member("nasbench201")
    path = tmp_path / "a.json"
    edge = next(iter(architecture.choices))
    messages = [
        str(refused(tmp_path / "missing.json")),
        str(refused(edited(path, architecture, format=2))),
        str(refused(edited(path, architecture, space="nasbench202"))),
        str(refused(edited(path, architecture), "darts")),
        str(refused(edited(path, architecture, choices={**architecture.choices, edge: "conv"}))),
        str(refused(edited(path, architecture, id="0" * 16))),
    ]
    path.write_text(json.dumps(architecture.to_dict())[:-20])
    messages.append(str(refused(path)))
    path.write_bytes(b" " * (LARGEST + 1))
    messages.append(str(refused(path)))
    path.write_text('{"format": 1, "format": 1}')
    messages.append(str(refused(path)))
    path.write_text('{"format": NaN}')
    messages.append(str(refused(path)))
    path.write_text("[" * 100_000)
    messages.append(str(refused(path)))
    path.write_bytes(b"\xff\xfe\x00")
    messages.append(str(refused(path)))
    path.write_text('{"format": ' + "9" * 5000 + "}")
    messages.append(str(refused(path)))
    messages.append(str(refused(tmp_path)) if tmp_path.name else "")
    assert len(set(messages)) == len(messages)
    assert "nasbench201" in messages[2]  # the close name


json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.integers(10**30, 10**40)
    | st.floats(allow_nan=True)
    | st.text(max_size=8)
    | st.sampled_from(["skip_connect", "darts", "none"]),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=6), inner, max_size=4)
    ),
    max_leaves=12,
)


@settings(
    max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(data=st.data())
def test_hostile_files_are_refused_or_valid(
    tmp_path: Path, member: Member, data: st.DataObject
) -> None:
    """Whatever stands in a file: an architecture or a NasError."""
    architecture = member(data.draw(st.sampled_from(["darts", "nasbench201"])))
    whole = architecture.to_dict()
    kind = data.draw(st.sampled_from(["cut", "bytes", "value", "choice", "key", "any"]))
    text = json.dumps(whole)
    if kind == "cut":
        content = text[: data.draw(st.integers(0, len(text) - 1))].encode()
    elif kind == "bytes":
        raw = bytearray(text.encode())
        for _ in range(data.draw(st.integers(1, 5))):
            raw[data.draw(st.integers(0, len(raw) - 1))] = data.draw(st.integers(0, 255))
        content = bytes(raw)
    elif kind == "any":
        content = json.dumps(data.draw(json_values)).encode()
    else:
        where = whole["choices"] if kind == "choice" else whole
        key = data.draw(st.sampled_from(sorted(where)) if kind != "key" else st.text(max_size=9))
        where[key] = data.draw(json_values)
        content = json.dumps(whole).encode()
    path = tmp_path / "a.json"
    path.write_bytes(content)
    try:
        found = read_architecture(path)
    except NasError:
        assert len(str(refused(path))) < 1500
    else:
        assert found == read_architecture(path, found.space)


@pytest.mark.parametrize("count", [1000, pytest.param(10_000, marks=pytest.mark.slow)])
def test_mutated_files_never_escape(tmp_path: Path, member: Member, count: int) -> None:
    rng = random.Random(count)
    texts = [json.dumps(member(space).to_dict()) for space in ("darts", "nasbench201")]
    parts = ["null", "1e999", "-1", "[]", "{}", '""', "true", "NaN", '"a"', "[[[[", "}", ","]
    path = tmp_path / "a.json"
    for _ in range(count):
        text = rng.choice(texts)
        at, end = sorted(rng.randrange(len(text)) for _ in range(2))
        end = min(end, at + rng.randrange(40))
        path.write_text(text[:at] + rng.choice(parts) + text[end:])
        try:
            read_architecture(path)
        except NasError:
            continue


def test_a_folder_that_cannot_be_written_is_one_line(tmp_path: Path, member: Member) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("")
    with pytest.raises(ExportError, match="cannot write") as caught:
        write_architecture(blocked / "a.json", member("darts"))
    assert "\n" not in str(caught.value)


def test_a_failed_write_leaves_the_old_file(
    tmp_path: Path, member: Member, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a.json"
    write_architecture(path, member("darts"))
    before = path.read_bytes()

    def full(self: Path, content: bytes) -> int:
        with self.open("wb") as handle:
            handle.write(content[:10])
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(ExportError, match="No space left"):
        write_architecture(path, member("darts", 1))
    assert path.read_bytes() == before
    assert [item.name for item in tmp_path.iterdir()] == ["a.json"]


def test_no_member_no_file(tmp_path: Path) -> None:
    with pytest.raises(NasError):
        export("json", ExportRequest(Architecture("darts", {"a": "b"}), tmp_path / "a.json"))
    with pytest.raises(NasError, match="dartz"):
        export("json", ExportRequest(Architecture("dartz", {"a": "b"}), tmp_path / "a.json"))
    assert list(tmp_path.iterdir()) == []
