"""Settings: strict kinds, close matches, files, `key=value` texts, all mistakes in one line."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import Field, ValidationError

from nas.core.config import (
    MAX_FILE_BYTES,
    FinalSettings,
    RunConfig,
    Settings,
    build_settings,
    merge,
    parse_assignments,
    preset,
    read_text,
    read_yaml,
)
from nas.core.errors import ConfigError

from .test_yaml_text import values

RUN = {"space": "darts", "strategy": "random"}


class Inner(Settings):
    rate: float = Field(0.1, gt=0, le=1)
    depth: int = 2


class Outer(Settings):
    whole: int = 1
    number: float = 1.0
    flag: bool = False
    text: str = ""
    mode: Literal["paper", "paired"] = "paper"
    pair: tuple[float, float] = (0.0, 1.0)
    names: tuple[str, ...] = ()
    maybe: int | None = Field(None, ge=1)
    path: Path = Path()
    inner: Inner = Field(default_factory=Inner)
    many: tuple[Inner, ...] = ()
    perhaps: Inner | None = None
    table: dict[str, Annotated[int, Field(ge=0)] | bool] = Field(default_factory=dict)


@pytest.mark.parametrize(
    ("key", "value", "kept"),
    [
        ("whole", 3, 3),
        ("number", 3, 3.0),
        ("number", 3e-4, 3e-4),
        ("flag", True, True),
        ("pair", [1, 2], (1.0, 2.0)),
        ("pair", (1, 2), (1.0, 2.0)),
        ("names", ["a"], ("a",)),
        ("maybe", None, None),
        ("path", "a/b", Path("a/b")),
        ("path", Path("a"), Path("a")),
        ("inner", {"rate": 1}, Inner(rate=1.0)),
        ("inner", Inner(depth=3), Inner(depth=3)),
        ("many", [{"depth": 1}], (Inner(depth=1),)),
        ("perhaps", {"depth": 1}, Inner(depth=1)),
        ("table", {"a": 1, "b": True}, {"a": 1, "b": True}),
    ],
)
def test_values_of_the_right_kind(key: str, value: Any, kept: Any) -> None:
    settings = build_settings(Outer, {key: value})
    assert getattr(settings, key) == kept
    assert type(getattr(settings, key)) is type(kept)
    assert build_settings(Outer, settings.model_dump(mode="json")) == settings
    assert Outer(**settings.model_dump(mode="json")) == settings


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"whole": True}, "setting 'whole' is True; expected a valid integer"),
        ({"whole": "3"}, "setting 'whole' is '3'; expected a valid integer"),
        ({"whole": 3.0}, "setting 'whole' is 3.0; expected a valid integer"),
        ({"whole": None}, "setting 'whole' is None"),
        ({"number": True}, "setting 'number' is True; expected a valid number"),
        ({"number": "0.1"}, "setting 'number' is '0.1'"),
        ({"number": float("nan")}, "setting 'number' is nan; expected a finite number"),
        ({"number": 10**400}, "setting 'number' is 1000"),
        ({"number": 16**6000}, "setting 'number' is of type int"),
        ({"flag": 1}, "setting 'flag' is 1; expected a valid boolean"),
        ({"flag": "yes"}, "setting 'flag' is 'yes'"),
        ({"text": 3}, "setting 'text' is 3; expected a valid string"),
        ({"mode": "papper"}, "setting 'mode' is 'papper'; expected 'paper' or 'paired'"),
        ({"pair": [1]}, "setting 'pair.1' is missing"),
        ({"pair": [1, 2, 3]}, "setting 'pair' is [1, 2, 3]; expected"),
        ({"pair": "12"}, "setting 'pair' is '12'; expected a valid tuple"),
        ({"names": "abc"}, "setting 'names' is 'abc'; expected a valid tuple"),
        ({"names": ["a", 1]}, "setting 'names.1' is 1"),
        ({"maybe": 0}, "setting 'maybe' is 0; expected greater than or equal to 1"),
        ({"inner": {"rate": 2}}, "setting 'inner.rate' is 2; expected less than or equal to 1"),
        ({"inner": 3}, "setting 'inner' is 3"),
        ({"inner": {"rat": 1}}, "unknown setting 'inner.rat'; did you mean rate?"),
        ({"many": [{}, {"dept": 1}]}, "unknown setting 'many.1.dept'; did you mean depth?"),
        ({"perhaps": {"dept": 1}}, "unknown setting 'perhaps.dept'; did you mean depth?"),
        ({"nmber": 1}, "unknown setting 'nmber'; did you mean number or"),
        ({"x" * 9999: 1}, "unknown setting 'xxx"),
        ({"zzz": 1}, "unknown setting 'zzz'; known: flag, inner, many,"),
        ({1: 2}, "setting '1' is 1; expected"),
        ([1], "settings are [1]; expected names with values"),
        (None, "settings are None"),
    ],
    ids=range(30),
)
def test_mistakes_are_named_in_one_line(values: Any, message: str) -> None:
    with pytest.raises(ConfigError) as got:
        build_settings(Outer, values)
    assert str(got.value).startswith(message)
    assert str(got.value).isprintable()
    assert len(str(got.value)) < 1300


@given(values)
def test_any_data_gives_settings_or_an_error(value: Any) -> None:
    lines = []
    for key in (*Outer.model_fields, *RunConfig.model_fields):
        model = Outer if key in Outer.model_fields else RunConfig
        try:
            build_settings(model, {key: value} if model is Outer else {**RUN, key: value})
        except ConfigError as error:
            lines.append(str(error))
    assert all(map(str.isprintable, lines))


def test_settings_cannot_be_changed() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        Outer().whole = 2  # type: ignore[misc]
    assert hash(Outer(names=("a",)).inner) == hash(Inner())
    RunConfig(**RUN).final.recipe["epochs"] = 1
    assert RunConfig(**RUN).final.recipe == {}


def test_every_setting_has_a_json_schema() -> None:
    properties = RunConfig.model_json_schema()["properties"]
    assert properties["objectives"]["type"] == "array"
    assert properties["seed"]["minimum"] == 0


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("space", None, "setting 'space' is None"),
        ("data", "images:\udcff", "setting 'data' is 'images:\\udcff'; expected"),
        ("seed", -1, "setting 'seed' is -1; expected greater than or equal to 0"),
        ("seed", 2**63, "setting 'seed' is 9223372036854775808; expected less than"),
        ("workers", 0, "setting 'workers' is 0"),
        ("device", "gpu", "setting 'device' is 'gpu'; expected match pattern"),
        ("device", "cuda:-1", "setting 'device' is 'cuda:-1'"),
        ("preset", "fast", "setting 'preset' is 'fast'; expected 'quick', 'default' or 'paper'"),
        ("objectives", [], "no objective"),
        ("objectives", ["error:best"], "objective 'error:best'"),
        ("objectives", ["error", "error:max"], "a metric stands twice"),
        ("objectives", "error", "setting 'objectives' is 'error'"),
        ("final", {"seed": 1}, "unknown setting 'final.seed'; did you mean seeds?"),
        ("final", {"scales": [{"layers": "8"}]}, "setting 'final.scales.0.layers."),
        ("settings", {"a": float("nan")}, "setting 'settings' is {'a': nan}; expected JSON data"),
        ("settings", {"a": object}, "setting 'settings' is {'a': <class 'object'>}; expected JSON"),
        ("network", {1: 2}, "setting 'network.1."),
    ],
)
def test_run_configurations_are_checked(key: str, value: Any, message: str) -> None:
    with pytest.raises(ConfigError) as got:
        build_settings(RunConfig, {**RUN, key: value})
    assert str(got.value).startswith(message)


def test_a_run_configuration_survives_its_file(tmp_path: Path) -> None:
    config = build_settings(
        RunConfig,
        {
            **RUN,
            "objectives": ("error", "params:min<=2345678"),
            "settings": {"rate": 3e-4, "name": "no", "edges": ("a", ["1e5"]), "size": np.int64(3)},
            "recipe": {"seed": None, "note": "é\n: #"},
            "final": {"scales": [{"channels": 8, "wide": True}, {"drop": 0.5}]},
            "budget": "6h",
            "seed": 2**63 - 1,
            "device": "cuda:1",
        },
    )
    assert config.objectives == ("error:min", "params:min<=2345678")
    assert config.settings["edges"] == ["a", ["1e5"]]
    path = tmp_path / "config.yaml"
    path.write_text(config.to_yaml(), encoding="utf-8")
    assert build_settings(RunConfig, read_yaml(path)) == config
    assert RunConfig(**config.model_dump(mode="json")) == config
    assert FinalSettings.model_validate(config.final.model_dump()) == config.final


@pytest.mark.parametrize(
    ("texts", "expected"),
    [
        ((), {}),
        (("a=1",), {"a": 1}),
        ((" a . b = 3e-4 ",), {"a": {"b": 3e-4}}),
        (("a=1E5", "b=-.5", "c=1_000"), {"a": 1e5, "b": -0.5, "c": 1000}),
        (("a=true", "b=null", "c=", "d=no"), {"a": True, "b": None, "c": "", "d": "no"}),
        (("a=[1, 2.5, x]", "b={c: 1}"), {"a": [1, 2.5, "x"], "b": {"c": 1}}),
        (("a='1'", 'b="x y"'), {"a": "1", "b": "x y"}),
        (("a=b=c", "d==="), {"a": "b=c", "d": "=="}),
        (("a=x: y", "b=#1", "c=*x", "d=@y", "e=!!int 3"),
         {"a": "x: y", "b": "#1", "c": "*x", "d": "@y", "e": "!!int 3"}),
        (("a.b=1", "a.c=2", "a.b=3"), {"a": {"b": 3, "c": 2}}),
        (("a={b: 1}", "a.c=2"), {"a": {"b": 1, "c": 2}}),
        (("data=images:/a/b",), {"data": "images:/a/b"}),
    ],
)  # fmt: skip
def test_assignments(texts: tuple[str, ...], expected: dict[str, Any]) -> None:
    found = parse_assignments(texts)
    assert found == expected
    assert repr(found) == repr(expected)


@pytest.mark.parametrize(
    "texts",
    [
        ("a",), ("=1",), ("a..b=1",), (".a=1",), ("a.=1",), ("",), (" =1",),
        ("a=[1",), ("a={b",), ("a='x",), ("a=[*x]",), ("a={1: 2}",), ("a=1e999",),
        ("a." * 17 + "a=1",), ("a=" + "9" * 5000,), ("a=" + "[" * 5000,),
        ("a=1", "a.b=2"), ("a.b=2", "a=1"), ("a=[1]", "a.b=1"),
    ],
    ids=range(19),
)  # fmt: skip
def test_other_assignments_are_refused(texts: tuple[str, ...]) -> None:
    with pytest.raises(ConfigError, match=r"^--set ") as got:
        parse_assignments(texts)
    assert str(got.value).isprintable()


@given(st.text(max_size=20))
def test_any_assignment_is_read_or_refused(text: str) -> None:
    with contextlib.suppress(ConfigError):
        parse_assignments([text, f"a={text}"])


def test_merging_goes_key_by_key() -> None:
    base = {"a": {"b": 1, "c": {"d": 2}}, "e": [1], "f": {"g": 1}}
    over = {"a": {"c": {"d": 3, "x": 4}}, "e": [2], "f": 5}
    assert merge(base, over) == {"a": {"b": 1, "c": {"d": 3, "x": 4}}, "e": [2], "f": 5}
    assert base == {"a": {"b": 1, "c": {"d": 2}}, "e": [1], "f": {"g": 1}}
    assert merge({}, over) == over
    assert merge(base, {}) == base


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "large").write_text("#" * (MAX_FILE_BYTES + 1))
    (tmp_path / "bytes").write_bytes(b"a: \xff\xfe")
    (tmp_path / "list").write_text("- 1")
    (tmp_path / "number").write_text("1")
    (tmp_path / "broken").write_text("a: [1\nb: 2")
    (tmp_path / "bomb").write_text("a: &a [x]\nb: &b [*a, *a]\nc: [*b, *b]\n")
    for name, message in {
        "missing": "does not exist; check the path",
        "folder": "is a folder; name a file",
        "large": "is larger than 100000 bytes",
        "bytes": "is not UTF-8 text",
        "list": "is no mapping; expected lines of KEY: VALUE",
        "number": "is no mapping",
        "broken": "(line 2)",
        "bomb": "aliases are not read: write the values out (line 2)",
        "\0": "cannot be read",
        "x" * 1000: "check the path",
        "number/below": "cannot be read",
    }.items():
        with pytest.raises(ConfigError) as got:
            read_yaml(tmp_path / name)
        assert message in str(got.value)
        assert str(got.value).isprintable()


@pytest.mark.skipif(not os.path.exists("/dev/zero"), reason="no endless file on this system")
def test_an_endless_file_is_refused() -> None:
    with pytest.raises(ConfigError, match="is larger than"):
        read_text(Path("/dev/zero"), "file")


def test_files_that_can_be_read(tmp_path: Path) -> None:
    path = tmp_path / "a.yaml"
    for content in (b"", b"# nothing\n", b"\xef\xbb\xbf", b"---\n"):
        path.write_bytes(content)
        assert read_yaml(path) == {}
    path.write_bytes(b"\xef\xbb\xbfa:\r\n  b: 3e-4\r\n")
    assert read_yaml(path) == {"a": {"b": 3e-4}}
    assert preset("no-such-strategy", "quick") == {}
