"""The benchmark of `eagan`: what its tests of chance say, and that it goes on where it was."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks import eagan
from benchmarks.eagan import Trainings, permuted_architectures, permuted_trainings
from nas.core.architecture import Candidate
from nas.core.config import RunConfig
from search_spaces import get_space

BETWEEN, WITHIN = 1.8, 2.2
"""Standard deviations of distances on digits, of architectures and of trainings of one."""
CONFIG = RunConfig(space="gan", strategy="eagan", evaluator="gan", objectives=("fd_classifier",))


def false_alarms(pairs: int, test: Callable[[Any, Any], float], draws: int) -> float:
    """Share of p below 0.05 where the pair that is called found is one of the random ones."""
    rng = np.random.default_rng(0)
    below = 0
    for _ in range(draws):
        found = BETWEEN * rng.normal() + WITHIN * rng.normal(size=5)
        others = BETWEEN * rng.normal(size=(pairs, 1)) + WITHIN * rng.normal(size=(pairs, 2))
        below += test(found, others) < 0.05
    return below / draws


def test_architectures_are_what_is_permuted() -> None:
    by_means = false_alarms(
        20, lambda f, o: permuted_architectures(f.mean(), o.mean(1).tolist()), 2000
    )
    assert 0.02 < by_means < 0.055
    by_trainings = false_alarms(
        10, lambda f, o: permuted_trainings(f, o.ravel().tolist(), 100), 200
    )
    assert by_trainings > 0.1


def test_the_least_p_is_one_in_all_architectures() -> None:
    others = [float(i) for i in range(20)]
    assert permuted_architectures(-1.0, others) == pytest.approx(1 / 21)
    assert permuted_architectures(0.5, others) == pytest.approx(2 / 21)
    assert permuted_architectures(99.0, others) == 1.0
    assert permuted_architectures(-1.0, [*others, np.inf]) == pytest.approx(1 / 22)


def test_an_interrupted_benchmark_goes_on(tmp_path: Path, monkeypatch: Any) -> None:
    made: list[tuple[Any, ...]] = []

    def train(config: RunConfig, *key: Any) -> dict[str, float]:
        made.append(key)
        return {"test_fd_classifier": float(len(made)) if key[2] else np.inf}

    monkeypatch.setattr(eagan, "trained", train)
    space, path = get_space("gan"), tmp_path / "trainings.jsonl"
    one, other = (Candidate(space.members[name]) for name in ("EAGAN", "smallest"))
    first = Trainings(CONFIG, path)
    assert first.tested(one, 40, range(3)) == [np.inf, 2.0, 3.0]
    path.write_text(path.read_text()[:-9])  # killed while it wrote
    again = Trainings(CONFIG, path)
    assert again.tested(one, 40, range(3)) == [np.inf, 2.0, 4.0]
    assert [json.loads(line)["key"][3] for line in path.read_text().splitlines()] == [0, 1, 2]
    count = len(made)
    third = Trainings(CONFIG, path)
    assert third.tested(one, 40, range(3)) == [np.inf, 2.0, 4.0]
    assert len(made) == count
    third(one, 16, 1)
    third(other, 40, 1)
    third(one, 40, 1, "validation")
    Trainings(CONFIG.model_copy(update={"seed": 1}), path)(one, 40, 1)
    assert len(made) == count + 4
