"""The comparison of a run's result with random search at equal training cost."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from statistics import fmean
from typing import Any

from nas.core.canonical import canonical_json
from nas.core.work import Evaluate
from nas.engine.baseline_searches import against_searches
from nas.engine.records import Entry
from nas.evaluators import Account
from nas.measure.comparison import paired, sentence
from nas.strategies.finale import FOUND, RANDOM

ACCOUNT = Account()
"""Of an evaluator that says nothing else: by validation error, on test error."""

MUCH_LESS = 0.9
"""Share of the search's compute below which the costs are not called equal."""


def baseline(history: Sequence[Entry], account: Account = ACCOUNT) -> Mapping[str, Any]:
    """What a result says of it, under "baseline"; nothing if there was no random arm.

    Where many random searches were made, as on a table, it is with these (`against_searches`).

    Trainings are paired by scale and seed. Where several architectures were found, random search
    has as many, and of either arm the best by what a search sees over all its trainings stands for
    it. The interval is about these two architectures: it holds the chance of their trainings,
    not that of the searches.

    Args:
        history: All works of the run.
        account: Says by which figures candidates are chosen and compared.
    """
    searches = against_searches(history, account)
    if searches:
        return searches
    final = [
        e
        for e in history
        if e.ok
        and isinstance(e.work, Evaluate)
        and e.tags.get("stage") == "final"
        and {account.goal, account.tested} <= e.figures.keys()
    ]
    arms = {arm: [e for e in final if e.tags.get("arm") == arm] for arm in (FOUND, RANDOM)}
    found, drawn = chosen(arms[FOUND], account), chosen(arms[RANDOM], account)
    pairs = sorted(found.keys() & drawn.keys())
    if not pairs:
        return {}
    result = paired([found[p] for p in pairs], [drawn[p] for p in pairs])
    draws = [e for e in history if isinstance(e.work, Evaluate) and e.tags.get("stage") == "draw"]
    searched = [e for e in history if e.phase == "search"]
    search_macs = sum(e.spent.macs for e in searched)
    random_macs = sum(e.spent.macs for e in draws)
    words = sentence(result, "the found architecture", "random search's pick", account.tested)
    if random_macs < MUCH_LESS * search_macs:
        words += (
            f" Random search had {100 * random_macs / search_macs:.0f}% of the search's compute"
            " (final.random_limit, or a small space, ended it)."
        )
    numbers = {key: value for key, value in asdict(result).items() if abs(value) != float("inf")}
    return {
        "baseline": {
            "metric": account.tested,
            "sentence": words,
            "verdict": result.verdict,
            **numbers,
            "arms": {
                FOUND: [found[p] for p in pairs],
                RANDOM: [drawn[p] for p in pairs],
            },
            "search_macs": search_macs,
            "random_macs": random_macs,
            "search_seconds": sum(e.spent.seconds for e in searched),
            "random_seconds": sum(e.spent.seconds for e in draws),
            "random_candidates": len({e.candidate.id for e in draws}),
        }
    }


def chosen(entries: Sequence[Entry], account: Account) -> dict[str, float]:
    """Tested figures, by scale and seed, of the one with the least mean of what a search sees.

    Only those with the fewest failed trainings are compared: to fail where it is hard must not
    pay.
    """
    groups: dict[str, list[Entry]] = {}
    for entry in entries:
        groups.setdefault(entry.candidate.unscaled.id, []).append(entry)
    if not groups:
        return {}
    most = max(map(len, groups.values()))
    whole = [name for name, group in groups.items() if len(group) == most]
    goal = account.goal
    best = min(whole, key=lambda name: (fmean(e.figures[goal] for e in groups[name]), name))
    return {
        canonical_json([e.candidate.scale, getattr(e.work, "seed", None)]): e.figures[
            account.tested
        ]
        for e in groups[best]
    }
