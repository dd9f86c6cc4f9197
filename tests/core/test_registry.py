"""Plug-ins: loaded late, found by entry points, wrong ones named in one line."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from nas.core.errors import DataError, PluginError
from nas.core.registry import Registry, close_matches, load_plugin


@pytest.fixture
def table() -> Registry[Any]:
    made: Registry[Any] = Registry("strategy", "nas.test_group")
    made.add("random", "nas_lazy_module:Random", "draws")
    made.add("sqrt", "math:sqrt", "a function")
    return made


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder on the import path; modules imported from it are forgotten afterwards."""
    monkeypatch.syspath_prepend(str(tmp_path))
    before = set(sys.modules)
    yield tmp_path
    for name in set(sys.modules) - before:
        if (getattr(sys.modules[name], "__file__", None) or "").startswith(str(tmp_path)):
            del sys.modules[name]


def distribution(folder: Path, entries: str, name: str = "nas_fake") -> None:
    info = folder / f"{name}-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(f"[nas.test_group]\n{entries}\n")


def test_members_are_imported_when_asked_for(table: Registry[Any], folder: Path) -> None:
    (folder / "nas_lazy_module.py").write_text("class Random:\n    class Inner:\n        pass\n")
    table.add("inner", "nas_lazy_module:Random.Inner", "a part")
    assert table.names() == ["random", "sqrt", "inner"]
    assert table.summary("random") == "draws"
    assert "random" in table
    assert "nas_lazy_module" not in sys.modules
    random = table.get("random")
    assert random.__name__ == "Random"
    assert table.get("random") is random
    assert table.get("inner") is random.Inner
    assert table.summary("random") == "draws"


def test_the_decorator_registers_what_it_returns(table: Registry[Any]) -> None:
    @table.register("mine")
    class Mine:
        """What it does.

        And more.
        """

    @table.register("other", "in short")
    class Other:
        pass

    assert table.get("mine") is Mine
    assert (table.summary("mine"), table.summary("other")) == ("What it does.", "in short")


def test_a_name_stands_for_one_member(table: Registry[Any]) -> None:
    with pytest.raises(PluginError, match="strategy 'random' is registered twice"):
        table.add("random", object(), "")
    with pytest.raises(PluginError, match="registered twice"):
        table.register("sqrt")(object())


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("randm", "did you mean random?"),
        ("RANDOM", "did you mean random?"),
        ("zzz", "known: random, sqrt"),
        ("", "known: random, sqrt"),
        (None, "known: random, sqrt"),
        ("x" * 100_000, "known: random, sqrt"),
    ],
)
def test_an_unknown_name_is_answered_with_close_ones(
    table: Registry[Any], name: Any, hint: str
) -> None:
    for use in (table.get, table.summary):
        with pytest.raises(PluginError) as got:
            use(name)
        assert str(got.value).startswith("unknown strategy")
        assert str(got.value).endswith(hint)


def test_close_matches_keep_the_spelling() -> None:
    assert close_matches("darts_v3", ["DARTS_V1", "PDARTS"]).startswith("did you mean DARTS_V1")
    assert close_matches("x", []) == "none is registered"


@pytest.mark.parametrize(
    ("text", "target", "reason"),
    [
        (None, "nas_no_such_module:X", "No module named"),
        ("", "nas_broken:X", "no attribute 'X'"),
        ("", "nas_broken", "no attribute ''"),
        ("1 +", "nas_broken:X", "SyntaxError"),
        ("raise RuntimeError('driver')", "nas_broken:X", "RuntimeError: driver"),
        ("import nas_missing_extra", "nas_broken:X", "nas_missing_extra"),
    ],
)
def test_a_broken_member_breaks_only_itself(
    table: Registry[Any], folder: Path, text: str | None, target: str, reason: str
) -> None:
    if text is not None:
        (folder / "nas_broken.py").write_text(text)
    table.add("broken", target, "")
    with pytest.raises(PluginError, match="strategy 'broken' cannot be loaded from") as got:
        table.get("broken")
    assert reason in str(got.value)
    assert table.get("sqrt")(4) == 2
    assert "broken" in table.names()


