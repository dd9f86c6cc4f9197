"""Stage 2 of FBNetV3: what it finds within limits, from what was told."""

from __future__ import annotations

import zlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pytest

from evolution.bands import beyond, parse_bands
from nas.core.architecture import Candidate
from nas.core.errors import ConfigError
from nas.core.objective import parse_objectives
from nas.core.problem import Problem
from nas.strategies.fbnetv3 import surrogate
from nas.strategies.fbnetv3.strategy import FbnetV3
from nas.testing.toys import ToySpace

from .fbnetv3_task import (
    FAST,
    QUICK,
    Mobile,
    batch,
    verified,
)

# -- what it finds ------------------------------------------------------------------------------


def test_what_is_found_is_the_best_that_was_trained_in_full_within_each_target() -> None:
    mobile = Mobile(2)
    targets = ("macs<=4e8", "macs<=7e8")
    ledger = mobile.search({"targets": targets, "epochs": 12})
    done = {o.candidate: o.figures["error"] for o in ledger.outcomes if o.budget == 12 and o.ok}
    for target, candidate in zip(targets, ledger.found, strict=True):
        inside = [c for c in done if beyond(parse_bands(target), mobile.counted(c)) == 0]
        assert candidate == min(inside, key=done.__getitem__)
    paper = mobile.search({"targets": targets, "epochs": 12, "mode": "paper"})
    assert len(verified(paper)) <= 2
    done = {o.candidate: o.figures["error"] for o in paper.outcomes if o.budget == 12 and o.ok}
    assert set(paper.found) <= set(done)


@pytest.mark.parametrize(("verify", "least", "most"), [(0, 0, 0), (1, 1, 2), (3, 3, 6)])
def test_so_many_of_each_target_are_trained_in_full(verify: int, least: int, most: int) -> None:
    settings = {"targets": ("macs<=4e8", "macs<=7e8"), "verify": verify, "epochs": 12}
    ledger = Mobile(3).search(settings)
    assert least <= len(verified(ledger)) <= most
    assert all(o.budget == 12 for o in verified(ledger))
    assert 1 <= len(ledger.found) <= 2
    if not verify:  # whoever is expected to be best is named without having been trained in full
        full = {o.candidate for o in ledger.outcomes if o.budget == 12}
        assert not set(ledger.found) <= full


def test_stage_two_finds_no_less_than_was_trained_and_sometimes_much_more() -> None:
    gains = []
    for seed in range(4):
        mobile = Mobile(seed)
        search = {**QUICK, "generations": 30, "patience": 5}
        settings = {"mode": "paper", "within": ("macs<=5e8",), "first": 24, "search": search}
        ledger = mobile.search(settings, seed, curves=lambda work: {})
        trained = min(mobile.error(o.candidate) for n in (1, 2, 3) for o in batch(ledger, n))
        gains.append(trained - mobile.error(ledger.found[0]))
    assert min(gains) >= -0.05
    assert np.mean(gains) > 0.1


def test_of_several_objectives_a_front_is_found() -> None:
    mobile = Mobile(0, "error:min", "macs:min")
    for front in (None, 5):
        ledger = mobile.search({"front": front, "epochs": 12})
        sizes = [mobile.macs(candidate) for candidate in ledger.found]
        errors = [mobile.error(candidate) for candidate in ledger.found]
        assert 2 <= len(sizes) <= (front or 3)
        assert sizes == sorted(sizes)
        assert max(sizes) > 1.2 * min(sizes)
        assert errors[0] > errors[-1]
    paper = mobile.search({"mode": "paper"})
    assert len(paper.found) == 1  # the published search wants a limit for each


def test_batches_of_several_objectives_cover_the_front() -> None:
    """Where only the error counts, as published, nobody small is trained."""
    sizes = {}
    for mode in ("default", "paper"):
        mobile = Mobile(0, "error:min", "macs:min")
        ledger = mobile.search({"mode": mode, "first": 20, "batch": 16}, curves=lambda w: {})
        later = [mobile.macs(o.candidate) for n in (2, 3) for o in batch(ledger, n)]
        sizes[mode] = np.quantile(later, [0.1, 0.9])
    assert sizes["default"][0] < 0.6 * sizes["paper"][0]
    assert np.ptp(np.log(sizes["default"])) > 1.5 * np.ptp(np.log(sizes["paper"]))


