"""The live panel: a `Watch` drawn on a terminal, over and over."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from rich.console import Console, ConsoleOptions, Group, RenderableType, RenderResult
from rich.live import Live
from rich.panel import Panel
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from nas.cli import words
from nas.cli.watching import Watch
from nas.engine.events import Event

REFRESHES: Final = 4  # a second
SHADES: Final = " .:-=+*#%@"


class LivePanel:
    """A listener that shows a panel on a terminal while it is entered.

    Args:
        console: On stderr.
    """

    def __init__(self, console: Console) -> None:
        self.watch = Watch()
        self._live = Live(
            self,
            console=console,
            refresh_per_second=REFRESHES,
            transient=True,
            redirect_stdout=False,
        )

    def __enter__(self) -> LivePanel:
        self._live.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._live.stop()

    def __call__(self, event: Event) -> None:
        """Take note of an event."""
        self.watch.take(event.to_dict())

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Draw what is known now."""
        yield draw(self.watch)


def draw(watch: Watch) -> Panel:
    """The panel of a run."""
    config = watch.config
    title = f"{config.get('strategy', 'search')} on {config.get('space', '?')}"
    subtitle = "stopping, Ctrl-C again to stop at once" if watch.stopping else watch.run
    return Panel(
        Group(*_rows(watch)), title=Text(title), subtitle=Text(subtitle), title_align="left"
    )


def _rows(watch: Watch) -> Iterator[RenderableType]:
    config = watch.config
    grid = Table.grid(padding=(0, 2))
    grid.add_column(style="dim", no_wrap=True)
    grid.add_column(overflow="ellipsis")
    rows = {
        "data": f"{config.get('data', '?')}  ({config.get('device', 'auto')})",
        "now": watch.now if watch.step is None else f"{watch.now}, epoch {watch.step:g}",
        "figures": _scalars(watch.scalars),
        "best": _best(watch),
        "front": _front(watch),
        "alphas": _alphas(watch),
        "alarm": watch.alarm,
        "decided": _decided(watch),
        "spent": f"{words.cost(watch.spent)}  (running for {words.duration(watch.elapsed)})",
        "notice": watch.notices[-1] if watch.notices else "",
    }
    for name, text in rows.items():
        if text:
            style = "bold yellow" if name in {"alarm", "notice"} else ""
            grid.add_row(name, Text(text, style=style))
    yield _progress(watch)
    yield grid


def _progress(watch: Watch) -> RenderableType:
    share = watch.share
    row = Table.grid(padding=(0, 2))
    name = Text(watch.phase or "starting", style="bold")
    if share is None:
        row.add_row(name)
        return row
    left = watch.seconds_left
    eta = "" if left is None else f"about {words.duration(left)} left"
    row.add_row(
        name,
        ProgressBar(total=1.0, completed=share, width=40),
        Text(f"{100 * share:.0f} %"),
        Text(eta, style="dim"),
    )
    return row


def _scalars(scalars: Mapping[str, float]) -> str:
    parts = []
    for name, value in scalars.items():
        shown = words.percent(value) if name.endswith("error") else words.figure(name, value)
        parts.append(f"{name.replace('_', ' ')} {shown}")
    return ", ".join(parts)


def _best(watch: Watch) -> str:
    if watch.best is None:
        return ""
    figures, name = watch.best
    return f"{words.figures(figures, watch.shown(figures))}  [{name[:8]}]"


def _front(watch: Watch) -> str:
    if watch.front is None or not watch.done:
        return ""
    failed = watch.done.get("failed", 0)
    also = f", {failed} failed" if failed else ""
    size, total = len(watch.front), sum(watch.done.values())
    return f"{words.number(size, 'network')} of {total} tried{also}"


def _decided(watch: Watch) -> str:
    if not watch.decisions:
        return ""
    return f"{watch.decided}: " + "; ".join(list(watch.decisions)[-2:])


def _alphas(watch: Watch) -> str:
    """How settled each kind of cell is, and its strongest weights as shades."""
    parts = []
    for group, rows in watch.mixture.items():
        live = [row for row in rows if isinstance(row, Sequence) and sum(row) > 0]
        if not live:
            continue
        tops = "".join(_shade(max(row), len(row)) for row in live)
        parts.append(f"{group} [{tops}] {settled(live):.0%} settled")
    return "  ".join(parts)


def _shade(weight: float, options: int) -> str:
    """From ` ` for an even mixture to `@` for a single operation."""
    even = 1 / options
    height = (weight - even) / (1 - even) if options > 1 else 1.0
    return SHADES[max(0, min(len(SHADES) - 1, round(height * (len(SHADES) - 1))))]


def settled(rows: Sequence[Sequence[Any]]) -> float:
    """One minus the mean entropy, as a share of the largest: 0 for even rows, 1 for decided."""
    shares = []
    for row in rows:
        if len(row) > 1:
            entropy = -sum(p * math.log(p) for p in row if p > 0)
            shares.append(entropy / math.log(len(row)))
    return 1 - sum(shares) / len(shares) if shares else 1.0