def test_what_a_member_says_itself_is_passed_on(table: Registry[Any], folder: Path) -> None:
    (folder / "nas_broken.py").write_text(
        "from nas.core.errors import DataError\nraise DataError('no table', 'fetch it')"
    )
    table.add("broken", "nas_broken:X", "")
    with pytest.raises(DataError, match="no table; fetch it"):
        table.get("broken")


def test_other_packages_join_by_entry_points(table: Registry[Any], folder: Path) -> None:
    (folder / "nas_fake_package.py").write_text("class Theirs:\n    pass\n")
    distribution(folder, "theirs = nas_fake_package:Theirs\nlost = nas_fake_lost:X\n")
    assert table.names() == ["random", "sqrt", "theirs", "lost"]
    assert table.summary("theirs") == "from nas_fake_package:Theirs"
    assert "nas_fake_package" not in sys.modules
    assert table.get("theirs").__name__ == "Theirs"
    with pytest.raises(PluginError, match="'lost' cannot be loaded from nas_fake_lost:X"):
        table.get("lost")
    with pytest.raises(PluginError, match="registered twice"):
        table.add("theirs", object(), "")


def test_an_entry_point_cannot_replace_a_member(table: Registry[Any], folder: Path) -> None:
    distribution(folder, "random = somewhere:Else\nfine = math:cos\n")
    for _ in range(2):  # not only the first time
        with pytest.raises(PluginError, match="'random' of somewhere:Else is registered twice"):
            table.names()


def test_two_packages_cannot_share_a_name(table: Registry[Any], folder: Path) -> None:
    distribution(folder, "same = math:cos")
    distribution(folder, "same = math:sin", "nas_fake2")
    with pytest.raises(PluginError, match=r"'same' of math:.* is registered twice"):
        table.names()


def test_a_plugin_file_registers_its_members_once(table: Registry[Any], folder: Path) -> None:
    host = folder / "nas_host.py"
    host.write_text("TABLE = None\n")
    import nas_host

    nas_host.TABLE = table
    plugin = folder / "my plugin.py"
    plugin.write_text(
        "from __future__ import annotations\n"
        "from dataclasses import dataclass\n"
        "from nas_host import TABLE\n"
        "@TABLE.register('user')\n"
        "@dataclass\n"
        "class User:\n"
        "    'A user wrote it.'\n"
        "    size: int = 1\n"
    )
    for path in (plugin, folder / "." / "my plugin.py", folder / "x" / ".." / "my plugin.py"):
        (folder / "x").mkdir(exist_ok=True)
        load_plugin(path)
    assert table.summary("user") == "A user wrote it."
    assert table.get("user")().size == 1

    other = folder / "x" / "my plugin.py"  # the same name elsewhere is another plug-in
    other.write_text("from nas_host import TABLE\nTABLE.add('user2', 3, '')\n")
    load_plugin(other)
    assert table.get("user2") == 3


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("1 +", "SyntaxError"),
        ("raise ValueError('two\\nlines')", "ValueError: two lines; mend the file"),
        ("import nas_no_such_module", "ModuleNotFoundError"),
        ("import sys; sys.exit(3)", "SystemExit: 3"),
        ("def f(): f()\nf()", "RecursionError"),
        ("\0", "null bytes"),
        ("raise KeyError", "KeyError"),
    ],
)
def test_a_failing_plugin_is_one_line(folder: Path, text: str, reason: str) -> None:
    path = folder / "nas_failing.py"
    path.write_text(text)
    before = set(sys.modules)
    for _ in range(2):
        with pytest.raises(PluginError) as got:
            load_plugin(path)
        assert reason in str(got.value)
        assert str(got.value).isprintable()
    assert set(sys.modules) - before <= {"nas_failing"}


def test_a_plugins_own_error_about_plugins_is_passed_on(folder: Path) -> None:
    path = folder / "nas_failing.py"
    path.write_text("from nas.core.errors import PluginError\nraise PluginError('taken', 'rename')")
    with pytest.raises(PluginError, match=r"^taken; rename$"):
        load_plugin(path)


@pytest.mark.parametrize("name", ["missing.py", "folder.py", "text.txt", "bytes.py"])
def test_what_is_no_python_file_is_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / "folder.py").mkdir()
    (tmp_path / "text.txt").write_text("x = 1")
    (tmp_path / "bytes.py").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(PluginError) as got:
        load_plugin(tmp_path / name)
    assert name in str(got.value)
