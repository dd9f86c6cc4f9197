"""RANK-NOSH on the published tables: what it must reach, and what it must not be able to see."""

from __future__ import annotations

import csv
import gzip
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from nas.core.config import RunConfig
from nas.core.objective import parse_objectives
from nas.core.problem import Problem
from nas.core.protocols import Context
from nas.core.work import Evaluate
from nas.evaluators.table import TableEvaluator, view_of
from nas.strategies.rank_nosh import RankNosh

from .driving import Ledger, drive

Find = Callable[..., Path]

NB201 = {"levels": (12, 200), "ratio": 0.1, "candidates": 100, "first": 10, "batch": 5}
NB101 = {"levels": (36, 108), "ratio": 0.1, "candidates": 65, "first": 10, "batch": 5}


class Table:
    """A table as the engine shows it to a search."""

    def __init__(self, folder: Path, space: str, dataset: str | None = None, **more: Any) -> None:
        settings = {} if dataset is None else {"dataset": dataset}
        config = RunConfig(
            space=space,
            strategy="rank-nosh",
            evaluator=f"table:{folder}",
            evaluator_settings=settings,
            **more,
        )
        self.view = view_of(config)
        self.evaluator = TableEvaluator(config.model_dump(mode="json"))
        whole = self.view.pool or self.view.table.space
        self.problem = Problem(whole, parse_objectives(config.objectives), free=self.view.free)

    def figures(self, work: Evaluate) -> Mapping[str, float]:
        return self.evaluator.evaluate(work, Context()).figures

    def search(self, settings: Mapping[str, Any], seed: int) -> Ledger:
        return drive(RankNosh(settings), self.problem, self.figures, seed)

    def answer(self, settings: Mapping[str, Any], seed: int, split: str = "test") -> float:
        """Accuracy of the answer in per cent; of validation where no test is known."""
        best = self.search(settings, seed).best(self.problem)
        if split == "validation":
            return 100 - 100 * best.figures["error"]
        found = self.figures(Evaluate(best.candidate, split="test"))
        return 100 - 100 * found["test_error"]


def test_it_is_good_on_nasbench201(shared_data: Find) -> None:
    """Beyond what uniform training of the same ranker reaches with 5,000 epochs (72.5 %)."""
    table = Table(shared_data("nasbench201"), "nasbench201", "cifar100")
    ledger = table.search(NB201, 0)
    assert ledger.counts() == [100, 10]
    assert ledger.epochs() == 3_080
    assert np.mean([table.answer(NB201, seed) for seed in range(8)]) > 72.7


@pytest.mark.slow  # the whole table is encoded first
def test_it_is_good_on_nasbench101(shared_data: Find) -> None:
    """Beyond random search with 10,800 epochs (94.48 %)."""
    table = Table(shared_data("nasbench101_sample"), "nasbench101")
    found = [table.answer(NB101, seed, "validation") for seed in range(4)]
    assert np.mean(found) > 94.5


def test_neither_the_order_of_rows_nor_test_figures_reach_the_search(
    shared_data: Find, tmp_path: Path
) -> None:
    source = shared_data("nasbench201", "nb201_cifar.csv.gz")
    with gzip.open(source, "rt", newline="") as file:
        rows = list(csv.DictReader(file))
    np.random.default_rng(0).shuffle(rows)  # type: ignore[arg-type]
    for row in rows:
        for name in row:
            if "test" in name:
                row[name] = "50.0"
    with gzip.open(tmp_path / source.name, "wt", newline="", compresslevel=1) as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    told = Table(shared_data("nasbench201"), "nasbench201", "cifar100").search(NB201, 1)
    blind = Table(tmp_path, "nasbench201", "cifar100").search(NB201, 1)
    assert [(o.candidate.id, o.figures) for o in blind.outcomes] == [
        (o.candidate.id, o.figures) for o in told.outcomes
    ]
    assert not any("test_error" in o.figures for o in told.outcomes)


def test_several_objectives_on_a_table(shared_data: Find) -> None:
    folder = shared_data("nasbench201")
    table = Table(folder, "nasbench201", "cifar10", objectives=("error:min", "params:min"))
    ledger = table.search({**NB201, "ratio": 0.3}, 0)
    top = [o.figures for o in ledger.outcomes if o.budget == 200]
    assert len(top) == 30
    assert min(f["params"] for f in top) < 150_000 < 700_000 < max(f["params"] for f in top)
