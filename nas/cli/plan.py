"""What a search will cost, as far as that is known before it begins."""

from __future__ import annotations

from nas.core.config import RunConfig, build_settings
from nas.engine.assemble import expected_final
from nas.engine.budget import Budget
from nas.engine.credit import expected_credit
from nas.strategies import STRATEGIES
from search_spaces import get_space


def expected(config: RunConfig) -> dict[str, dict[str, float]]:
    """Epochs, evaluations or seconds of the search, of what follows it, and of its credit.

    The search's are the smaller of the strategy's own end and the budget; none is known of a
    strategy that only a budget ends. Those of the final trainings are upper limits.
    """
    kind = STRATEGIES.get(config.strategy)
    strategy = kind(build_settings(kind.Settings, config.settings))
    search = dict(strategy.expected(get_space(config.space)))
    budget = Budget.parse(config.budget)
    limits: dict[str, float | None] = {
        "epochs": budget.epochs,
        "evaluations": budget.evaluations,
        "seconds": budget.seconds,
    }
    for unit, limit in limits.items():
        if limit is not None:
            search[unit] = min(limit, search.get(unit, limit))
    return {
        "search": search,
        "final": expected_final(config),
        "credit": expected_credit(config, search.get("epochs")),
    }
