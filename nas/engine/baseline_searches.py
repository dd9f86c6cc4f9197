"""The comparison of one search with many random searches, as on a table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from nas.core.metrics import SHARES
from nas.core.work import Evaluate
from nas.engine.records import Entry
from nas.evaluators import Account
from nas.measure.comparison import CONFIDENCE, mean_interval
from nas.strategies.finale import FOUND, RANDOM
from nas.strategies.finale_table import PICK, SEARCH_TAG


def against_searches(history: Sequence[Entry], account: Account) -> Mapping[str, Any]:
    """What a result says of the comparison, under "baseline"; nothing if there is none.

    The pick of the search is one number, those of the random searches a sample. The interval is
    that of their mean (Student's t): it says how well the average random search is known, not what
    another search by the same strategy would find.

    Args:
        history: All works of the run.
        account: Says which figures there are: the tested one is compared where it was read.
    """
    kept = [e for e in history if e.ordinal >= 0]  # others were read before a larger budget
    reads = [
        e for e in kept if e.ok and isinstance(e.work, Evaluate) and e.tags.get("stage") == "final"
    ]
    pick = [e for e in reads if e.tags.get("arm") == FOUND and e.tags.get(SEARCH_TAG) == PICK]
    others = [e for e in reads if e.tags.get("arm") == RANDOM and SEARCH_TAG in e.tags]
    if not pick or not others:
        return {}
    metric = account.tested if account.tested in pick[0].figures else account.goal
    own = float(pick[0].figures[metric])
    theirs = [float(e.figures[metric]) for e in others]
    mean, low, high = mean_interval(theirs)
    beaten = sum(own < other for other in theirs)
    equal = sum(own == other for other in theirs)
    searched = [e for e in kept if e.phase == "search"]
    epochs = sum(e.spent.epochs for e in searched)
    verdict = "lower" if own < low else "higher" if own > high else "undecided"
    known = {"low": own - high, "high": own - low} if len(set(theirs)) > 1 else {}
    return {
        "baseline": {
            "metric": metric,
            "sentence": _sentence(metric, own, theirs, (mean, low, high), epochs),
            "verdict": verdict if known else "undecided",
            "first": own,
            "second": mean,
            "difference": own - mean,
            **known,
            "confidence": CONFIDENCE,
            "pairs": len(theirs),
            "beaten": beaten,
            "equal": equal,
            "share_beaten": beaten / len(theirs),
            "arms": {FOUND: [own], RANDOM: theirs},
            "search_epochs": epochs,
            "random_searches": len(theirs),
            "cost": f"Every random search had the {epochs:g} epochs of the search.",
            "method": (
                "One search against many: Student's t interval of the mean of the random "
                "searches. Another search by the same strategy would find something else."
            ),
        }
    }


def _sentence(
    metric: str,
    own: float,
    theirs: Sequence[float],
    interval: tuple[float, float, float],
    epochs: float,
) -> str:
    name = "validation error" if metric == "error" else metric.replace("_", " ")
    share = metric in SHARES
    sign = "%" if share else ""

    def said(value: float) -> str:
        return f"{100 * value:.2f}" if share else f"{value:.4g}"

    mean, low, high = map(said, interval)
    beaten, count = sum(own < other for other in theirs), len(theirs)
    ties = sum(own == other for other in theirs)
    equal = f", equals {ties}" if ties else ""
    known = interval[1] < interval[2]
    spread = f" ({100 * CONFIDENCE:.0f}% interval {low} to {high})" if known else ""
    return (
        f"the search's pick has {said(own)}{sign} {name}; {count} random searches of the same"
        f" {epochs:g} epochs have {mean}{sign} on average{spread}; it beats"
        f" {100 * beaten / count:.0f}% of them ({beaten} of {count}{equal})."
    )
