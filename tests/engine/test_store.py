"""The store keeps what it was given, and says in one line what is wrong with a file."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from nas.core.architecture import Architecture, Candidate
from nas.core.errors import StoreError
from nas.core.work import Call, Evaluate, Spent
from nas.engine import schema
from nas.engine.records import Checkpoint, Paid
from nas.engine.store import MEMORY, Store


def evaluate(number: int, **more: object) -> Evaluate:
    return Evaluate(Candidate(Architecture("s", {"a": number})), 3.0, **more)  # type: ignore[arg-type]


def paid(work: Evaluate, **more: object) -> Paid:
    values = {"figures": {"error": 0.25}, "spent": Spent(3.0, 1, 0.5, 7.0), **more}
    return Paid(key=work.key, work=work, phase="search", **values)  # type: ignore[arg-type]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "store.sqlite"


@pytest.fixture
def store(path: Path) -> Iterator[Store]:
    store = Store(path, create=True)
    yield store
    store.close()


def test_an_outcome_comes_back_as_it_was(store: Store, path: Path) -> None:
    work = evaluate(1, seed=4, tags={"arm": "x"})
    given = paid(work, curve={"error": [0.5, float("inf")]}, elapsed=2.5)
    store.record("search", 0, work, given)
    store.close()
    again = Store(path)
    found = again.find(work.key)
    assert found == given
    assert found is not None
    assert found.work == work
    assert again.place("search", 0) is not None
    assert again.place("search", 1) is None
    assert again.spent() == Spent(3.0, 1, 0.5, 7.0)
    assert again.counts() == {"ok": 1, "failed": 0, "calls": 0}
    assert again.elapsed() == 2.5
    again.close()


def test_history_follows_completion_and_shows_other_tags_at_no_cost(store: Store) -> None:
    first, second = evaluate(1), evaluate(2)
    store.record("search", 1, second, paid(second))
    store.record("search", 0, first, paid(first))
    store.record("search", 2, first, paid(first), new=False)
    tagged = evaluate(1, tags={"arm": "random"})
    store.record("finale", 0, tagged, paid(first), new=False)
    entries = list(store.history())
    assert [entry.candidate.architecture.choices["a"] for entry in entries] == [2, 1, 1]
    assert [entry.tags for entry in entries] == [{}, {}, {"arm": "random"}]
    assert [entry.spent.evaluations for entry in entries] == [1, 1, 0]
    assert [entry.phase for entry in entries] == ["search", "search", "finale"]


def test_what_an_abandoned_line_paid_for_is_still_there(store: Store) -> None:
    works = [evaluate(number) for number in range(4)]
    for sequence, work in enumerate(works):
        store.record("search", sequence, work, paid(work))
    assert store.cut("search", 2) == 2
    assert store.place("search", 2) is None
    assert store.find(works[3].key) is not None
    assert len(list(store.history())) == 4


def test_failed_evaluations_can_be_forgotten(store: Store) -> None:
    good, bad = evaluate(1), evaluate(2)
    store.record("search", 0, good, paid(good))
    store.record("search", 1, bad, paid(bad, status="failed", error="NaN"))
    assert store.forget_failed() == 1
    assert store.find(bad.key) is None
    assert store.place("search", 1) is None
    assert store.counts()["ok"] == 1


def test_a_session_checkpoint_is_committed_with_its_call(store: Store) -> None:
    call = Call("net", "train", epochs=1)
    done = Paid(key="k1", work=call, before="start", changed=True, value=[1, {"a": None}])
    checkpoint = Checkpoint("net", "k1", "net-1.session", 12, 99)
    store.record("search", 0, call, done, checkpoint=checkpoint)
    assert store.checkpoint("net") == checkpoint
    assert store.checkpoints() == [checkpoint]
    assert store.checkpoint("other") is None
    second = Paid(key="k2", work=call, before="k1", changed=True)
    store.record("search", 1, call, second)
    assert [key for key, _ in store.calls_up_to("k2", "start")] == ["k1", "k2"]
    with pytest.raises(StoreError, match="lacks the call"):
        store.calls_up_to("unknown", "start")


def test_values_events_and_meta(store: Store) -> None:
    assert store.remembered("search", "fit") == (False, None)
    assert store.remember("search", "fit", (1, 2.5)) == [1, 2.5]
    assert store.remembered("search", "fit") == (True, [1, 2.5])
    assert store.remembered("finale", "fit") == (False, None)
    assert store.announce("search", 0, "decision", {"edge": 1})
    assert store.announce("search", 1, "decision", {"edge": 2})
    assert not store.announce("search", 0, "decision", {"edge": 1})
    assert store.announce("search", 1, "decision", {"edge": 3})
    assert [payload for _, _, payload in store.events()] == [{"edge": 1}, {"edge": 3}]
    store.write("x", {"y": 1})
    assert store.read("x") == {"y": 1}
    store.write("x", None)
    assert store.read("x", "default") == "default"


def test_a_transaction_is_all_or_nothing(store: Store) -> None:
    work = evaluate(1)
    store.record("search", 0, work, paid(work))
    other = evaluate(2)
    with pytest.raises(StoreError):
        store.record("search", 0, other, paid(other))  # the place is taken
    assert store.find(other.key) is None


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is not a run's store"),
        (b"this is no database" * 100, "is not a run's store"),
        (b"SQLite format 3\x00" + b"\xff" * 2000, "store.sqlite"),
    ],
)
def test_foreign_files_are_refused(path: Path, content: bytes, message: str) -> None:
    path.write_bytes(content)
    with pytest.raises(StoreError, match=message) as caught:
        Store(path)
    assert "\n" not in str(caught.value)


def test_another_programs_database_is_refused(path: Path) -> None:
    other = sqlite3.connect(path)
    other.execute("CREATE TABLE t (x)")
    other.close()
    with pytest.raises(StoreError, match="is not a run's store"):
        Store(path)


def test_a_newer_store_is_refused(store: Store, path: Path) -> None:
    store.close()
    other = sqlite3.connect(path)
    other.execute(f"PRAGMA user_version = {schema.VERSION + 1}")
    other.close()
    with pytest.raises(StoreError, match="update nas"):
        Store(path)


def test_corruption_is_noticed_when_the_store_is_opened(store: Store, path: Path) -> None:
    for number in range(300):
        work = evaluate(number)
        store.record("search", number, work, paid(work))
    store.close()
    content = bytearray(path.read_bytes())
    for offset in range(4096, len(content), 4096):
        content[offset : offset + 64] = b"\xa5" * 64
    path.write_bytes(bytes(content))
    with pytest.raises(StoreError, match="corrupt"):
        Store(path)
    path.write_bytes(bytes(content[: len(content) // 2 + 100]))
    with pytest.raises(StoreError):
        Store(path)


def test_missing_and_present_files(tmp_path: Path, store: Store, path: Path) -> None:
    with pytest.raises(StoreError, match="does not exist"):
        Store(tmp_path / "none.sqlite")
    with pytest.raises(StoreError, match="is there already"):
        Store(path, create=True)
    with pytest.raises(StoreError, match="cannot be opened"):
        Store(tmp_path / "no" / "folder.sqlite", create=True)


def test_a_full_disk_is_one_line_and_loses_nothing(store: Store, path: Path) -> None:
    pages = store._db.execute("PRAGMA page_count").fetchone()[0]
    store._db.execute(f"PRAGMA max_page_count = {pages + 3}")
    kept: list[int] = []

    def fill() -> None:
        for number in range(10_000):
            work = evaluate(number)
            store.record("search", number, work, paid(work))
            kept.append(number)

    with pytest.raises(StoreError, match="no space left"):
        fill()
    store.close()
    again = Store(path)
    assert len(list(again.history())) == len(kept) > 0
    again.close()


def test_reading_while_another_connection_writes(store: Store, path: Path) -> None:
    work = evaluate(1)
    reader = Store(path, readonly=True)
    store.record("search", 0, work, paid(work))
    assert reader.find(work.key) is not None
    with pytest.raises(StoreError, match="read-only"):
        reader.write("x", 1)
    reader.close()


def test_a_settled_file_is_whole_and_closing_leaves_it_alone(
    store: Store, path: Path, tmp_path: Path
) -> None:
    for number in range(20):
        work = evaluate(number)
        store.record("search", number, work, paid(work))
    reader = Store(path, readonly=True)  # whoever reads is no reason to wait
    store.settle()
    alone = tmp_path / "alone.sqlite"
    alone.write_bytes(path.read_bytes())
    copy = Store(alone)
    assert len(list(copy.history())) == 20
    copy.close()
    before = (path.stat().st_size, path.stat().st_mtime_ns)
    reader.close()
    store.close()
    assert (path.stat().st_size, path.stat().st_mtime_ns) == before


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to become somebody without rights")
def test_a_folder_without_write_permission() -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        store = Store(folder / "store.sqlite", create=True)
        store.write("x", 1)
        store.close()
        folder.chmod(0o755)
        script = (
            "import os, sys; from pathlib import Path; from nas.core.errors import StoreError\n"
            "from nas.engine.store import Store\n"
            "os.setuid(65534)\n"
            "p = Path(sys.argv[1]); print(Store(p, readonly=True).read('x'))\n"
            "for kw in ({'create': True}, {}):\n"
            "    try: Store(p.with_name('new.sqlite') if kw else p, **kw).write('x', 2)\n"
            "    except StoreError as e: print(e)\n"
        )
        root = str(Path(__file__).resolve().parents[2])
        done = subprocess.run(
            [sys.executable, "-c", script, str(folder / "store.sqlite")],
            capture_output=True,
            text=True,
            env={**os.environ, "PYTHONPATH": root},
            timeout=60,
        )
        lines = done.stdout.splitlines()
        assert lines[0] == "1", done.stderr
        assert "cannot be opened" in lines[1]
        assert "read-only" in lines[2]


def test_cost_does_not_grow_with_history() -> None:
    store = Store(MEMORY)

    def cost(start: int, count: int = 300) -> float:
        begun = time.process_time()
        for number in range(start, start + count):
            work = evaluate(number)
            store.record("search", number, work, paid(work))
            store.find(work.key)
        return time.process_time() - begun

    cost(0)
    early = min(cost(1000 * k) for k in range(1, 4))
    for number in range(10_000, 20_000):
        work = evaluate(number)
        store.record("search", number, work, paid(work))
    late = min(cost(30_000 + 1000 * k) for k in range(1, 4))
    assert late < 3 * early
    store.close()
