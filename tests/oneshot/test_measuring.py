"""What a part is worth: rankings, tests, sequential stopping and what it claims."""

from __future__ import annotations

import json
from collections.abc import Mapping

import numpy as np
import pytest
import torch
from scipy import stats
from torch import Tensor
from torch.nn import functional

from nas.oneshot.measuring import Loss, Measurement, Paired, Tally, one_sided, rank, separate

LABELS = torch.zeros(64, dtype=torch.int64)


def logits(margins: Tensor) -> Tensor:
    """Two classes; wrong where the margin `(B,)` is negative, loss `log(1 + exp(-margin))`."""
    return torch.stack([margins, torch.zeros_like(margins)], dim=1)


def decide(
    worths: Mapping[str, float],
    seed: int,
    *,
    choose: int = 1,
    confidence: float = 0.8,
    total: int = 1024,
    criterion: str = "error",
) -> Measurement:
    """One decision: pictures differ in difficulty, variants in how much they lose, with noise."""
    chance = torch.Generator().manual_seed(seed)
    tally = Paired(list(worths), choose, criterion, confidence, 64, total)  # type: ignore[arg-type]
    for _ in range(total // 64):
        difficulty = 1 + 1.5 * torch.randn(64, generator=chance)
        noise = 0.3 * torch.randn(len(worths), 64, generator=chance)
        batch = {
            name: logits(difficulty - worth + noise[i])
            for i, (name, worth) in enumerate(worths.items())
        }
        if tally.add(batch, LABELS):
            break
    return tally.result()


# -- ranking ----------------------------------------------------------------------------------

FIGURES = {
    "a": Loss(0.2, 3.0),
    "b": Loss(0.5, 1.0),
    "c": Loss(0.5, 2.0),
    "d": Loss(0.5, 2.0),
    "e": Loss(0.9, 0.1),
}


def test_the_most_missed_leaves_the_largest_error() -> None:
    assert rank(FIGURES, list("abcde"), "error") == ("e", "c", "d", "b", "a")
    assert rank(FIGURES, list("abcde"), "error", ties=False) == ("e", "b", "c", "d", "a")
    assert rank(FIGURES, list("abcde"), "loss") == ("a", "c", "d", "b", "e")


def test_only_the_eligible_are_ranked_and_the_earlier_wins_ties() -> None:
    assert rank(FIGURES, ["d", "c", "a"], "error") == ("d", "c", "a")


# -- the test of one pair ---------------------------------------------------------------------


@pytest.mark.parametrize("shift", [-0.3, 0.0, 0.05, 0.5])
@pytest.mark.parametrize("count", [2, 5, 300])
def test_one_sided_is_the_t_test(count: int, shift: float) -> None:
    chance = np.random.default_rng(count)
    differences = chance.normal(shift, 1, count)
    wanted = stats.ttest_1samp(differences, 0, alternative="greater").pvalue
    assert one_sided(torch.from_numpy(differences)) == pytest.approx(wanted, rel=1e-9)


def test_one_sided_without_noise_or_data() -> None:
    assert one_sided(torch.tensor([1.0])) == 1.0
    assert one_sided(torch.zeros(50)) == 1.0
    assert one_sided(-torch.ones(50)) == 1.0
    assert one_sided(torch.ones(4)) == 0.5**4  # four of four are no certainty


# -- paired -----------------------------------------------------------------------------------


def test_a_complete_pass_has_the_plain_means() -> None:
    worths = {"a": 0.0, "b": 0.01, "c": 0.02}
    chance = torch.Generator().manual_seed(0)
    margins = {name: torch.randn(200, generator=chance) for name in worths}
    labels = torch.zeros(200, dtype=torch.int64)
    tally = Paired(list(worths), 1, "error", 0.999999, 50, 200)
    for start in range(0, 200, 64):
        part = slice(start, start + 64)
        assert not tally.complete
        assert not tally.add({n: logits(m[part]) for n, m in margins.items()}, labels[part])
    found = tally.result()
    assert tally.complete
    assert found.complete
    assert found.images == 200
    for name, margin in margins.items():
        assert found.variants[name].error == pytest.approx(float((margin < 0).double().mean()))
        loss = functional.cross_entropy(logits(margin), labels)
        assert found.variants[name].loss == pytest.approx(float(loss), rel=1e-5)
    assert found.ranking == rank(found.variants, list(worths), "error")
    assert json.loads(json.dumps(found.to_dict()))["ranking"] == list(found.ranking)


def test_pairing_tells_apart_what_separate_samples_cannot() -> None:
    """Differences of a twentieth of the spread between pictures."""
    found = decide({"a": 0.0, "b": 0.08}, 1, confidence=0.95)
    assert found.ranking[0] == "b"
    assert not found.complete
    chance = torch.Generator().manual_seed(1)
    count = found.images
    apart = [1 + 1.5 * torch.randn(count, generator=chance) - worth for worth in (0.0, 0.08)]
    assert stats.ttest_ind(apart[0].numpy(), apart[1].numpy()).pvalue > 0.05


@pytest.mark.parametrize(
    ("worths", "choose"),
    [
        ({"a": 0.0, "b": 0.0, "c": 0.0, "d": 0.0}, 1),
        ({"a": 0.0, "b": 0.0, "c": 0.0, "d": 0.0}, 2),
        ({"a": 0.0, "b": 0.3, "c": 0.3, "d": 0.0}, 1),
    ],
)
def test_equals_are_called_different_less_often_than_stated(
    worths: dict[str, float], choose: int
) -> None:
    """The family-wise error: every stop is wrong here, at a stated confidence of 80%."""
    decisions = [decide(worths, seed, choose=choose) for seed in range(150)]
    stops = sum(found.confidence >= 0.8 for found in decisions)
    # 30 would be allowed; 42 is three deviations more.
    assert stops <= 42
    assert np.mean([found.images for found in decisions]) > 800


@pytest.mark.parametrize("criterion", ["error", "loss"])
@pytest.mark.parametrize("choose", [1, 2])
def test_a_planted_difference_is_found_with_fewer_pictures(choose: int, criterion: str) -> None:
    worths = (
        {"a": 0.0, "b": 0.4, "c": 0.02, "d": 0.35, "e": 0.0}
        if choose == 2
        else {
            "a": 0.0,
            "b": 0.4,
            "c": 0.02,
            "d": 0.1,
            "e": 0.0,
        }
    )
    wanted = {"b", "d"} if choose == 2 else {"b"}
    right, sure, images = 0, 0, 0
    for seed in range(60):
        found = decide(worths, seed, choose=choose, confidence=0.95, criterion=criterion)
        right += set(found.ranking[:choose]) == wanted
        sure += found.confidence >= 0.95
        images += found.images
    assert right >= 57
    assert sure >= 55
    assert images / 60 < 0.5 * 1024


def test_wrong_choices_are_rarer_than_the_stated_doubt_among_near_equals() -> None:
    worths = {"a": 0.0, "b": 0.03, "c": 0.06}
    decisions = [decide(worths, seed) for seed in range(120)]
    sure = [found for found in decisions if found.confidence >= 0.8]
    wrong = sum(found.ranking[0] != "c" for found in sure)
    assert len(sure) > 10
    assert wrong <= 0.2 * len(decisions)


def test_errors_come_first_and_losses_break_ties() -> None:
    good, bad = torch.full((64,), 2.0), torch.full((64,), 1.0)
    tied = Paired(["a", "b"], 1, "error", 0.9, 64, 64)
    noise = 0.01 * torch.randn(64, generator=torch.Generator().manual_seed(0))
    assert tied.add({"a": logits(good), "b": logits(bad + noise)}, LABELS)
    assert tied.result().ranking == ("b", "a")
    # One more mistake outweighs any loss, and a loss that says the opposite gives no confidence.
    wrong = good.clone()
    wrong[0] = -0.01
    first = Paired(["a", "b"], 1, "error", 0.9, 64, 64)
    assert not first.add({"a": logits(wrong), "b": logits(bad + noise)}, LABELS)
    assert first.result().ranking == ("a", "b")
    assert first.result().confidence < 0.9


def test_parts_that_may_not_be_chosen_are_reported_only() -> None:
    tally = Paired(["a", "b"], 1, "error", 0.9, 64, 64)
    none = torch.full((64,), -5.0)
    tally.add({"none": logits(none), "a": logits(-none), "b": logits(-none)}, LABELS)
    found = tally.result()
    assert found.ranking == ("a", "b")
    assert found.variants["none"].error == 1.0


def test_no_choice_needs_no_more_than_the_first_look() -> None:
    tally = Paired(["a", "b"], 2, "error", 0.99, 64, 10_000)
    assert tally.add({"a": logits(torch.ones(64)), "b": logits(torch.ones(64))}, LABELS)
    assert tally.result().confidence == 1.0
    assert not tally.result().complete


def test_looks_are_rare() -> None:
    """The number of pictures doubles between looks, so the error rate is divided by few."""
    tally = Paired(["a", "b"], 1, "error", 0.999999, 64, 64 * 32)
    looked = []
    separation = tally._separation
    tally._separation = lambda: looked.append(tally._images) or separation()  # type: ignore
    for _ in range(32):
        tally.add({"a": logits(torch.randn(64)), "b": logits(torch.randn(64))}, LABELS)
    assert looked == [64, 128, 256, 512, 1024, 2048]
    assert tally._tests == 6 * 1 * 2


def test_fewer_pictures_than_the_first_look_wants() -> None:
    tally = Paired(["a", "b"], 1, "error", 0.9, 256, 64)
    clear = {"a": logits(torch.ones(64)), "b": logits(-torch.ones(64))}
    assert tally.add(clear, LABELS)
    assert tally.result().ranking == ("b", "a")
    assert tally.result().complete


# -- the published procedure ------------------------------------------------------------------


def test_separate_takes_each_variant_over_its_own_pictures() -> None:
    seen: list[str] = []

    def batches(name: str, wrong: int):
        for part in range(2):
            seen.append(f"{name}{part}")
            margins = torch.ones(50)
            margins[: wrong if part else 0] = -1
            yield logits(margins), torch.zeros(50, dtype=torch.int64)

    names = {"a": 10, "b": 30, "none": 30}
    found = separate({n: batches(n, w) for n, w in names.items()}, list(names), "error", 100)
    assert seen == ["a0", "a1", "b0", "b1", "none0", "none1"]
    assert {n: left.error for n, left in found.variants.items()} == {
        "a": 0.1,
        "b": 0.3,
        "none": 0.3,
    }
    assert found.ranking == ("b", "none", "a")
    assert found.images == 100
    assert found.complete
    assert found.confidence == 0.0  # the procedure makes no statement


def test_separate_keeps_the_earlier_of_equal_errors_whatever_the_losses() -> None:
    def batches(margin: float):
        yield logits(torch.full((8,), margin)), torch.zeros(8, dtype=torch.int64)

    calm = {"a": batches(3.0), "b": batches(1.0)}
    assert separate(calm, ["a", "b"], "error", 8).ranking == ("a", "b")
    calm = {"a": batches(3.0), "b": batches(1.0)}
    assert separate(calm, ["a", "b"], "loss", 8).ranking == ("b", "a")


def test_a_tally_counts_pictures_not_batches() -> None:
    tally = Tally()
    tally.add(logits(torch.tensor([1.0, -1.0, 1.0])), torch.tensor([0, 0, 0]))
    tally.add(logits(torch.tensor([1.0])), torch.tensor([0]))
    assert tally.mean().error == 0.25
    assert tally.images == 4
