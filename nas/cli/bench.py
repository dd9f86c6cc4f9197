"""`nas bench`: strategies compared at equal cost."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from nas.cli.options import (
    Data,
    EvaluatorOption,
    Json,
    Objectives,
    Plugins,
    Quiet,
    Seed,
    Sets,
    SpaceArgument,
    given,
    option,
)
from nas.cli.streams import Streams

if TYPE_CHECKING:
    from nas.bench.account import Line, Truth
    from nas.bench.trace import Trace


def command(
    space: SpaceArgument = None,
    strategies: Annotated[
        str | None,
        option("A,B,...", "What to compare; the first one is what the others are compared with."),
    ] = None,
    arms: Annotated[Path | None, option("FILE", "A YAML file of arms with settings.")] = None,
    seeds: Annotated[int | None, option(None, "Searches of each [default: 10].", least=1)] = None,
    evaluator: EvaluatorOption = None,
    data: Data = None,
    objectives: Objectives = None,
    budget: Annotated[
        str | None, option("AMOUNT", "Of each search: 6000epochs, 150evaluations.")
    ] = None,
    sets: Sets = None,
    seed: Seed = None,
    workers: Annotated[
        int, typer.Option(help="Searches at a time, each in a process of its own.", min=1)
    ] = 1,
    out: Annotated[Path | None, option("FOLDER", "Where to [default: bench/SPACE].")] = None,
    plugins: Plugins = None,
    quiet: Quiet = False,
    json: Json = False,
) -> None:
    """Compare strategies at equal cost: means, intervals, paired tests, curves.

    The same command goes on where it was stopped, and does only what is new when arms or seeds
    were added.
    """
    streams = Streams()
    from nas.bench.account import account, cost_note, decided_by
    from nas.bench.arms import ArmSettings, Comparison, make_arms, read_comparison, with_goal
    from nas.bench.curves import by_arm
    from nas.bench.files import check_folder, write_comparison
    from nas.bench.runner import check_arms, run_all
    from nas.bench.truth import truth_of

    file = Comparison() if arms is None else read_comparison(arms)
    named = [name.strip() for name in (strategies or "").split(",") if name.strip()]
    wanted = {**{name: ArmSettings() for name in named}, **file.arms}
    flags: dict[str, Any] = {
        "space": space,
        "evaluator": evaluator,
        "data": data,
        "objectives": given(objectives),
        "budget": budget,
        "plugins": given(plugins),
    }
    asked = {**file.run, **{name: value for name, value in flags.items() if value is not None}}
    made = make_arms(with_goal(asked), wanted, sets or ())
    check_arms(made)
    first = seed or 0
    chosen = range(first, first + (seeds or file.seeds or 10))
    folder = out or Path("bench") / made[0].config.space
    check_folder(folder)

    def told(trace: Trace, done: int, total: int) -> None:
        if not quiet:
            spent = f"{trace.spent[-1]:g} epochs" if trace.spent and trace.spent[-1] else ""
            count = f"{len(trace.ids)} evaluations"
            streams.note(
                f"{done}/{total} {trace.arm}, seed {trace.seed}: "
                + ", ".join(part for part in (count, spent) if part)
            )

    traces = run_all(made, chosen, folder, workers, told)
    groups = {arm.name: by_arm(traces)[arm.name] for arm in made}
    truth = truth_of(made[0].config, traces)
    lines = account(groups, truth)
    note = cost_note(lines)
    files = write_comparison(folder, groups, lines, truth)
    if json:
        rows = [line.to_dict(truth.named) for line in lines]
        streams.document({"folder": str(folder), "note": note, "arms": rows})
        return
    streams.text(_text(lines, truth, decided_by(traces)))
    if note:
        streams.text(f"\n{note}")
    streams.text(f"\nfiles  {'  '.join(str(path) for path in files)}")


def _text(lines: list[Line], truth: Truth, decider: str) -> str:
    """The account as aligned columns; shares are in percent.

    Args:
        lines: A line for each arm.
        truth: What is known of the problem, and the names of the figures.
        decider: What the differences are of (`nas.bench.account.decided_by`).
    """
    metric, tested = truth.named.metric, truth.named.tested
    several = any(math.isfinite(line.hypervolume) for line in lines)
    heads = ["arm", "seeds", "epochs", "anew", "trained", f"{_name(metric)} [95 %]"]
    heads += ["regret" if truth.exact else "from best", f"{_name(tested)} [95 %]"]
    heads += ["hypervolume"] if several else []
    heads += ["difference [95 %]", "p", "cost ratio"]
    differs = {"error": metric, "test_error": tested}.get(decider, "")
    rows = [heads]
    for line in lines:
        row = [line.arm, str(line.seeds), f"{line.epochs:.0f}", f"{line.epochs_anew:.0f}"]
        row += [f"{line.evaluations:.0f}"]
        row += [_interval(metric, line.error, line.error_low, line.error_high)]
        row += ["" if math.isnan(line.regret) else _said(metric, line.regret)]
        row += [_interval(tested, line.test_error, line.test_low, line.test_high)]
        row += [f"{line.hypervolume:.4f}"] if several else []
        low, high = line.difference_low, line.difference_high
        if several:
            row += [_number(line.difference, low, high)]
        else:
            row += [_interval(differs, line.difference, low, high)]
        row += ["" if math.isnan(line.p) else f"{line.p:.2g}"]
        row += ["" if math.isnan(line.ratio) else f"{line.ratio:.2f}"]
        rows.append(row)
    widths = [max(len(row[column]) for row in rows) for column in range(len(heads))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    )


def _name(metric: str) -> str:
    from nas.cli import words

    return words.label(metric).replace("_", " ")


def _said(metric: str, value: float) -> str:
    from nas.core.metrics import SHARES

    return f"{100 * value:.2f}" if metric in SHARES else f"{value:.4g}"


def _interval(metric: str, value: float, low: float, high: float) -> str:
    if math.isnan(value):
        return ""
    return f"{_said(metric, value)} [{_said(metric, low)}, {_said(metric, high)}]"


def _number(value: float, low: float, high: float) -> str:
    return "" if math.isnan(value) else f"{value:+.4f} [{low:+.4f}, {high:+.4f}]"