def test_a_front_of_what_is_better_the_larger() -> None:
    """Limits are laid from the other end, and objectives may stand in any order."""
    mobile = Mobile(0, "params:max", "error:min")
    ledger = mobile.search({"front": 3})
    found = [mobile.counted(candidate)["params"] for candidate in ledger.found]
    assert 1 <= len(found) <= 3
    assert found == sorted(found, reverse=True)


# -- stage 2 alone ------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", ["paper", "default"])
def test_a_new_limit_is_answered_from_what_was_told(mode: str) -> None:
    mobile = Mobile(0)
    settings = {"mode": mode, "epochs": 12, "within": ("macs<=9e8",)}
    ledger = mobile.search(settings)
    strategy = FbnetV3({**FAST, **settings})
    targets = ["macs<=4e8", "4.4e8<=macs<=4.6e8"]

    def ask(count: int, texts: Sequence[str] = targets, seed: int = 0) -> list[Any]:
        rng = np.random.default_rng(seed)
        return strategy.find(mobile.problem, ledger.outcomes, texts, rng, count)

    found = ask(3)
    assert [f.target for f in found] == ["macs<=400000000"] * 3 + ["440000000<=macs<=460000000"] * 3
    assert len({f.candidate.id for f in found}) == 6
    assert [f.to_dict() for f in ask(3)] == [f.to_dict() for f in found]
    for finding in found:
        assert beyond(parse_bands(finding.target), mobile.counted(finding.candidate)) == 0
        assert finding.figures == mobile.counted(finding.candidate)
        assert set(finding.expected) == set(finding.deviation) == {"error"}
        assert finding.expected["error"] == pytest.approx(mobile.error(finding.candidate), abs=2.5)
        assert finding.deviation["error"] >= 0
    for part in (found[:3], found[3:]):
        expected = [f.expected["error"] for f in part]
        assert expected == sorted(expected)
    # A limit that the search did not know is met as well as chance could hardly.
    drawn = [
        c for c in mobile.problem.sample(60, np.random.default_rng(5)) if mobile.macs(c) <= 4e8
    ]
    assert mobile.error(found[0].candidate) < np.median([mobile.error(c) for c in drawn])
    with pytest.raises(ConfigError, match="no member of 'mobile' was found within"):
        ask(1, ["macs>=1e9"])  # beyond what the search keeps within


def test_new_limits_with_no_random_beginning() -> None:
    mobile = Mobile(0)
    settings = {"search": {**QUICK, "random": 0}, "within": ("macs<=6e8",), "rounds": 2}
    ledger = mobile.search(settings)
    strategy = FbnetV3({**FAST, **settings})
    band = "2.9e8<=macs<=2.95e8"
    trained = [beyond(parse_bands(band), mobile.counted(o.candidate)) for o in ledger.outcomes]
    assert min(trained) > 0
    (found,) = strategy.find(mobile.problem, ledger.outcomes, [band], np.random.default_rng(0))
    assert beyond(parse_bands(band), mobile.counted(found.candidate)) == 0


def test_what_is_seen_of_a_member_does_not_depend_on_who_is_asked_with_it() -> None:
    """A figure that is above 0 for nearly everybody, and another one that often is not."""
    space = ToySpace()

    def free(candidate: Candidate) -> Mapping[str, float]:
        number = zlib.crc32(candidate.id.encode())
        ops = {candidate.architecture.choices[f"op{i}"] for i in range(3)}
        lone = ops == {"pool"} and candidate.architecture.choices["width"] == 3
        rare = 0.0 if lone else 1.0 + number % 7
        return {"rare": rare, "score": number % 9 - 4.0, "size": 1e6 + number}

    knowledge = surrogate.Knowledge(Problem(space, parse_objectives("error:min"), free=free))
    members = list(space.enumerate())
    whole = knowledge.table(members)
    figures = np.array([list(free(Candidate(m)).values()) for m in members])
    assert (figures[:, 0] <= 0).any()
    assert np.isfinite(whole).all()
    for row, member in enumerate(members):
        assert knowledge.table([member])[0].tolist() == whole[row].tolist()
    assert whole[:, 1].tolist() == figures[:, 1].tolist()
    assert whole[:, 2] == pytest.approx(np.log(figures[:, 2]))
    common = figures[:, 0] > 0
    assert whole[common, 0] == pytest.approx(np.log(figures[common, 0]))
    assert whole[~common, 0].max() < whole[common, 0].min()
