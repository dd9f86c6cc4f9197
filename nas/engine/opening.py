"""How a run comes into being, is taken up again or looked at: its folder, lock and store."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from nas.core.architecture import Candidate
from nas.core.config import RunConfig, build_settings, read_yaml
from nas.core.errors import PluginError, StoreError
from nas.core.registry import load_plugin
from nas.engine import folder as files
from nas.engine.budget import Budget
from nas.engine.checkpoints import clean
from nas.engine.lock import RunLock
from nas.engine.record import write_record
from nas.engine.store import MEMORY, Store


@dataclass
class Opened:
    """What a run has in its hands, until it is let go of.

    Attributes:
        folder: The run's; None for a run in memory.
        config: The run's, with the budget as it is now.
        store: Open, until `close`.
        lock: Keeps others from writing to the folder; None in memory, for a run that is looked
            at, and once it is released.
        resumed: The run was begun before.
        found: What the run returned; None for everything that was evaluated.
        notices: What a person should know, not told yet.
    """

    folder: Path | None
    config: RunConfig
    store: Store
    lock: RunLock | None = None
    resumed: bool = False
    found: tuple[Candidate, ...] | None = None
    notices: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        if self.lock is not None and self.lock.notice:
            self.notices.append(self.lock.notice)

    def record(self, status: str, reason: str, result: Mapping[str, Any] | None = None) -> None:
        """Replace run.json, where there is a folder; see `write_record`.

        Raises:
            StoreError: It cannot be written.
        """
        if self.folder is not None:
            write_record(self.folder, self.config, self.store, status, reason, result)

    def release(self) -> None:
        """Let others write to the folder; the store stays open, its file whole."""
        if self.lock is not None:
            with contextlib.suppress(StoreError):  # a full disk, say: all is in the journal still
                self.store.settle()
        self._unlock()

    def _unlock(self) -> None:
        if self.lock is not None:
            self.lock.release()
            self.lock = None

    def discard(self) -> None:
        """Close a new run, and take it away if nothing was done in it: it never really began."""
        counts = self.store.counts()
        self.store.close()
        if self.folder is not None and not self.resumed and not any(counts.values()):
            files.disclaim(self.folder)
        self._unlock()

    def close(self) -> None:
        """Let go of store and folder."""
        self.store.close()
        self._unlock()


def create(folder: Path | None, config: RunConfig) -> Opened:
    """Begin a new run; see `Run.create`.

    Raises:
        StoreError, ConfigError: It cannot be begun.
    """
    Budget.parse(config.budget)
    if folder is None:
        return Opened(None, config, Store(MEMORY))
    files.claim(folder)
    lock = RunLock(folder)
    try:
        files.claim(folder)  # another process may have been quicker
        files.write_text(folder / files.CONFIG, config.to_yaml())
        (folder / files.CHECKPOINTS).mkdir()
        store = Store(folder / files.STORE, create=True)
        store.write("config", config.model_dump(mode="json"))
    except OSError as error:
        lock.release()
        raise files.unwritable(folder, error) from error
    except BaseException:
        lock.release()
        raise
    opened = Opened(folder, config, store, lock)
    opened.record("created", "")
    return opened


def resume(
    folder: Path, config: RunConfig | None, budget: str | None, retry_failed: bool
) -> Opened:
    """Take up a run; see `Run.resume`.

    Raises:
        StoreError, ConfigError: It cannot be taken up, or not so.
    """
    files.require(folder)
    own = read_config(folder)
    for file in own.plugins:
        load_plugin(Path(file))
    if config is not None:
        files.compare_configs(own.model_dump(mode="json"), config.model_dump(mode="json"))
        own = config.model_copy(update={"budget": own.budget})
    lock = RunLock(folder)
    try:
        store = Store(folder / files.STORE)
    except BaseException:
        lock.release()
        raise
    opened = Opened(folder, own, store, lock, resumed=True)
    try:
        begun = store.read("config")  # config.yaml may have been edited since
        if begun is not None:
            files.compare_configs(begun, own.model_dump(mode="json"))
        now = _budget(store, own.budget, budget)
        opened.config = own.model_copy(update={"budget": now})
        if retry_failed:
            count = store.forget_failed()
            opened.notices.append(f"{count} failed evaluations are tried again")
        (folder / files.CHECKPOINTS).mkdir(exist_ok=True)
        clean(folder / files.CHECKPOINTS, store.checkpoints())
    except BaseException:
        opened.close()
        raise
    return opened


def _budget(store: Store, begun: str | None, change: str | None) -> str | None:
    """The search's budget as it is now; a changed one opens the search again."""
    now: str | None = store.read("budget", begun)
    if change is None:
        return now
    now = str(Budget.parse(now).changed(change))
    store.write("budget", now)
    first, *later = store.read("phases", ["search"])
    store.write(f"closed:{first}", None)
    for phase in later:  # they follow another search now
        store.begin_anew(phase)
    return now


def look(folder: Path) -> Opened:
    """Read a run that may be running elsewhere; see `Run.look`.

    Raises:
        StoreError: It cannot be read.
    """
    files.require(folder)
    config = read_config(folder)
    # A plug-in may have moved; all of the run that is not the plug-in's own can be shown.
    with contextlib.suppress(PluginError):
        for file in config.plugins:
            load_plugin(Path(file))
    store = Store(folder / files.STORE, readonly=True)
    try:
        budget = store.read("budget", config.budget)
        found = store.read("found")
    except BaseException:
        store.close()
        raise
    return Opened(
        folder,
        config.model_copy(update={"budget": budget}),
        store,
        found=None if found is None else tuple(Candidate.from_dict(f) for f in found),
    )


def read_config(folder: Path) -> RunConfig:
    """The configuration that a run was begun with.

    Raises:
        ConfigError: Its `config.yaml` cannot be read.
    """
    return build_settings(RunConfig, read_yaml(folder / files.CONFIG), "config.yaml")
